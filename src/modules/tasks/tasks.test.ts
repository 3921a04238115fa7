import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wallTimeIn } from '#src/lib/time-zone.ts';
import { remindDue } from '#src/modules/reminders/remind.ts';
import { listTasksSql } from '#src/modules/tasks/tasks.query.ts';
import { SORTS } from '#src/modules/tasks/tasks.schemas.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { untilDayLasts } from '#test/day.ts';

let test: TestApp;
let ana: TestUser;
let bia: TestUser;
let eve: TestUser;
let contactId: string;
const query = (sql: string, values: unknown[] = []) => test.rt.systemPool.query(sql, values);
beforeAll(async () => {
  test = await openTestApp();
  [ana, bia, eve] = [await aUser(test.rt), await aUser(test.rt), await aUser(test.rt)];
  await aMember(test.rt, ana.workspace.id, bia.user.id, 'member');
  const { rows } = await query(
    `insert into contact (workspace_id, id, name) values ($1, uuidv7(), 'Carla') returning id`,
    [ana.workspace.id],
  );
  contactId = rows[0].id;
});
afterAll(() => test.close());

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
interface Sent {
  of?: TestUser;
  headers?: Record<string, string>;
}
/** Bia works in Ana's workspace. */
async function send(method: Method, path: string, payload?: object, { of = ana, headers = {} }: Sent = {}) {
  const chosen = of === bia ? { 'x-workspace-id': ana.workspace.id } : {};
  const all = { ...of.headers, ...chosen, ...headers };
  const answer = await test.app.inject({ method, url: `/api/${path}`, headers: all, ...(payload ? { payload } : {}) });
  return { status: answer.statusCode, body: answer.json(), etag: String(answer.headers['etag']) };
}
const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const add = async (body: object = {}) => (await send('POST', 'tasks', { title: 'Ligar', ...body })).body;
const remindAll = async () => {
  while ((await remindDue(test.rt.systemPool, test.config.APP_SECRET)) > 0);
};
const titles = (body: { data: { title: string }[] }) => body.data.map(({ title }) => title);

