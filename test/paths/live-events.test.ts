import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BackendClient } from '../../client/src/index.ts';
import { createInstallation, startRedis, type Installation, type Running } from '#test/processes.ts';

const password = 'a long enough password';

let redis: Awaited<ReturnType<typeof startRedis>>;
let installation: Installation;
let apis: (Running & { url: string })[];
let control: Running;

beforeAll(async () => {
  redis = await startRedis();
  installation = await createInstallation({ REDIS_URL: redis.url });
  [apis, control] = await Promise.all([
    Promise.all([installation.startApi(), installation.startApi()]),
    installation.startControl(),
  ]);
});
afterAll(async () => {
  await installation.close();
  await redis.stop();
});

/** A WebSocket whose connections the test cuts as a lost network would. */
function createCutter() {
  const open = new Set<WebSocket>();
  let cuts = 0;
  class CuttableSocket extends WebSocket {
    constructor(url: string | URL) {
      super(url);
      open.add(this);
      this.addEventListener('close', () => open.delete(this));
    }
  }
  return {
    CuttableSocket,
    cuts: () => cuts,
    cut(): void {
      for (const socket of open) {
        if (socket.readyState !== WebSocket.OPEN) continue;
        socket.close();
        cuts += 1;
      }
    },
  };
}

let people = 0;
/** Somebody with a workspace of their own, who listens to its events at both APIs. */
async function aListener() {
  people += 1;
  const email = `listener-${people}@example.com`;
  const cutter = createCutter();
  const clients = await Promise.all(
    apis.map(async ({ url }, at) => {
      const client = new BackendClient({
        baseUrl: url,
        WebSocket: cutter.CuttableSocket,
        backoffBaseMs: 5,
        backoffCapMs: 20,
      });
      return { client, at };
    }),
  );
  const [first] = clients;
  if (!first) throw new Error('No client');
  const { workspace } = await first.client.register({ email, password, name: 'Ana' });
  const heard: string[][] = [];
  for (const { client, at } of clients) {
    if (at > 0) await client.login({ email, password });
    const texts: string[] = [];
    heard.push(texts);
    client.events.on('workspace.*', ({ data }) => texts.push(data.changed.join()));
    await expect.poll(() => client.events.lastEventId).toBeDefined();
  }
  return { workspaceId: workspace.id, heard, cutter, close: () => clients.forEach(({ client }) => client.close()) };
}

/** Emits in a transaction that lasts for a while, so that many of them overlap. */
async function emit(workspaceId: string, text: string, heldMs: number): Promise<void> {
  await installation.pool.query(
    `with waited as materialized (select pg_sleep($3::float8 / 1000))
      insert into outbox_event (workspace_id, id, type, data)
      select $1, uuidv7(), 'workspace.changed', json_build_object('changed', json_build_array($2::text)) from waited`,
    [workspaceId, text, heldMs],
  );
}

/** What a workspace's history says, in order. */
const history = async (workspaceId: string): Promise<string[]> => {
  const { rows } = await installation.pool.query<{ text: string }>(
    `select data->'changed'->>0 as text from outbox_event where workspace_id = $1 and position is not null order by position`,
    [workspaceId],
  );
  return rows.map(({ text }) => text);
};

/** Waits until everything the history has was heard at each API, and expects it once and in its order. */
async function expectHeard(listener: Awaited<ReturnType<typeof aListener>>, count: number): Promise<void> {
  await expect.poll(() => history(listener.workspaceId)).toHaveLength(count);
  const told = await history(listener.workspaceId);
  for (const texts of listener.heard) await expect.poll(() => texts).toEqual(told);
}

describe('events over real processes', () => {
  it('come once each and in order across thirty reconnects, to their own workspace alone', async () => {
    const mine = await aListener();
    const theirs = await aListener();
    let emitted = 0;
    const over = new AbortController();
    const emitting = [mine, theirs, mine].map(async ({ workspaceId }, lane) => {
      while (!over.signal.aborted) {
        await emit(workspaceId, `${workspaceId} ${lane}.${emitted}`, Math.random() * 30);
        emitted += 1;
      }
    });
    while (mine.cutter.cuts() < 30 || theirs.cutter.cuts() < 30) {
      await sleep(150);
      mine.cutter.cut();
      theirs.cutter.cut();
    }
    over.abort();
    await Promise.all(emitting);
    let told = 0;
    for (const listener of [mine, theirs]) {
      const { rows } = await installation.pool.query(
        'select count(*)::int as n from outbox_event where workspace_id = $1',
        [listener.workspaceId],
      );
      told += rows[0].n;
      await expectHeard(listener, rows[0].n);
      expect(listener.heard.flat().every((text) => text.startsWith(listener.workspaceId))).toBe(true);
      listener.close();
    }
    expect(told).toBe(emitted);
    expect(emitted).toBeGreaterThan(60);
  });

  it('are not lost when the relay is killed, nor when Redis is', async () => {
    const listener = await aListener();
    const { workspaceId } = listener;
    let count = 0;
    const emitSome = async (): Promise<void> => {
      await Promise.all(Array.from({ length: 10 }, () => emit(workspaceId, `${(count += 1)}`, Math.random() * 20)));
    };
    await emitSome();
    await control.kill('SIGKILL');
    await emitSome();
    control = await installation.startControl();
    await emitSome();
    await expectHeard(listener, count);
    await redis.stop();
    await emitSome();
    await expectHeard(listener, count);
    await redis.restart();
    await emitSome();
    await expectHeard(listener, count);
    expect(listener.heard.map(({ length }) => length)).toEqual([count, count]);
    listener.close();
  });
});
