import { afterAll, beforeAll, expect, it } from 'vitest';
import { anSmtpServer, tokenIn, type SmtpServer } from '#test/mail.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';

let smtp: SmtpServer;
let all: Installation;
let api: Running & { url: string };
let worker: Running;
/** Whether the mail server says nothing more once it knows to whom a mail goes, and how often it did. */
let isHanging = false;
let hanging = 0;
beforeAll(async () => {
  smtp = await anSmtpServer({
    onRcptTo(_address, _session, done) {
      if (isHanging) hanging += 1;
      else done();
    },
  });
  all = await createInstallation({ SMTP_URL: smtp.url, JOB_LEASE_MS: '2000' });
  [api, , worker] = await Promise.all([all.startApi(), all.startControl(), all.startWorker('notifications')]);
});
afterAll(async () => {
  await all.close();
  await smtp.close();
});

interface Person {
  email: string;
  token: string;
  workspace: { id: string };
}

async function call<Answer>(method: string, path: string, of?: Person, body?: object): Promise<Answer> {
  const answer = await fetch(`${api.url}/api/${path}`, {
    method,
    headers: {
      ...(of ? { authorization: `Bearer ${of.token}` } : {}),
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Answer;
}

/** Somebody with an account and a proven address. */
async function aPerson(name: string): Promise<Person> {
  const email = `${name}@example.com`;
  const body = { email, password: 'a long enough password', name };
  const person = await call<Person>('POST', 'auth/register', undefined, body);
  const token = tokenIn(await mailTo(email, 0));
  await call('POST', 'auth/verify-email', undefined, { token });
  return { ...person, email };
}

/** The mail to an address with this place among all it gets. */
async function mailTo(email: string, at: number) {
  await expect.poll(() => smtp.to(email).length).toBeGreaterThan(at);
  return smtp.mails.filter(({ to }) => to.includes(email))[at];
}

const inbox = (of: Person) =>
  call<{ unreadCount: number; data: { id: string; kind: string; title: string; body: string }[] }>(
    'GET',
    'notifications',
    of,
  );

it('somebody who was invited joins: an admin sees it and gets a mail; a reminder comes when it is due', async () => {
  const [ana, bia] = [await aPerson('ana'), await aPerson('bia')];
  await call('PATCH', 'settings/notifications', ana, { 'notifications.member.joined.email': true });
  await call('POST', `workspaces/${ana.workspace.id}/invites`, ana, { email: bia.email, role: 'member' });
  await call('POST', 'invites/accept', bia, { token: inviteIn((await mailTo(bia.email, 1))?.text ?? '') });
  await expect.poll(async () => (await inbox(ana)).unreadCount).toBe(1);
  const [seen] = (await inbox(ana)).data;
  expect(seen).toMatchObject({ kind: 'member.joined', body: 'bia aceitou o convite e agora é membro.' });
  const mail = await mailTo(ana.email, 1);
  expect(mail?.text).toContain('Uma pessoa aceitou o convite');
  expect(mail?.text).not.toContain('bia');
  await call('POST', `notifications/${seen?.id}/read`, ana);
  const remindAt = new Date(Date.now() + 500).toISOString();
  await call('POST', 'reminders', ana, { title: 'Ligar para Bia', remindAt });
  expect((await mailTo(ana.email, 2))?.text).toContain('Ligar para Bia');
  expect(await inbox(ana)).toMatchObject({ unreadCount: 1, data: [{ title: 'Ligar para Bia' }, { id: seen?.id }] });
});

const inviteIn = (text: string): string => /#token=([\w-]{86})/.exec(text)?.[1] ?? '';

it('a mail whose sender is killed on the way is sent by another', async () => {
  const dora = await aPerson('dora');
  isHanging = true;
  await call('POST', 'auth/forgot-password', undefined, { email: dora.email });
  await expect.poll(() => hanging).toBe(1);
  isHanging = false;
  await worker.kill('SIGKILL');
  await all.pool.query('update outgoing_mail set next_attempt_at = now() where next_attempt_at is not null');
  await all.startWorker('notifications');
  const mail = await mailTo(dora.email, 1);
  const { rows } = await all.pool.query('select attempts from outgoing_mail where id = $1', [mail?.id.split('@')[0]]);
  expect(rows).toEqual([{ attempts: 2 }]);
});
