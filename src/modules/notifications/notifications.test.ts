import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { leadWhenFree } from '#src/db/leader.ts';
import { openPool } from '#src/db/pool.ts';
import { inTransaction } from '#src/db/transaction.query.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { EventType } from '#src/events/catalog.ts';
import { emitEvent, type NewEvent } from '#src/events/outbox.query.ts';
import { createEventRelay, type EventRelay } from '#src/events/relay.ts';
import { enrolConsumer } from '#src/events/relay.query.ts';
import { newId } from '#src/lib/ids.ts';
import { createMetrics } from '#src/lib/metrics.ts';
import { openMail } from '#src/modules/mail/sealed-mail.ts';
import { createNotificationConsumer } from '#src/modules/notifications/consumer.ts';
import { KINDS, type Kind } from '#src/modules/notifications/kinds.ts';
import { notify, renderNotice, type Notice } from '#src/modules/notifications/notify.ts';
import { purgeNotifications } from '#src/modules/notifications/notifications.query.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { onServer, openTestApp, type TestApp } from '#test/harness.ts';

const RELAY = 'notification-relay';
let test: TestApp;
let pool: Pool;
let relay: EventRelay;
let team: Record<'owner' | 'admin' | 'member' | 'viewer', TestUser>;
const consumer = () => createNotificationConsumer(test.config.APP_SECRET);

beforeAll(async () => {
  test = await openTestApp();
  pool = openPool(test.config, { name: RELAY, role: 'wh_system', max: 4 }, test.rt.log);
  relay = createEventRelay({ pool, consumers: [consumer()], log: test.rt.log, metrics: createMetrics('test') });
  await enrolConsumer(pool, 'notifications');
});
afterAll(async () => {
  await pool.end();
  await test.close();
});
beforeEach(async () => {
  const owner = await aUser(test.rt, { name: 'Olga <b>Dona</b>' });
  const join = async (role: 'admin' | 'member' | 'viewer', locale: string) => {
    const person = await aUser(test.rt, { name: `Lia ${role}` });
    await aMember(test.rt, owner.workspace.id, person.user.id, role);
    await test.rt.systemPool.query('update app_user set locale = $2 where id = $1', [person.user.id, locale]);
    return person;
  };
  team = {
    owner,
    admin: await join('admin', 'en'),
    member: await join('member', 'fr'),
    viewer: await join('viewer', 'pt'),
  };
  await verified(Object.values(team));
  await test.rt.systemPool.query('delete from outgoing_mail');
});

const verified = (people: TestUser[]) =>
  test.rt.systemPool.query('update app_user set email_verified_at = now() where id = any($1::uuid[])', [
    people.map(({ user }) => user.id),
  ]);
const emit = <Type extends EventType>(event: NewEvent<Type>) =>
  inWorkspaceTx(test.rt.orm, { workspaceId: team.owner.workspace.id }, (em) => emitEvent(em, event));
/** An event of a kind the catalogue may not have yet, or that a trigger writes. */
const emitRaw = (type: string, actorId: string | null, data: object) =>
  test.rt.systemPool.query(
    `insert into outbox_event (workspace_id, id, type, actor_id, data) values ($1, uuidv7(), $2, $3, $4::json)`,
    [team.owner.workspace.id, type, actorId, JSON.stringify(data)],
  );
async function consume(): Promise<void> {
  await relay.place();
  while ((await relay.consume(consumer())) > 0);
}

type Method = 'GET' | 'POST' | 'DELETE' | 'PATCH';
const ask = async (of: TestUser, method: Method, path: string, payload?: object) => {
  const headers = { ...of.headers, 'x-workspace-id': team.owner.workspace.id };
  const answer = await test.app.inject({ method, url: `/api/${path}`, headers, ...(payload ? { payload } : {}) });
  return { status: answer.statusCode, body: answer.json() };
};
const inboxOf = async (of: TestUser) => (await ask(of, 'GET', 'notifications')).body;
const kindsOf = async (of: TestUser): Promise<string[]> =>
  (await inboxOf(of)).data.map(({ kind }: { kind: string }) => kind);
const set = async (of: TestUser, patch: object) =>
  expect((await ask(of, 'PATCH', 'settings/notifications', patch)).status).toBe(200);
async function mails() {
  const { rows } = await test.rt.systemPool.query('select id, subject, recipient, body from outgoing_mail order by id');
  return rows.map((row) => openMail(test.config.APP_SECRET, row));
}
const mailed = async () => (await mails()).map(({ to, subject }) => [to, subject]);

