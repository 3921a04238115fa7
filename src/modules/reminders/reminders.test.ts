import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPool } from '#src/db/pool.ts';
import type { Mail } from '#src/lib/mail.ts';
import { remindDue } from '#src/modules/reminders/remind.ts';
import { purgeReminders } from '#src/modules/reminders/reminders.query.ts';
import { MAX_PENDING } from '#src/modules/reminders/reminders.service.ts';
import { aContact, ownedDeals } from '#test/deals.ts';
import { aDeniedMember, aMember, aUser, type TestUser } from '#test/factories.ts';
import { onServer, openTestApp, type TestApp } from '#test/harness.ts';
import { deliver } from '#test/mail.ts';

const FIRER = 'reminder-firer';
let test: TestApp;
let pool: Pool;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  pool = openPool(test.config, { name: FIRER, role: 'wh_system', max: 4 }, test.rt.log);
  ana = await aPerson();
});
afterAll(async () => {
  await pool.end();
  await test.close();
});

async function aPerson(): Promise<TestUser> {
  const person = await aUser(test.rt);
  await query('update app_user set email_verified_at = now() where id = $1', [person.user.id]);
  await query('delete from outgoing_mail');
  return person;
}
const query = (sql: string, values: unknown[] = []) => test.rt.systemPool.query(sql, values);
const send = async (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, payload?: object, of = ana) => {
  const url = `/api/${path}`;
  const answer = await test.app.inject({ method, url, headers: of.headers, ...(payload ? { payload } : {}) });
  return { status: answer.statusCode, body: answer.json() };
};
const denied = (permissions: string[]) => aDeniedMember(test.rt, ana.workspace.id, permissions);
const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();
const add = async (body: object, of = ana) => (await send('POST', 'reminders', { title: 'Ligar', ...body }, of)).body;
const makeDue = (lateMs: number) =>
  query(`update reminder set remind_at = now() - $1 * interval '1 millisecond' where status = 'pending'`, [lateMs]);
const remindAll = async () => {
  while ((await remindDue(pool, test.config.APP_SECRET)) > 0);
};
/** Many reminders of one person that are due already. */
const manyDue = (of: TestUser, count: number) =>
  query(
    `insert into reminder (workspace_id, user_id, id, title, remind_at)
     select $1, $2, uuidv7(), 'n ' || n, now() - interval '1 second' from generate_series(1, $3::int) n`,
    [of.workspace.id, of.user.id, count],
  );

