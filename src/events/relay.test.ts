import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from 'pg';
import { leadWhenFree } from '#src/db/leader.ts';
import { openPool } from '#src/db/pool.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { EVENTS } from '#src/events/catalog.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { createEventRelay, type Consumer, type EventRelay } from '#src/events/relay.ts';
import { enrolConsumer, type StoredEvent } from '#src/events/relay.query.ts';
import { createMetrics } from '#src/lib/metrics.ts';
import { createAccept } from '#src/modules/jobs/accept.query.ts';
import { cancelJob } from '#src/modules/jobs/jobs.query.ts';
import { toProblem } from '#src/errors.ts';
import { newId } from '#src/lib/ids.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

let test: TestRuntime;
let user: TestUser;
let pool: ReturnType<typeof openPool>;
beforeAll(async () => {
  test = await openTestRuntime();
  user = await aUser(test.rt);
  pool = openPool(test.config, { name: 'relay', role: 'wh_system', max: 10 }, test.rt.log);
});
afterAll(async () => {
  await pool.end();
  await test.close();
});

const relayOf = (...consumers: Consumer[]): EventRelay =>
  createEventRelay({ pool, consumers, log: test.rt.log, metrics: createMetrics('test') });

let names = 0;
/** A consumer that keeps what it was told in a list. */
async function aConsumer(onEvent: (event: StoredEvent) => void | Promise<void> = () => undefined) {
  const seen: StoredEvent[] = [];
  const consumer: Consumer = {
    name: `consumer-${(names += 1)}`,
    async handle(_tx, events) {
      for (const event of events) await onEvent(event);
      seen.push(...events);
    },
  };
  await enrolConsumer(pool, consumer.name);
  return { consumer, seen, ids: () => seen.map(({ data }) => JSON.stringify(data)) };
}

const mark = (text: string) => JSON.stringify({ changed: [text] });
const emit = (text: string, held?: Promise<void>) =>
  inWorkspaceTx(test.rt.orm, { workspaceId: user.auth.workspaceId }, async (em) => {
    await emitEvent(em, { type: 'workspace.changed', data: { changed: [text] }, subjectId: null, actorId: null });
    await held;
  });

/** Runs a relay as the control process does, until the function it returns is called. */
function lead(relay: EventRelay): () => Promise<void> {
  const stopping = new AbortController();
  const leading = leadWhenFree(test.config.DATABASE_URL, 4711, relay.run, stopping.signal, test.rt.log);
  return async () => {
    stopping.abort();
    await leading;
  };
}

async function consumeAll(relay: EventRelay, consumer: Consumer): Promise<void> {
  await relay.place();
  while ((await relay.consume(consumer)) > 0);
}

describe('the order', () => {
  it('has no hole for an event whose transaction began first and committed last', async () => {
    const { consumer, ids } = await aConsumer();
    const relay = relayOf(consumer);
    const { promise, resolve } = Promise.withResolvers<void>();
    const late = emit('late', promise);
    await sleep(20);
    await emit('early');
    await consumeAll(relay, consumer);
    expect(ids()).toEqual([mark('early')]);
    resolve();
    await late;
    await consumeAll(relay, consumer);
    expect(ids()).toEqual([mark('early'), mark('late')]);
  });

  it('gives each event one place, without gaps, however many relays place at once', async () => {
    const { consumer, seen } = await aConsumer();
    const relays = [relayOf(consumer), relayOf(consumer), relayOf(consumer)];
    const emitting = Array.from({ length: 60 }, (_, at) => emit(String(at)));
    for (let round = 0; round < 10; round += 1) await Promise.all(relays.map((relay) => relay.place()));
    await Promise.all(emitting);
    await Promise.all(relays.map((relay) => relay.place()));
    await Promise.all(relays.map((relay) => relay.consume(consumer)));
    const positions = seen.map(({ position }) => position);
    expect(positions).toHaveLength(60);
    expect(positions).toEqual(positions.map((_, at) => (positions[0] ?? 0) + at));
  });
});

