import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { leadWhenFree } from '#src/db/leader.ts';
import { openPool } from '#src/db/pool.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { EventWatch, FeedEvent } from '#src/events/feed-topic.ts';
import { createHinter } from '#src/events/hint.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { createEventRelay } from '#src/events/relay.ts';
import { createMetrics } from '#src/lib/metrics.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

let test: TestRuntime;
let user: TestUser;
let stopRelay: () => Promise<void>;
let hints = 0;
const open: EventWatch[] = [];

beforeAll(async () => {
  test = await openTestRuntime();
  user = await aUser(test.rt);
  const pool = openPool(test.config, { name: 'relay', role: 'wh_system', max: 4 }, test.rt.log);
  const hinter = createHinter(test.rt.redis, test.config.REDIS_PREFIX, () => undefined);
  const counted = {
    ...hinter,
    handle: (...given: Parameters<typeof hinter.handle>) => ((hints += 1), hinter.handle(...given)),
  };
  const relay = createEventRelay({ pool, consumers: [counted], log: test.rt.log, metrics: createMetrics('test') });
  const stopping = new AbortController();
  const leading = leadWhenFree(test.config.DATABASE_URL, 4712, relay.run, stopping.signal, test.rt.log);
  stopRelay = async () => {
    stopping.abort();
    await leading;
    await pool.end();
  };
});
afterEach(() => {
  for (const watch of open.splice(0)) watch.close();
  expect(test.rt.events.counts()).toEqual({ workspaces: 0, watchers: 0 });
});
afterAll(async () => {
  await stopRelay();
  await test.close();
});

const emit = (texts: string[], of = user) =>
  inWorkspaceTx(test.rt.orm, { workspaceId: of.auth.workspaceId }, async (em) => {
    for (const text of texts) {
      await emitEvent(em, { type: 'workspace.changed', data: { changed: [text] }, subjectId: null, actorId: null });
    }
  });

const textOf = ({ event, data }: FeedEvent): string =>
  event === 'resync' ? event : (JSON.parse(data) as { changed: string[] }).changed.join();

async function watch(from: number | null, takes: (event: FeedEvent) => boolean = () => true, of = user) {
  const events: FeedEvent[] = [];
  const deliver = (event: FeedEvent): boolean => {
    events.push(event);
    return takes(event);
  };
  const watching = await test.rt.events.watch(of.auth.workspaceId, from, { deliver });
  open.push(watching);
  watching.resume();
  return { watching, events, texts: () => events.map(textOf) };
}

/** The places of a workspace's events, oldest first. */
const positions = async (): Promise<number[]> => {
  const { rows } = await test.rt.systemPool.query<{ position: number }>(
    'select position::float8 from outbox_event where workspace_id = $1 and position is not null order by position',
    [user.auth.workspaceId],
  );
  return rows.map(({ position }) => position);
};