describe('/api/reminders', () => {
  it('keeps what one wants to be reminded of, by one’s own clock', async () => {
    await send('PATCH', 'settings/user', { 'ui.timeZone': 'Asia/Tokyo' });
    const day = inMs(3 * 86_400_000).slice(0, 10);
    const made = await add({ title: '  Ligar para Bia ', note: 'linha\ndois', remindAt: `${day}T09:00` });
    expect(made).toMatchObject({ title: 'Ligar para Bia', remindAt: `${day}T00:00:00.000Z`, status: 'pending' });
    const subject = { type: 'contact', id: await aContact(test.rt, ana) };
    const other = await add({ remindAt: `${day}T09:00:00-03:00`, subject });
    expect(other).toMatchObject({ remindAt: `${day}T12:00:00.000Z`, subject, note: null });
    const first = (await send('GET', 'reminders?limit=1&status=pending')).body;
    expect(first.data).toEqual([made]);
    expect((await send('GET', `reminders?cursor=${first.page.nextCursor}`)).body.data).toEqual([other]);
    const path = `reminders/${made.id}`;
    expect((await send('PATCH', path, { note: null, remindAt: `${day}T10:00` })).body).toMatchObject({
      title: 'Ligar para Bia',
      note: null,
      remindAt: `${day}T01:00:00.000Z`,
    });
    expect((await send('POST', `${path}/cancel`)).body.status).toBe('cancelled');
    expect((await send('PATCH', path, { title: 'x' })).body).toMatchObject({ status: 409, code: 'reminder_over' });
    expect((await send('GET', path)).body.status).toBe('cancelled');
    for (const { id } of [made, other]) expect((await send('DELETE', `reminders/${id}`)).status).toBe(200);
    expect((await send('GET', path)).status).toBe(404);
  });

  it.each([
    [{ title: 'x', remindAt: '2020-01-01T09:00:00Z' }, 'remindAt'],
    [{ title: 'x', remindAt: '2099-01-01T09:00:00Z' }, 'remindAt'],
    [{ title: 'x', remindAt: 'soon' }, 'remindAt'],
    [{ title: 'a\nb', remindAt: inMs(60_000) }, 'title'],
    [{ title: 'x', remindAt: inMs(60_000), subject: { type: 'deal' } }, 'subject.id'],
  ])('refuses %j', async (body, path) => {
    expect((await send('POST', 'reminders', body)).body).toMatchObject({ status: 400, errors: [{ path }] });
  });

  it('is about nothing that the caller does not see', async () => {
    const all = ['contacts:all', 'deals:all', 'tasks:all'];
    const [beto, blind] = [await denied(all), await denied(['contacts:read', 'deals:read', 'tasks:read'])];
    const { contactIds } = await ownedDeals(test.rt.systemPool, ana, [ana.user.id]);
    const deal = await query('select id from deal where contact_id = $1', [contactIds[0]]);
    const task = await send('POST', 'tasks', { title: 'Ligar' });
    expect(task.status).toBe(201);
    const subjects = [
      { type: 'contact', id: contactIds[0] },
      { type: 'deal', id: deal.rows[0].id },
      { type: 'task', id: task.body.id },
    ];
    const eve = await aPerson();
    for (const subject of subjects) {
      const body = { remindAt: inMs(60_000), subject };
      expect(await add(body)).toMatchObject({ subject, status: 'pending' });
      for (const who of [eve, beto, blind])
        expect(await add(body, who)).toMatchObject({ status: 404, code: 'not_found' });
      const missing = { ...subject, id: crypto.randomUUID() };
      expect(await add({ ...body, subject: missing })).toMatchObject({ status: 404, code: 'not_found' });
    }
    await query('delete from reminder');
  });

  it('shows nobody another’s, and takes no more than can be meant', async () => {
    const made = await add({ remindAt: inMs(60_000) });
    const colleague = await aPerson();
    await aMember(test.rt, ana.workspace.id, colleague.user.id, 'admin');
    const there = { ...colleague, headers: { ...colleague.headers, 'x-workspace-id': ana.workspace.id } };
    expect((await send('GET', `reminders/${made.id}`, undefined, there)).status).toBe(404);
    expect((await send('DELETE', `reminders/${made.id}`, undefined, there)).status).toBe(404);
    expect((await send('GET', 'reminders', undefined, there)).body.data).toEqual([]);
    const before = Buffer.from(JSON.stringify(['0000-01-01T00:00:00Z', made.id])).toString('base64url');
    expect((await send('GET', `reminders?cursor=${before}`)).status).toBe(400);
    const busy = await aPerson();
    await query(
      `insert into reminder (workspace_id, user_id, id, title, remind_at)
       select $1, $2, uuidv7(), 'n', now() + interval '1 day' from generate_series(1, $3::int)`,
      [busy.workspace.id, busy.user.id, MAX_PENDING],
    );
    expect(await add({ remindAt: inMs(60_000) }, busy)).toMatchObject({ status: 409, code: 'too_many_reminders' });
    await query('delete from reminder');
  });
});