describe('a consumer', () => {
  it('that rolls back is handed the same again; one that commits is not', async () => {
    let isFailing = true;
    const { consumer, ids } = await aConsumer(() => {
      if (isFailing) throw new Error('not now');
    });
    const relay = relayOf(consumer);
    await emit('again');
    await relay.place();
    await expect(relay.consume(consumer)).rejects.toThrow('not now');
    isFailing = false;
    expect(await relay.consume(consumer)).toBe(1);
    expect(await relay.consume(consumer)).toBe(0);
    expect(ids()).toEqual([mark('again')]);
  });

  it('that hangs or fails holds up no other, and an event it cannot handle is set aside until it can', async () => {
    let isPoisoned = true;
    const failing = await aConsumer(({ data }) => {
      if (isPoisoned && JSON.stringify(data) === mark('poison')) throw new Error('poisoned');
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    const hanging = await aConsumer(() => promise);
    const healthy = await aConsumer();
    const stop = lead(relayOf(failing.consumer, hanging.consumer, healthy.consumer));
    try {
      for (const text of ['before', 'poison', 'after']) await emit(text);
      await expect.poll(healthy.ids).toEqual([mark('before'), mark('poison'), mark('after')]);
      expect(hanging.seen).toEqual([]);
      await expect.poll(failing.ids).toEqual([mark('before'), mark('after')]);
      isPoisoned = false;
      await pool.query(`update event_set_aside set next_attempt_at = now()`);
      await expect.poll(failing.ids).toEqual([mark('before'), mark('after'), mark('poison')]);
      await expect.poll(async () => (await pool.query('select from event_set_aside')).rowCount).toBe(0);
    } finally {
      resolve();
      await stop();
    }
  });

  it('that cannot reach the database is not taken for one that cannot handle an event', async () => {
    const admin = new Client({ connectionString: test.config.DATABASE_URL });
    await admin.connect();
    let losses = 7;
    const seen: string[] = [];
    const consumer: Consumer = {
      name: 'cut-off',
      async handle(tx, events) {
        if (losses > 0) {
          losses -= 1;
          const { rows } = await tx.query('select pg_backend_pid() as pid');
          await admin.query('select pg_terminate_backend($1)', [rows[0].pid]);
          await tx.query('select pg_sleep(60)');
        }
        seen.push(...events.map(({ data }) => JSON.stringify(data)));
      },
    };
    await enrolConsumer(pool, consumer.name);
    const stop = lead(relayOf(consumer));
    try {
      for (const text of ['one', 'two']) await emit(text);
      await expect.poll(() => seen.length).toBe(2);
      expect(seen).toEqual([mark('one'), mark('two')]);
    } finally {
      await stop();
      await admin.end();
    }
  });

  it('tries again what was set aside, also behind an event that is gone since', async () => {
    let isPoisoned = true;
    const { consumer, ids } = await aConsumer(() => {
      if (isPoisoned) throw new Error('poisoned');
    });
    await emit('kept');
    await relayOf(consumer).place();
    await pool.query(
      `insert into event_set_aside (consumer, position, failures, next_attempt_at)
        select $1, p, 1, now() - age from (select last, interval '0' from outbox_head union all select 1999999999, interval '1 day') t (p, age)`,
      [consumer.name],
    );
    await pool.query('update event_consumer set position = (select last from outbox_head) where name = $1', [
      consumer.name,
    ]);
    isPoisoned = false;
    const stop = lead(relayOf(consumer));
    try {
      await expect.poll(ids).toEqual([mark('kept')]);
      const left = () => pool.query('select from event_set_aside where consumer = $1', [consumer.name]);
      await expect.poll(async () => (await left()).rowCount).toBe(0);
    } finally {
      await stop();
    }
  });

  // Again when the machine was busy: what broke would be late each time.
  it('is woken by the commit, not by the timer', { retry: 3 }, async () => {
    const { consumer, seen } = await aConsumer();
    const stop = lead(relayOf(consumer));
    try {
      const waits: number[] = [];
      for (let at = 0; at < 10; at += 1) {
        await sleep(50);
        const before = seen.length;
        await emit(String(at));
        const startedAt = performance.now();
        while (seen.length === before && performance.now() - startedAt < 3000) await sleep(1);
        waits.push(performance.now() - startedAt);
      }
      // The timer alone would take half a second in the middle.
      expect(waits.toSorted((a, b) => a - b)[5]).toBeLessThan(250);
    } finally {
      await stop();
    }
  });
});

it('the end of a job is an event, told once, as the catalogue says', async () => {
  const { consumer, seen } = await aConsumer();
  const { workspaceId, userId } = user.auth;
  const id = newId();
  const job = {
    queue: 'ai-inference',
    engine: 'chat',
    band: 'normal',
    input: {},
    options: {},
    requestId: 'r',
  } as const;
  const rest = { maxAttempts: 3, hold: 1000, idempotency: null };
  await createAccept(test.rt.pool)({ workspaceId, id, userId, ...job, ...rest });
  const problem = toProblem(new Error('x'));
  await cancelJob(test.rt.pool, { workspaceId, id }, { ...problem, code: 'cancelled' });
  await cancelJob(test.rt.pool, { workspaceId, id }, { ...problem, code: 'cancelled' });
  await consumeAll(relayOf(consumer), consumer);
  expect(seen).toHaveLength(1);
  expect(seen[0]).toMatchObject({ type: 'ai.job.cancelled', workspaceId, subjectId: id, actorId: userId });
  expect(EVENTS['ai.job.cancelled'].data.strict().parse(seen[0]?.data)).toMatchObject({
    jobId: id,
    problemCode: 'cancelled',
    usage: null,
  });
});