const about = ({ user }: TestUser, role: 'member' | 'viewer' = 'member') => ({ userId: user.id, role });
const joined = () =>
  emit({
    type: 'member.joined',
    data: about(team.member),
    subjectId: team.member.user.id,
    actorId: team.member.user.id,
  });

const job = (engine: string) => ({ jobId: newId(), engine, problemCode: 'timeout' });

describe('who hears of what', () => {
  it('of a new member: who runs the workspace, with their name in the app and without any in mails', async () => {
    await set(team.admin, { 'notifications.member.joined.email': true });
    await joined();
    await consume();
    expect((await inboxOf(team.owner)).data).toMatchObject([
      { kind: 'member.joined', body: 'Lia member aceitou o convite e agora é membro.', readAt: null },
    ]);
    expect((await inboxOf(team.admin)).data).toMatchObject([{ title: 'Somebody joined your team' }]);
    expect([await kindsOf(team.member), await kindsOf(team.viewer)]).toEqual([[], []]);
    const [mail, ...others] = await mails();
    expect(others).toEqual([]);
    expect(mail).toMatchObject({ to: team.admin.email, subject: 'Somebody joined your team' });
    expect(`${mail?.text} ${mail?.html}`).not.toContain('Lia');
    expect(mail?.text).toContain('Somebody accepted the invitation. Their role is member.');
  });

  it('of a changed role: whose it is, unless they changed it', async () => {
    const change = (actorId: string) =>
      emit({ type: 'member.changed', data: about(team.member), subjectId: team.member.user.id, actorId });
    await change(team.owner.user.id);
    await change(team.member.user.id);
    await consume();
    expect(await kindsOf(team.member)).toEqual(['member.changed']);
    expect(await kindsOf(team.owner)).toEqual([]);
    expect(await mailed()).toEqual([[team.member.email, 'Your access has changed']]);
  });

  it('of being taken out: who was, by mail alone; nobody who left', async () => {
    const remove = (actorId: string) =>
      ask(
        actorId === team.viewer.user.id ? team.viewer : team.owner,
        'DELETE',
        `workspaces/${team.owner.workspace.id}/members/${actorId === team.viewer.user.id ? actorId : team.member.user.id}`,
      );
    await remove(team.viewer.user.id);
    await remove(team.owner.user.id);
    await consume();
    expect(await mailed()).toEqual([[team.member.email, 'You are no longer in a team']]);
  });

  it('of an endpoint turned off: who runs the workspace, also by mail', async () => {
    await emitRaw('webhook.disabled', null, { webhookId: newId(), name: 'Nossa <loja>', reason: 'gone' });
    await consume();
    expect([await kindsOf(team.owner), await kindsOf(team.admin)]).toEqual([
      ['webhook.disabled'],
      ['webhook.disabled'],
    ]);
    expect(new Set((await mailed()).map(([to]) => to))).toEqual(new Set([team.owner.email, team.admin.email]));
    // What a kind does not name is not kept.
    expect(JSON.stringify(await inboxOf(team.owner))).not.toContain('loja');
  });

  it('of jobs: their submitter, of a batch that ended, and of failures if they want', async () => {
    const { id } = team.viewer.user;
    await emitRaw('ai.job.failed', id, job('copilot'));
    await emitRaw('ai.job.completed', id, job('batch'));
    await emitRaw('ai.job.completed', id, job('copilot'));
    await emitRaw('ai.job.completed', null, job('batch'));
    await consume();
    expect(await kindsOf(team.viewer)).toEqual(['batch.ended']);
    await set(team.viewer, { 'notifications.ai.job.failed.inApp': true, 'notifications.ai.job.failed.email': true });
    await emitRaw('ai.job.failed', id, job('copilot'));
    await consume();
    expect((await inboxOf(team.viewer)).data[0]).toMatchObject({
      kind: 'ai.job.failed',
      body: 'O trabalho copilot terminou sem resultado (timeout).',
    });
    expect(await mailed()).toEqual([[team.viewer.email, 'Um trabalho de IA falhou']]);
  });

  it('no mail goes where nobody proved that it is theirs, to the disabled, or against the switch over all mails', async () => {
    await test.rt.systemPool.query(`update app_user set email_verified_at = null where id = $1`, [team.owner.user.id]);
    await set(team.admin, { 'notifications.email': false });
    await emitRaw('webhook.disabled', null, { webhookId: newId(), reason: 'failing' });
    await consume();
    expect(await kindsOf(team.owner)).toEqual(['webhook.disabled']);
    expect(await mailed()).toEqual([]);
    await test.rt.systemPool.query(`update app_user set status = 'disabled' where id = $1`, [team.admin.user.id]);
    await set(team.owner, { 'notifications.webhook.disabled.inApp': false });
    await emitRaw('webhook.disabled', null, { webhookId: newId(), reason: 'failing' });
    await consume();
    const { rows } = await test.rt.systemPool.query(
      'select count(*)::int as n from notification where workspace_id = $1',
      [team.owner.workspace.id],
    );
    expect(rows).toEqual([{ n: 2 }]);
  });
});

