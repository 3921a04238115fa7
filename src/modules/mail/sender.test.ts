import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createMailer, type Mail, type Mailer } from '#src/lib/mail.ts';
import { OutgoingMail } from '#src/modules/mail/outgoing-mail.entity.ts';
import { queueMail } from '#src/modules/mail/outbox.ts';
import { purgeMails } from '#src/modules/mail/sender.query.ts';
import { renderMail, type MailKind } from '#src/modules/mail/templates.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';
import { anSmtpServer, deliver, readable } from '#test/mail.ts';

let test: TestRuntime;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(`${tmpdir()}/wh-test-mail-`);
  test = await openTestRuntime({ MAIL_DIR: `${directory}/mail`, PORT: '3000' });
});
beforeEach(() => test.rt.orm.em.fork().nativeDelete(OutgoingMail, {}));
afterAll(async () => {
  await test.close();
  await rm(directory, { recursive: true });
});

const TOKEN = 'T'.repeat(43);
async function queue(email = 'ana@example.com', isDecoy = false): Promise<void> {
  const em = test.rt.orm.em.fork();
  queueMail(em, test.config, { kind: 'reset_password', to: { email, locale: 'pt-BR' }, token: TOKEN }, isDecoy);
  await em.flush();
}
const rows = () => test.rt.orm.em.fork().find(OutgoingMail, {});
const makeDue = () =>
  test.rt.orm.em.fork().nativeUpdate(OutgoingMail, { nextAttemptAt: { $ne: null } }, { nextAttemptAt: new Date(0) });
const failing = (error: Error): Mailer => ({
  async send() {
    throw error;
  },
});
/** How long after a moment, else from now on, a mail is due, in seconds. */
const dueIn = async (sinceMs?: number) => {
  const [row] = await rows();
  return Math.round(((row?.nextAttemptAt?.getTime() ?? 0) - (sinceMs ?? Date.now())) / 1000);
};

describe('without SMTP_URL', () => {
  it('a mail becomes a file that only its owner reads, and what it said is gone from the database', async () => {
    await queue();
    await deliver(test.rt);
    const [name = '', ...others] = await readdir(test.config.MAIL_DIR);
    expect(others).toEqual([]);
    expect(name).toMatch(/^[0-9a-f-]{36}\.eml$/);
    const path = `${test.config.MAIL_DIR}/${name}`;
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(test.config.MAIL_DIR)).mode & 0o777).toBe(0o700);
    const text = readable(await readFile(path, 'utf8'));
    expect(text).toContain('To: ana@example.com\n');
    expect(text).toContain('From: WhatsHybrid <no-reply@localhost>\n');
    expect(text).toContain(`Message-ID: <${name.replace('.eml', '')}@localhost>\n`);
    expect(text).toContain(`\nhttp://127.0.0.1:3000/reset-password#token=${TOKEN}\n`);
    expect(await rows()).toEqual([
      expect.objectContaining({
        recipient: null,
        body: null,
        nextAttemptAt: null,
        attempts: 1,
        sentAt: expect.any(Date),
      }),
    ]);
  });
});

describe('sending', () => {
  it('hands each mail to one of several senders', async () => {
    await Promise.all(Array.from({ length: 30 }, (_, at) => queue(`user-${at}@example.com`)));
    const sent: string[] = [];
    const mailer: Mailer = { send: async ({ to }: Mail) => void sent.push(to) };
    await Promise.all([deliver(test.rt, mailer), deliver(test.rt, mailer), deliver(test.rt, mailer)]);
    expect(sent).toHaveLength(30);
    expect(new Set(sent).size).toBe(30);
  });

  it('never sends a decoy', async () => {
    await queue('nobody@example.com', true);
    await makeDue();
    await deliver(test.rt, failing(new Error('A decoy was sent')));
    expect(await rows()).toEqual([expect.objectContaining({ attempts: 0, sentAt: null })]);
  });

  it('tries again after growing delays, and gives up in the end with nothing left to read', async () => {
    await queue();
    const delays: { most: number; least: number }[] = [];
    for (let attempt = 1; attempt <= 8; attempt += 1) {
      const askedAt = Date.now();
      await deliver(test.rt, failing(new Error('away')));
      delays.push({ most: await dueIn(askedAt), least: await dueIn() });
      await makeDue();
    }
    for (const [at, expected] of [5, 10, 20, 40, 80, 160, 320, 640].entries()) {
      expect(delays[at]?.most).toBeGreaterThanOrEqual(expected);
      expect(delays[at]?.least).toBeLessThanOrEqual(expected);
    }
    await deliver(test.rt, failing(new Error('away')));
    expect(await rows()).toEqual([
      expect.objectContaining({ recipient: null, body: null, nextAttemptAt: null, attempts: 9, sentAt: null }),
    ]);
  });

  it('takes a mail over whose sender died, two minutes later', async () => {
    await queue();
    // A sender that hears nothing any more: neither sent nor failed.
    const { promise, resolve } = Promise.withResolvers<void>();
    const hung = deliver(test.rt, { send: () => promise });
    await expect.poll(async () => (await rows())[0]?.attempts).toBe(1);
    expect(await dueIn()).toBeGreaterThan(60);
    const sent: string[] = [];
    const mailer: Mailer = { send: async ({ id }: Mail) => void sent.push(id) };
    await deliver(test.rt, mailer);
    expect(sent).toEqual([]);
    await makeDue();
    await deliver(test.rt, mailer);
    expect(sent).toHaveLength(1);
    resolve();
    await hung;
  });
});

