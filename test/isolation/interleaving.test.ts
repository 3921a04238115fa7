import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WebSocket as Socket } from 'ws';
import { aUser, type TestUser } from '#test/factories.ts';
import { onServer, openTestApp, type TestApp } from '#test/harness.ts';
import { inWorkspaceTx, queryAs } from '#src/db/tenant.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';

let test: TestApp;
let tenants: TestUser[];
const jobs = new Map<TestUser, string>();
beforeAll(async () => {
  test = await openTestApp({ DATABASE_POOL: '2' });
  tenants = [await aUser(test.rt), await aUser(test.rt)];
  for (const user of tenants) {
    const submit = {
      method: 'POST',
      url: '/api/ai/sentiment',
      headers: user.headers,
      payload: { text: 'Bom.' },
    } as const;
    jobs.set(user, (await test.app.inject(submit)).json().jobId);
  }
});
afterAll(() => test.close());

/** What each connection of the pool still has set. */
const leftovers = async () => {
  const clients = await Promise.all([test.rt.pool.connect(), test.rt.pool.connect()]);
  const settings = await Promise.all(
    clients.map((client) =>
      client.query(`select current_setting('app.workspace_id', true) as w, pg_current_xact_id_if_assigned() as x`),
    ),
  );
  for (const client of clients) client.release();
  return settings.map(({ rows }) => [rows[0]?.w ?? '', rows[0]?.x]);
};

it('keeps two workspaces apart on two connections, and leaves nothing on them', async () => {
  const answers = await Promise.all(
    Array.from({ length: 200 }, async (_, at) => {
      const user = tenants[at % 2];
      const answer = await test.app.inject({ url: '/api/jobs', headers: user?.headers });
      return { user, ids: answer.json().data.map((job: { id: string }) => job.id) };
    }),
  );
  for (const { user, ids } of answers) expect(ids).toEqual([user && jobs.get(user)]);
  expect(await leftovers()).toEqual([
    ['', null],
    ['', null],
  ]);
});

it('leaves no transaction open, and no workspace set, when a statement fails or its connection dies', async () => {
  const scope = { workspaceId: tenants[0]?.workspace.id };
  const fails = queryAs(test.rt.pool, scope, { text: 'select 1 / 0' });
  await expect(fails).rejects.toMatchObject({ code: '22012' });
  const dies = queryAs(test.rt.pool, scope, { text: 'select pg_sleep(10)' });
  dies.catch(() => undefined);
  const kill = `select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and query like '%pg_sleep%'`;
  // Only the owner of the server may end connections.
  const killed = () => onServer(test.config.DATABASE_URL, async (client) => (await client.query(kill)).rowCount);
  await expect.poll(killed).toBeGreaterThan(0);
  await expect(dies).rejects.toThrow();
  await expect(inWorkspaceTx(test.rt.orm, scope, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await leftovers()).toEqual([
    ['', null],
    ['', null],
  ]);
});

it('shows nobody anything who does not say for whom they ask', async () => {
  for (const table of ['workspace', 'member', 'job', 'credit_account', 'audit_log', 'workspace_setting']) {
    expect(`${table} ${(await test.rt.pool.query(`select from ${table}`)).rowCount}`).toBe(`${table} 0`);
  }
  await expect(test.rt.orm.em.fork().find(Member, {})).rejects.toThrow('filter');
  const injected = queryAs(test.rt.pool, { workspaceId: `x'; drop table job; --` }, { text: 'select 1' });
  await expect(injected).rejects.toThrow(TypeError);
});

it('opens no job of another workspace over a socket', async () => {
  const url = (await test.app.listen({ host: '127.0.0.1', port: 0 })).replace('http', 'ws');
  const [own, other] = tenants;
  const theirs = other && jobs.get(other);
  const socket = new Socket(`${url}/api/ws`);
  await once(socket, 'open');
  const ask = async (frame: object) => {
    socket.send(JSON.stringify(frame));
    for (;;) {
      const [bytes] = await once(socket, 'message');
      const heard = JSON.parse(String(bytes));
      if (heard.type === 'reply') return heard;
    }
  };
  expect(await ask({ type: 'auth', id: 1, token: own?.token })).toMatchObject({ ok: true });
  expect(await ask({ type: 'subscribe', id: 2, topic: `job:${theirs}` })).toMatchObject({ problem: { status: 404 } });
  expect(await ask({ type: 'cancel', id: 3, jobId: theirs })).toMatchObject({ problem: { status: 404 } });
  const there = { type: 'auth', id: 4, token: own?.token, workspaceId: other?.workspace.id };
  expect(await ask(there)).toMatchObject({ problem: { status: 404 } });
  socket.close();
});