describe('/api/tasks', () => {
  it('keeps what is to be done, tells of it, and writes down only which fields changed', async () => {
    const made = await send('POST', 'tasks', {
      title: 'Ligar para Carla',
      contactId,
      dueAt: inMs(DAY_MS),
      priority: 'high',
    });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      assigneeId: ana.user.id,
      contactId,
      status: 'open',
      version: 1,
      recurrence: null,
    });
    const path = `tasks/${made.body.id}`;
    expect((await send('GET', path)).body).toEqual(made.body);
    const changed = await send(
      'PATCH',
      path,
      { description: 'Preço', dueAt: null },
      { headers: { 'if-match': made.etag } },
    );
    expect(changed.body).toMatchObject({ description: 'Preço', dueAt: null, version: 2, title: 'Ligar para Carla' });
    const stale = await send('PATCH', path, { priority: 'low' }, { headers: { 'if-match': made.etag } });
    expect(stale.body).toMatchObject({ status: 412 });
    const done = await send('POST', `${path}/complete`);
    expect(done.body).toMatchObject({ status: 'completed', completedAt: expect.any(String), nextTaskId: null });
    expect((await send('POST', `${path}/complete`)).body).toEqual(done.body);
    expect((await send('POST', `${path}/reopen`)).body).toMatchObject({ status: 'open', completedAt: null });
    const told = await query(`select type, data from outbox_event where data->>'taskId' = $1 order by id`, [
      made.body.id,
    ]);
    expect(told.rows).toEqual(
      ['task.created', 'task.completed'].map((type) => ({
        type,
        data: { taskId: made.body.id, contactId, dealId: null, ownerId: ana.user.id },
      })),
    );
    const line = await query(`select type from activity where contact_id = $1 order by id`, [contactId]);
    expect(line.rows.map(({ type }) => type)).toEqual(['task.created', 'task.completed']);
    expect((await send('DELETE', path)).status).toBe(200);
    expect((await send('GET', path)).status).toBe(404);
    const { data } = (await send('GET', 'audit?limit=10')).body;
    expect(JSON.stringify(data)).not.toContain('Carla');
    expect(data.map(({ action }: { action: string }) => action).slice(0, 5)).toEqual(
      ['deleted', 'reopened', 'completed', 'changed', 'created'].map((verb) => `task.${verb}`),
    );
  });

  it('refuses what it cannot keep', async () => {
    const status = async (body: object, of = ana) =>
      (await send('POST', 'tasks', { title: 'x', ...body }, { of })).status;
    expect(await status({ contactId: crypto.randomUUID() })).toBe(404);
    expect(await status({ contactId }, eve)).toBe(404);
    expect(await status({ dealId: crypto.randomUUID() })).toBe(404);
    expect(await status({ assigneeId: eve.user.id })).toBe(400);
    expect(await status({ recurrence: 'FREQ=DAILY' })).toBe(400);
    expect(await status({ recurrence: 'FREQ=MINUTELY', dueAt: inMs(DAY_MS) })).toBe(400);
    expect(await status({ recurrence: 'FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30', dueAt: inMs(DAY_MS) })).toBe(400);
    for (const dueAt of ['0001-01-01T00:00:00Z', '9999-12-31T23:59:59-12:00'])
      expect(await status({ dueAt })).toBe(400);
    const { id } = await add({ recurrence: 'FREQ=DAILY', dueAt: inMs(DAY_MS) });
    expect((await send('PATCH', `tasks/${id}`, { dueAt: null })).status).toBe(400);
    expect((await send('PATCH', `tasks/${id}`, { dueAt: null, recurrence: null })).body).toMatchObject({
      recurrence: null,
    });
    await send('DELETE', `tasks/${id}`);
    const { body } = await send('GET', 'tasks?sort=-dueAt&limit=1');
    expect(body.data).toEqual([]);
    const cursor = Buffer.from(JSON.stringify(['-infinity', id])).toString('base64url');
    expect((await send('GET', `tasks?cursor=${cursor}`)).status).toBe(400);
  });

  it('goes through every order by key, and filters', async () => {
    const dues = [inMs(DAY_MS), null, inMs(2 * DAY_MS), inMs(DAY_MS), null];
    const priorities = ['low', 'urgent', 'normal', 'urgent', 'high'];
    const made: { id: string; dueAt: string | null; priority: string }[] = [];
    for (const [at, dueAt] of dues.entries())
      made.push(await add({ title: `t${at}`, dueAt, priority: priorities[at] }));
    const due = (one: (typeof made)[number]) => `${one.dueAt ?? '9'} ${one.id}`;
    const rank = (one: (typeof made)[number]) => ['urgent', 'high', 'normal', 'low'].indexOf(one.priority);
    const byKey = (key: (one: (typeof made)[number]) => string) =>
      made.toSorted((a, b) => (key(a) < key(b) ? -1 : 1)).map(({ id }) => id);
    const expected = {
      dueAt: byKey(due),
      '-dueAt': byKey(due).toReversed(),
      createdAt: byKey(({ id }) => id),
      '-createdAt': byKey(({ id }) => id).toReversed(),
      priority: byKey((one) => `${rank(one)} ${due(one)}`),
    };
    for (const sort of SORTS) {
      const seen: string[] = [];
      let cursor = '';
      do {
        const { body } = await send('GET', `tasks?sort=${sort}&limit=2${cursor}`);
        seen.push(...body.data.map(({ id }: { id: string }) => id));
        cursor = body.page.nextCursor === null ? '' : `&cursor=${body.page.nextCursor}`;
      } while (cursor !== '');
      expect([sort, seen]).toEqual([sort, expected[sort]]);
    }
    const between = `dueFrom=${dues[0]}&dueBefore=${inMs(1.5 * DAY_MS)}`;
    expect(titles((await send('GET', `tasks?${between}`)).body)).toEqual(['t0', 't3']);
    await send('POST', `tasks/${made[0]?.id}/complete`);
    expect(titles((await send('GET', `tasks?${between}&status=open`)).body)).toEqual(['t3']);
    await send('PATCH', `tasks/${made[1]?.id}`, { contactId });
    expect(titles((await send('GET', `tasks?contactId=${contactId}`)).body)).toEqual(['t1']);
    expect(titles((await send('GET', `tasks?assigneeId=${bia.user.id}`)).body)).toEqual([]);
    await query('delete from task');
  });

  it('finds each page by an index', async () => {
    const client = await test.rt.systemPool.connect();
    try {
      await client.query('begin');
      await client.query('set local enable_seqscan = off; set local enable_sort = off');
      await client.query(`select set_config('app.workspace_id', $1, true)`, [ana.workspace.id]);
      const plan = async (...asked: Parameters<typeof listTasksSql>) => {
        const [sql, values] = listTasksSql(...asked);
        let at = 0;
        const numbered = sql.replaceAll('?', () => `$${(at += 1)}`);
        const { rows } = await client.query(`explain ${numbered}`, values);
        return rows.map((row) => row['QUERY PLAN']).join('\n');
      };
      const after = { dueAt: [inMs(0), contactId], createdAt: [contactId], priority: [1, inMs(0), contactId] };
      const onlyOf = bia.user.id;
      for (const [filter, sort, index] of [
        [{}, 'dueAt', 'task_due'],
        [{}, '-dueAt', 'task_due'],
        [{}, 'createdAt', 'task_pkey'],
        [{}, 'priority', 'task_urgency'],
        [{ status: 'open', onlyOf }, 'dueAt', 'task_assignee'],
      ] as const) {
        const key = sort === '-dueAt' ? 'dueAt' : sort;
        const seen = await plan(filter, { sort, after: after[key], limit: 26 });
        expect(seen).toContain(index);
        expect(seen).not.toContain('Sort');
      }
      expect(await plan({ contactId }, { sort: 'dueAt', after: null, limit: 26 })).toMatch(/task_(contact|due)/);
    } finally {
      await client.query('rollback');
      client.release();
    }
  });

  it('shows members without tasks:all only their own', async () => {
    const path = `workspaces/${ana.workspace.id}/members/${bia.user.id}`;
    expect((await send('PATCH', path, { denies: ['tasks:all'] })).status).toBe(200);
    const [theirs, hers] = [await add({ title: 'Da Ana' }), await add({ title: 'Da Bia', assigneeId: bia.user.id })];
    expect(titles((await send('GET', 'tasks', undefined, { of: bia })).body)).toEqual(['Da Bia']);
    expect(titles((await send('GET', `tasks?assigneeId=${ana.user.id}`, undefined, { of: bia })).body)).toEqual([]);
    for (const [method, tail, body] of [
      ['GET', '', undefined],
      ['PATCH', '', { priority: 'low' }],
      ['DELETE', '', undefined],
      ['POST', '/complete', undefined],
      ['POST', '/reopen', undefined],
      ['GET', '/reminders', undefined],
      ['POST', '/reminders', { remindAt: inMs(HOUR_MS) }],
    ] as const)
      expect((await send(method, `tasks/${theirs.id}${tail}`, body, { of: bia })).status).toBe(404);
    expect((await send('POST', `tasks/${hers.id}/complete`, undefined, { of: bia })).status).toBe(200);
    await send('PATCH', path, { denies: [] });
    await query('delete from task');
  });

  it('knows today and what comes by the clock of who asks', async () => {
    // Kiritimati is a day ahead of Pago Pago: what is today for one is tomorrow, or later, for the other.
    const zone = 'Pacific/Kiritimati';
    await untilDayLasts(zone);
    await send('PATCH', 'settings/user', { 'ui.timeZone': zone });
    const day = (ahead: number) => wallTimeIn(new Date(Date.now() + ahead * DAY_MS), zone).slice(0, 10);
    await add({ title: 'atrasada', dueAt: `${day(-3)}T10:00` });
    await add({ title: 'fim do dia', dueAt: `${day(0)}T23:59:59` });
    await add({ title: 'amanhã', dueAt: `${day(1)}T00:00` });
    await add({ title: 'sétimo dia', dueAt: `${day(7)}T23:59:59` });
    await add({ title: 'oitavo dia', dueAt: `${day(8)}T00:00` });
    await add({ title: 'sem prazo' });
    await add({ title: 'de outra', dueAt: `${day(0)}T12:00`, assigneeId: bia.user.id });
    expect(titles((await send('GET', 'tasks/today')).body)).toEqual(['atrasada', 'fim do dia']);
    expect(titles((await send('GET', 'tasks/upcoming')).body)).toEqual(['amanhã', 'sétimo dia']);
    expect(titles((await send('GET', 'tasks/upcoming?days=8')).body)).toEqual(['amanhã', 'sétimo dia', 'oitavo dia']);
    expect(titles((await send('GET', `tasks/today?assigneeId=${bia.user.id}`)).body)).toEqual(['de outra']);
    await send('PATCH', 'settings/user', { 'ui.timeZone': null });
    await query('delete from task');
  });
});