const count = async (what: string) =>
  (
    await test.rt.systemPool.query(`select count(*)::int as n from ${what} and workspace_id = $1`, [
      team.owner.workspace.id,
    ])
  ).rows[0].n;

describe('once', () => {
  it('handed over again, an event makes nothing', async () => {
    await set(team.owner, { 'notifications.member.joined.email': true });
    const notice: Notice = {
      workspaceId: team.owner.workspace.id,
      sourceId: newId(),
      kind: 'member.joined',
      data: about(team.member),
      to: { adminsBut: null },
    };
    for (let time = 0; time < 3; time += 1) {
      await inTransaction(pool, (tx) => notify(tx, test.config.APP_SECRET, [notice, notice]));
    }
    expect(await count('notification where true')).toBe(2);
    expect(await count(`outbox_event where type = 'notification.created'`)).toBe(2);
    expect(await mails()).toHaveLength(1);
  });

  it('whatever connections the relay loses, each event makes one notification and one mail for each reader', async () => {
    await set(team.owner, { 'notifications.member.joined.email': true });
    const stopping = new AbortController();
    const lead = (lock: number) =>
      leadWhenFree(test.config.DATABASE_URL, lock, relay.run, stopping.signal, test.rt.log);
    // Two at once, which there never should be.
    const leading = [lead(99_001), lead(99_002)];
    const killing = (async () => {
      for (let time = 0; time < 6; time += 1) {
        await sleep(20 + Math.random() * 120);
        await onServer(test.config.DATABASE_URL, (client) =>
          client.query(
            `select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1
               and datname = current_database() and random() < 0.6`,
            [RELAY],
          ),
        );
      }
    })();
    for (let at = 0; at < 20; at += 1) {
      await joined();
      await sleep(Math.random() * 30);
    }
    await killing;
    await expect.poll(() => count('notification where true')).toBe(40);
    stopping.abort();
    await Promise.all(leading);
    await consume();
    expect(await count('notification where true')).toBe(40);
    expect(await mails()).toHaveLength(20);
  });
});

describe('the words', () => {
  const samples: Record<keyof typeof KINDS, object> = {
    'member.joined': { userId: newId(), role: 'admin' },
    'member.changed': { userId: newId(), role: 'viewer' },
    'member.removed': { userId: newId(), role: 'owner' },
    'webhook.disabled': { webhookId: newId(), reason: 'failing' },
    'credits.low': { remaining: 12.5, lowAt: 100 },
    'credits.exhausted': { remaining: 0 },
    'billing.disputed': { status: 'open', amountMinor: 9900, currency: 'BRL' },
    'billing.invoice_due': {
      invoiceId: newId(),
      amountMinor: 9900,
      currency: 'BRL',
      dueAt: '2026-12-01T12:00:00.000Z',
    },
    'billing.payment_failed': { invoiceId: newId(), nextAttemptAt: '2026-12-01T12:00:00.000Z' },
    'billing.past_due': { subscriptionId: newId(), graceUntil: '2026-12-01T12:00:00.000Z' },
    'billing.plan_changed': { from: 'free', to: 'pro' },
    'license.expiring': {
      plan: 'pro',
      phase: 'grace',
      expiresAt: '2026-12-01T12:00:00.000Z',
      graceUntil: '2026-12-08T12:00:00.000Z',
    },
    'ai.job.failed': { jobId: newId(), engine: 'copilot', problemCode: null },
    'batch.ended': { jobId: newId() },
    reminder: {
      reminderId: newId(),
      title: '<img src=x> & "Ana"',
      note: 'linha\n<b>dois</b>',
      remindAt: '2026-12-01T12:00:00.000Z',
      isLate: true,
    },
  };
  it.each(Object.entries(samples))(
    'of %s are there in Portuguese and in English, in the app and in mails',
    (name, data) => {
      const kind: Kind = KINDS[name as keyof typeof KINDS];
      const timeZone = 'America/Sao_Paulo';
      const pt = kind.say(data, { name: 'Ana', locale: 'pt-BR', timeZone });
      const en = kind.say(data, { name: 'Ana', locale: 'fr', timeZone });
      expect(pt).toEqual(kind.say(data, { name: 'Ana', locale: 'PT', timeZone }));
      expect(pt.body).not.toBe(en.body);
      for (const { title, body, subject } of [pt, en]) {
        for (const text of [title, body, subject ?? title]) expect(text.trim().length).toBeGreaterThan(5);
      }
      for (const locale of ['pt-BR', 'en']) {
        const mail = renderNotice(kind, data, { name: null, locale, timeZone });
        expect(mail.html).toContain(`<html lang="${locale}">`);
        expect(mail.subject).not.toContain('img');
        expect(mail.html).not.toMatch(/<img|<b>/);
        expect(mail.text).toContain(locale === 'en' ? 'Your settings say' : 'Você escolhe');
      }
      expect(() => kind.say({}, { name: null, locale: 'en', timeZone })).toThrow();
    },
  );

  it('of a reminder show the time by the clock of its reader, and that it is late', () => {
    expect(
      KINDS.reminder.say(samples.reminder, { name: null, locale: 'pt-BR', timeZone: 'America/Sao_Paulo' }).body,
    ).toMatch(/^Com atraso: era para 1 de dez\. de 2026, 09:00\.\nlinha/);
    expect(KINDS.reminder.say(samples.reminder, { name: null, locale: 'en', timeZone: 'Asia/Tokyo' }).body).toMatch(
      /^Late: it was due at Dec 1, 2026, 9:00\sPM\./,
    );
  });
});