describe('following events', () => {
  it('begins with the present, tells each once, and nothing of another workspace', async () => {
    const stranger = await aUser(test.rt);
    await emit(['before']);
    await expect.poll(positions).toHaveLength(1);
    const mine = await watch(null);
    const theirs = await watch(null, undefined, stranger);
    expect(Number(mine.watching.lastEventId)).toBeGreaterThanOrEqual((await positions())[0] ?? Infinity);
    await Promise.all([emit(['a', 'b']), emit(['x'], stranger), emit(['c'])]);
    await expect.poll(() => mine.texts().toSorted()).toEqual(['a', 'b', 'c']);
    await expect.poll(theirs.texts).toEqual(['x']);
    expect(mine.events.map(({ id }) => Number(id))).toEqual((await positions()).slice(1));
    const again = await watch(Number(mine.events[0]?.id));
    await expect.poll(() => again.events.map(({ id }) => id)).toEqual(mine.events.slice(1).map(({ id }) => id));
  });

  it('asks once for a thousand followers', async () => {
    const all = await Promise.all(Array.from({ length: 1000 }, () => watch(null)));
    let statements = 0;
    const count = (): void => void (statements += 1);
    test.rt.pool.on('acquire', count);
    for (let round = 1; round <= 5; round += 1) {
      const [before, hintsBefore] = [statements, hints];
      await emit(Array.from({ length: 20 }, (_, at) => `${round}.${at}`));
      await expect.poll(() => all.every(({ events }) => events.length === 20 * round)).toBe(true);
      // The transaction that emits takes none of these connections. A hint is one question, whose answer goes to all; the survey may ask too.
      expect(statements - before).toBeLessThanOrEqual(hints - hintsBefore + 1);
    }
    test.rt.pool.off('acquire', count);
    expect(statements).toBeGreaterThan(0);
    expect(new Set(all.map(({ texts }) => texts().join(' '))).size).toBe(1);
  });

  it('keeps the place of whoever does not read, and holds nobody else up', async () => {
    let isTaking = false;
    const slow = await watch(null, () => isTaking);
    const fast = await watch(null);
    const told = Array.from({ length: 450 }, (_, at) => `slow ${at}`);
    for (let at = 0; at < told.length; at += 50) await emit(told.slice(at, at + 50));
    await expect.poll(() => fast.events.length).toBe(told.length);
    expect(fast.texts().toSorted()).toEqual(told.toSorted());
    expect(slow.events).toHaveLength(1);
    isTaking = true;
    slow.watching.resume();
    await emit(['and on']);
    await expect.poll(() => slow.events.length).toBe(told.length + 1);
    await expect.poll(() => fast.events.length).toBe(told.length + 1);
    expect(slow.events).toEqual(fast.events);
  });

  it('hears of events whose hint was lost', async () => {
    const follower = await watch(null);
    await test.rt.events.watch(user.auth.workspaceId, null, { deliver: () => true }).then((one) => one.close());
    // As though this process had not heard it: the event is placed already when it is committed.
    const client = await test.rt.systemPool.connect();
    try {
      await client.query('begin');
      await client.query('update outbox_head set last = last + 1');
      await client.query(
        `insert into outbox_event (workspace_id, id, position, type, data)
          select $1, uuidv7(), last, 'workspace.changed', '{"changed":["unheard"]}' from outbox_head`,
        [user.auth.workspaceId],
      );
      await client.query(`update event_consumer set position = (select last from outbox_head)`);
      await client.query('commit');
    } finally {
      client.release();
    }
    await expect.poll(follower.texts).toEqual(['unheard']);
  });
});

describe('what is not kept', () => {
  it('is told by a resync with the place to go on from: after a day, below what is kept, above what there ever was', async () => {
    const before = (await positions()).length;
    await emit(['old']);
    await emit(['new']);
    await expect.poll(positions).toHaveLength(before + 2);
    const [first = 0] = await positions();
    const last = (await positions()).at(-1) ?? 0;
    const dayOld = `update outbox_event set occurred_at = now() - interval '25 hours' where position = $1`;
    const secondLast = (await positions()).at(-2) ?? 0;
    await test.rt.systemPool.query(dayOld, [secondLast]);

    const tooLate = await watch(secondLast - 1);
    await expect.poll(tooLate.texts).toEqual(['resync']);
    expect(Number(tooLate.events[0]?.id)).toBeGreaterThanOrEqual(last);
    const inTime = await watch(secondLast);
    await expect.poll(inTime.texts).toEqual(['new']);
    const future = await watch(Number.MAX_SAFE_INTEGER);
    await expect.poll(future.texts).toEqual(['resync']);

    await test.rt.systemPool.query('delete from outbox_event where position <= $1', [secondLast]);
    // The next survey sees what is still there.
    await sleep(2500);
    const gone = await watch(first - 1);
    await expect.poll(gone.texts).toEqual(['resync']);
    await emit(['on']);
    for (const one of [tooLate, future, gone]) await expect.poll(one.texts).toEqual(['resync', 'on']);
    await expect.poll(inTime.texts).toEqual(['new', 'on']);
  });
});