describe('a recurring task', () => {
  it('gets its next turn once, however many complete it at once, and keeps its hour', async () => {
    const dueAt = '2027-03-12T09:00:00';
    await send('PATCH', 'settings/user', { 'ui.timeZone': 'America/New_York' });
    const { id } = await add({ title: 'Visita', dueAt, recurrence: 'freq=weekly;byday=fr', contactId });
    await send('POST', `tasks/${id}/reminders`, { minutesBefore: 30 });
    const all = await Promise.all(Array.from({ length: 8 }, () => send('POST', `tasks/${id}/complete`)));
    const [nextId, ...others] = new Set(all.map(({ body }) => body.nextTaskId));
    expect(others).toEqual([]);
    const next = (await send('GET', `tasks/${nextId}`)).body;
    // Clocks go forward on the fourteenth: nine o'clock is an hour earlier in UTC.
    expect((await send('GET', `tasks/${id}`)).body.dueAt).toBe('2027-03-12T14:00:00.000Z');
    expect(next).toMatchObject({ title: 'Visita', dueAt: '2027-03-19T13:00:00.000Z', status: 'open', contactId });
    const { data } = (await send('GET', `tasks/${nextId}/reminders`)).body;
    expect(data).toMatchObject([{ minutesBefore: 30, remindAt: '2027-03-19T12:30:00.000Z', status: 'pending' }]);
    await send('POST', `tasks/${id}/reopen`);
    expect((await send('POST', `tasks/${id}/complete`)).body.nextTaskId).toBe(nextId);
    expect((await query('select from task')).rowCount).toBe(2);
    // Put off this once: the series stays where it was.
    await send('PATCH', `tasks/${nextId}`, { dueAt: '2027-03-22T15:00' });
    const third = (await send('POST', `tasks/${nextId}/complete`)).body.nextTaskId;
    expect((await send('GET', `tasks/${third}`)).body.dueAt).toBe('2027-03-26T13:00:00.000Z');
    await send('PATCH', 'settings/user', { 'ui.timeZone': null });
    await query('delete from task');
  });
});