describe('/api/notifications', () => {
  it('shows pages of one’s own, counts the unread, and takes each step back to nobody else’s', async () => {
    for (let at = 0; at < 5; at += 1) await joined();
    await consume();
    const first = (await ask(team.owner, 'GET', 'notifications?limit=2')).body;
    expect(first).toMatchObject({ unreadCount: 5, page: { hasMore: true } });
    const next = (await ask(team.owner, 'GET', `notifications?limit=3&cursor=${first.page.nextCursor}`)).body;
    const ids: string[] = [...first.data, ...next.data].map(({ id }: { id: string }) => id);
    expect(ids).toEqual([...new Set(ids)].toSorted().toReversed());
    expect(next.page).toEqual({ hasMore: false, nextCursor: null });
    const [newest = '', , third = ''] = ids;
    for (const [method, path] of [
      ['POST', `notifications/${newest}/read`],
      ['DELETE', `notifications/${newest}`],
    ] as const) {
      expect((await ask(team.admin, method, path)).status).toBe(404);
    }
    const read = await ask(team.owner, 'POST', `notifications/${newest}/read`);
    expect(read.body).toMatchObject({ id: newest, readAt: expect.stringMatching(/Z$/) });
    const again = await ask(team.owner, 'POST', `notifications/${newest}/read`);
    expect(again.body.readAt).toBe(read.body.readAt);
    expect((await ask(team.owner, 'GET', 'notifications?unread=false')).body.data).toHaveLength(1);
    expect((await ask(team.owner, 'POST', 'notifications/read-all', { upTo: third })).body).toEqual({
      read: 3,
      unreadCount: 1,
    });
    expect((await ask(team.owner, 'GET', 'notifications?unread=true')).body.data).toMatchObject([{ id: ids[1] }]);
    expect((await ask(team.owner, 'POST', 'notifications/read-all', {})).body).toEqual({ read: 1, unreadCount: 0 });
    expect((await ask(team.owner, 'DELETE', `notifications/${newest}`)).body).toEqual({ id: newest, deleted: true });
    expect((await inboxOf(team.owner)).data).toHaveLength(4);
    expect(await inboxOf(team.admin)).toMatchObject({ unreadCount: 5 });
    expect((await ask(team.owner, 'GET', 'notifications?cursor=x')).status).toBe(400);
  });

  it('says no name of somebody who has gone, and drops what is 90 days old', async () => {
    await joined();
    await consume();
    await ask(team.owner, 'DELETE', `workspaces/${team.owner.workspace.id}/members/${team.member.user.id}`);
    expect((await inboxOf(team.owner)).data[0].body).toBe('Uma pessoa aceitou o convite e agora é membro.');
    const age = `update notification set created_at = now() - interval '91 days' where user_id = $1`;
    await test.rt.systemPool.query(age, [team.owner.user.id]);
    while ((await purgeNotifications(test.rt.systemPool)) > 0);
    expect([(await inboxOf(team.owner)).data.length, (await inboxOf(team.admin)).data.length]).toEqual([0, 1]);
  });
});