describe('a mail server', () => {
  it('that refuses the recipient for good is not asked again; one that is busy is', async () => {
    let code = 550;
    const server = await anSmtpServer({
      onRcptTo: (_address, _session, done) => done(Object.assign(new Error('no'), { responseCode: code })),
    });
    try {
      const mailer = createMailer({ smtpUrl: server.url, directory: '', from: 'a@example.com' });
      await queue();
      await deliver(test.rt, mailer);
      expect((await rows())[0]).toMatchObject({ attempts: 1, nextAttemptAt: null, sentAt: null, body: null });
      code = 450;
      await test.rt.orm.em.fork().nativeDelete(OutgoingMail, {});
      await queue();
      await deliver(test.rt, mailer);
      expect(await dueIn()).toBeGreaterThan(0);
    } finally {
      await server.close();
    }
  });

  it('that is away leaves the mail waiting', async () => {
    const server = await anSmtpServer();
    await server.close();
    await queue();
    await deliver(test.rt, createMailer({ smtpUrl: server.url, directory: '', from: 'a@example.com' }));
    expect(await dueIn()).toBeGreaterThan(0);
  });
});

it('mails of last week and decoys of yesterday are dropped, those still waiting are not', async () => {
  const day = 86_400_000;
  const made = [
    ['sent-new', 6 * day, 1, null],
    ['sent-old', 8 * day, 1, null],
    ['decoy-new', 0.9 * day, 0, null],
    ['decoy-old', 1.1 * day, 0, null],
    ['waiting', 8 * day, 1, new Date()],
  ] as const;
  const em = test.rt.orm.em.fork();
  for (const [subject, ageMs, attempts, nextAttemptAt] of made) {
    em.create(OutgoingMail, { subject, attempts, nextAttemptAt, createdAt: new Date(Date.now() - ageMs) });
  }
  await em.flush();
  expect(await purgeMails(test.rt.systemPool)).toBe(2);
  expect(await purgeMails(test.rt.systemPool)).toBe(0);
  const left = (await rows()).map(({ subject }) => subject);
  expect(left.toSorted((a, b) => a.localeCompare(b))).toEqual(['decoy-new', 'sent-new', 'waiting']);
});

describe('the words', () => {
  const kinds: MailKind[] = ['verify_email', 'reset_password', 'password_changed', 'totp_enabled', 'totp_disabled'];
  it.each(kinds)('of %s are there in Portuguese and in English, as text and as HTML', (kind) => {
    const url = 'https://app.example.com/x?a=1&b=2#token=t';
    const pt = renderMail(kind, 'pt-BR', url);
    const en = renderMail(kind, 'fr', url);
    expect(renderMail(kind, 'pt-PT', url)).toEqual(pt);
    expect(en.subject).not.toBe(pt.subject);
    for (const mail of [pt, en]) {
      const carriesLink = kind === 'verify_email' || kind === 'reset_password';
      expect(mail.text.includes(`\n${url}\n`)).toBe(carriesLink);
      expect(mail.html.includes('href="https://app.example.com/x?a=1&amp;b=2#token=t"')).toBe(carriesLink);
    }
  });
});