const before = (dueAt: string, minutes: number) => new Date(Date.parse(dueAt) - minutes * 60_000).toISOString();

describe('reminders of a task', () => {
  it('are reminders like others, follow their task, and come no more once it is done', async () => {
    const { id } = await add({ dueAt: inMs(DAY_MS) });
    const path = `tasks/${id}/reminders`;
    const [one, two] = [
      (await send('POST', path, { minutesBefore: 60 })).body,
      (await send('POST', path, { remindAt: inMs(2 * HOUR_MS) })).body,
    ];
    expect(one).toMatchObject({ taskId: id, userId: ana.user.id, minutesBefore: 60, status: 'pending' });
    expect((await send('POST', path, { minutesBefore: 60 })).body).toMatchObject({
      status: 409,
      code: 'reminder_refused',
    });
    expect((await send('POST', path, { minutesBefore: 60 * 48 })).status).toBe(400);
    expect((await send('POST', path, { minutesBefore: 1, remindAt: inMs(1000) })).status).toBe(400);
    expect((await send('GET', 'reminders')).body.data).toMatchObject([
      { id: two.id, subject: { type: 'task', id } },
      { id: one.id },
    ]);
    const later = inMs(2 * DAY_MS);
    await send('PATCH', `tasks/${id}`, { dueAt: later, title: 'Outro', assigneeId: bia.user.id });
    const moved = (await send('GET', `${path}/${one.id}`)).body;
    expect(moved).toMatchObject({ userId: bia.user.id, remindAt: new Date(Date.parse(later) - HOUR_MS).toISOString() });
    expect((await send('GET', 'reminders', undefined, { of: bia })).body.data[0]).toMatchObject({ title: 'Outro' });
    expect((await send('PATCH', `${path}/${two.id}`, { minutesBefore: 15 })).body).toMatchObject({ minutesBefore: 15 });
    await send('POST', `tasks/${id}/complete`);
    const states = async () => (await send('GET', path)).body.data.map(({ status }: { status: string }) => status);
    expect(await states()).toEqual(['cancelled', 'cancelled']);
    expect((await send('PATCH', `${path}/${one.id}`, { minutesBefore: 5 })).body).toMatchObject({
      code: 'reminder_over',
    });
    expect((await send('POST', path, { minutesBefore: 5 })).body).toMatchObject({ code: 'task_completed' });
    await send('POST', `tasks/${id}/reopen`);
    expect(await states()).toEqual(['pending', 'pending']);
    expect((await send('DELETE', `${path}/${one.id}`)).status).toBe(200);
    expect((await send('GET', `${path}/${one.id}`)).status).toBe(404);
    await send('DELETE', `tasks/${id}`);
    expect((await query('select from reminder')).rowCount).toBe(0);
  });

  it('of a task that changed while it was done come at its new time, title and person once it is reopened', async () => {
    const { id } = await add({ dueAt: inMs(2 * HOUR_MS) });
    const path = `tasks/${id}/reminders`;
    const moved = (await send('POST', path, { minutesBefore: 30 })).body;
    const late = (await send('POST', path, { minutesBefore: 60 })).body;
    const fixed = (await send('POST', path, { remindAt: inMs(HOUR_MS / 4) })).body;
    await send('POST', `tasks/${id}/complete`);
    const put = async (dueAt: string | null) => {
      expect((await send('PATCH', `tasks/${id}`, { dueAt, title: 'Outro', assigneeId: bia.user.id })).status).toBe(200);
      expect((await send('POST', `tasks/${id}/reopen`)).status).toBe(200);
      const { data } = (await send('GET', path)).body;
      return data as { id: string; status: string; remindAt: string; userId: string }[];
    };
    // Nearer than an hour: what was to come an hour before is past, and comes no more.
    const near = inMs(HOUR_MS * 0.75);
    const pending = { status: 'pending', userId: bia.user.id };
    const seen = new Map((await put(near)).map((one) => [one.id, one]));
    expect(seen.get(moved.id)).toMatchObject({ ...pending, remindAt: before(near, 30) });
    expect(seen.get(fixed.id)).toMatchObject({ ...pending, remindAt: fixed.remindAt });
    expect(seen.get(late.id)).toMatchObject({ status: 'cancelled' });
    // What was past by the old time, and is not by the new one, comes.
    await query(`update reminder set remind_at = now() - interval '1 minute', status = 'pending' where id = $1`, [
      moved.id,
    ]);
    await send('POST', `tasks/${id}/complete`);
    const far = inMs(2 * DAY_MS);
    const again = new Map((await put(far)).map((one) => [one.id, one]));
    expect(again.get(moved.id)).toMatchObject({ ...pending, remindAt: before(far, 30) });
    await send('POST', `tasks/${id}/complete`);
    expect((await put(null)).map(({ status }) => status)).toEqual(['pending', 'cancelled', 'cancelled']);
    expect((await query(`select title from reminder where status = 'pending'`)).rows).toEqual([{ title: 'Outro' }]);
    await query('delete from task');
  });

  it('that came due while nothing ran are caught up with, each once, and say that they are late', async () => {
    const ids: string[] = [];
    for (let at = 0; at < 25; at += 1) {
      const { id } = await add({ title: `Tarefa ${at}`, dueAt: inMs(DAY_MS), contactId });
      await send('POST', `tasks/${id}/reminders`, { minutesBefore: 60 });
      ids.push(id);
    }
    const [done] = ids;
    await query(`update reminder set remind_at = now() - interval '3 hours'`);
    await send('POST', `tasks/${done}/complete`);
    await Promise.all([remindAll(), remindAll(), remindAll()]);
    await remindAll();
    const told = await query(`select data from outbox_event where type = 'task.due'`);
    expect(new Set(told.rows.map(({ data }) => data.taskId))).toEqual(new Set(ids.slice(1)));
    expect(told.rows).toHaveLength(24);
    expect(told.rows[0].data).toMatchObject({ contactId, ownerId: ana.user.id, dealId: null });
    const { data } = (await send('GET', 'notifications?limit=100')).body;
    expect(data).toHaveLength(24);
    expect(data[0]).toMatchObject({ kind: 'reminder', body: expect.stringMatching(/^Com atraso: era para /) });
    expect((await query(`select from outgoing_mail where purpose = 'reminder'`)).rowCount).toBe(0);
  });
});