describe('reminding', () => {
  it('tells in the app and by mail, in the reader’s words, and says when it is late', async () => {
    const bia = await aPerson();
    await add({ title: 'Ligar <já>', note: 'com a proposta', remindAt: inMs(30_000) }, bia);
    await remindAll();
    expect((await send('GET', 'notifications', undefined, bia)).body.data).toEqual([]);
    await makeDue(1000);
    await remindAll();
    await add({ title: 'Tarde', remindAt: inMs(30_000) }, bia);
    await makeDue(3_600_000);
    await remindAll();
    const { data } = (await send('GET', 'notifications', undefined, bia)).body;
    expect(data).toMatchObject([
      { kind: 'reminder', title: 'Tarde', body: expect.stringMatching(/^Com atraso: era para /) },
      { kind: 'reminder', title: 'Ligar <já>', body: expect.stringMatching(/^\d.*\ncom a proposta$/) },
    ]);
    const sent: Mail[] = [];
    await deliver(test.rt, { send: async (mail) => void sent.push(mail) });
    expect(sent.map(({ to, subject }) => [to, subject])).toEqual([
      [bia.email, 'Lembrete'],
      [bia.email, 'Lembrete'],
    ]);
    const all = sent.map(({ html }) => html).join('');
    expect(all).toContain('Ligar &lt;já&gt;');
    await send('PATCH', 'settings/notifications', { 'notifications.reminder.email': false }, bia);
    await add({ remindAt: inMs(30_000) }, bia);
    await makeDue(0);
    await remindAll();
    expect((await send('GET', 'notifications', undefined, bia)).body.data).toHaveLength(3);
    expect((await query(`select from outgoing_mail where body is not null`)).rowCount).toBe(0);
  });

  it('never sends one mail twice: not when its sender dies, and again only when it surely was not taken', async () => {
    const bia = await aPerson();
    const fire = async () => {
      await add({ remindAt: inMs(30_000) }, bia);
      await makeDue(0);
      await remindAll();
    };
    const due = `select from outgoing_mail where next_attempt_at is not null`;
    const tries: string[] = [];
    const failing = (error: Error) => ({
      async send({ id }: Mail) {
        tries.push(id);
        throw error;
      },
    });
    await fire();
    await deliver(test.rt, failing(Object.assign(new Error('refused'), { code: 'ECONNECTION', command: 'CONN' })));
    expect((await query(due)).rowCount).toBe(1);
    await query('update outgoing_mail set next_attempt_at = now() where next_attempt_at is not null');
    await deliver(test.rt, failing(Object.assign(new Error('silence'), { code: 'ETIMEDOUT', command: 'DATA' })));
    expect((await query(due)).rowCount).toBe(0);
    expect(tries).toHaveLength(2);
    await fire();
    const { promise, resolve } = Promise.withResolvers<void>();
    const hung = deliver(test.rt, { send: () => promise });
    await expect.poll(async () => (await query(due)).rowCount).toBe(0);
    await deliver(test.rt, failing(new Error('A second time')));
    expect(tries).toHaveLength(2);
    resolve();
    await hung;
  });

  it('whatever dies on the way, tells of each once and loses none', async () => {
    const bia = await aPerson();
    const count = 300;
    await manyDue(bia, count);
    const over = new AbortController();
    let deaths = 0;
    const firer = async () => {
      while (!over.signal.aborted) {
        const done = await remindDue(pool, test.config.APP_SECRET).catch(() => {
          deaths += 1;
          return 1;
        });
        if (done === 0) await sleep(5);
      }
    };
    const killing = (async () => {
      for (let time = 0; time < 8; time += 1) {
        await sleep(Math.random() * 40);
        await onServer(test.config.DATABASE_URL, (client) =>
          client.query(
            `select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1
               and datname = current_database() and random() < 0.7`,
            [FIRER],
          ),
        );
        await manyDue(bia, 40);
      }
    })();
    const firing = [firer(), firer(), firer()];
    await killing;
    over.abort();
    await Promise.all(firing);
    await remindAll();
    const { rows } = await query(
      `select (select count(*)::int from reminder where user_id = $1) as made,
         (select count(*)::int from reminder where user_id = $1 and status = 'sent') as sent,
         count(*)::int as told, count(distinct data->>'reminderId')::int as distinct,
         (select count(*)::int from outgoing_mail where purpose = 'reminder') as mailed
       from notification where user_id = $1`,
      [bia.user.id],
    );
    const { made } = rows[0];
    expect(made).toBeGreaterThan(count);
    expect(rows[0]).toEqual({ made, sent: made, told: made, distinct: made, mailed: made });
    process.stdout.write(`Reminders: ${made} told once, ${deaths} transactions killed\n`);
    expect(deaths).toBeGreaterThan(0);
  });

  it('drops reminders 90 days after they were over, and those of a member who goes', async () => {
    await query(`update reminder set updated_at = now() - interval '91 days' where status = 'sent'`);
    await add({ remindAt: inMs(60_000) });
    while ((await purgeReminders(test.rt.systemPool)) > 0);
    expect((await query('select from reminder')).rowCount).toBe(1);
    const guest = await aPerson();
    await aMember(test.rt, ana.workspace.id, guest.user.id, 'viewer');
    const there = { ...guest, headers: { ...guest.headers, 'x-workspace-id': ana.workspace.id } };
    await add({ remindAt: inMs(60_000) }, there);
    await send('DELETE', `workspaces/${ana.workspace.id}/members/${guest.user.id}`);
    expect((await query('select from reminder')).rowCount).toBe(1);
  });
});
