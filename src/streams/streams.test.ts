import fc from 'fast-check';
import { Redis } from 'ioredis';
import { createSecretKey, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseResumeId, type EndedJob, type StreamEvent } from '#src/streams/cursor.ts';
import { createEmit, type Emission, type Emitted } from '#src/streams/emit.ts';
import { createFrameBox, isAfter, streamKey } from '#src/streams/frame.ts';
import { createStreamReader, type StreamReader } from '#src/streams/reader.ts';
import { createStreamWriter, type StreamWriter } from '#src/streams/writer.ts';

const url = process.env['REDIS_URL'] ?? '';
const prefix = `test-${randomUUID().slice(0, 8)}`;
const master = createSecretKey(randomBytes(32));
const options = { maxRetriesPerRequest: 1, enableOfflineQueue: false };
let redis: Redis;
let subscriber: Redis;
let emit: (emission: Emission) => Promise<Emitted>;
let reader: StreamReader;
const ended = new Map<string, EndedJob & { id: string }>();
const writers = new Map<string, StreamWriter>();
const errors: unknown[] = [];

beforeAll(async () => {
  redis = new Redis(url, options);
  subscriber = new Redis(url, options);
  await Promise.all([once(redis, 'ready'), once(subscriber, 'ready')]);
  emit = createEmit(redis);
  reader = createStreamReader({
    redis,
    subscriber,
    prefix,
    master,
    findEnded: async (jobs) => jobs.flatMap((job) => ended.get(job.id) ?? []),
    requestResync: (jobId) => writers.get(jobId)?.resync(),
    onError: (error) => errors.push(error),
  });
});
afterAll(() => {
  reader.close();
  redis.disconnect();
  subscriber.disconnect();
  expect(errors).toEqual([]);
});

const openWriter = (jobId: string, attempt: number, onFenced = () => {}): StreamWriter => {
  const writer = createStreamWriter({ emit, prefix, master, jobId, attempt, onFenced });
  writers.set(jobId, writer);
  return writer;
};

const rises = (from: string, to: string): boolean => {
  const [a, b] = [parseResumeId(from), parseResumeId(to)];
  if (!a || !b) return false;
  if (isAfter(b.position, a.position)) return true;
  return !isAfter(a.position, b.position) && b.isVoid && !a.isVoid;
};

/** What a client keeps: the text since the last restart, and the id to resume from; an id that does not rise is a fault. */
function createClient(jobId: string) {
  let text = '';
  let lastId: string | null = null;
  let indexes: number[] = [];
  let isOver = false;
  const over = Promise.withResolvers<void>();
  const faults: string[] = [];
  const take = (event: StreamEvent): void => {
    if (lastId !== null && !rises(lastId, event.id)) faults.push(`${event.id} after ${lastId}`);
    lastId = event.id;
    const data = JSON.parse(event.data) as { delta: string; index: number };
    if (event.event === 'job.restarted') {
      text = '';
      indexes = [];
    } else if (event.event === 'job.chunk') {
      if (data.index !== indexes.length) faults.push(`index ${data.index} in the place of ${indexes.length}`);
      text += data.delta;
      indexes.push(data.index);
    } else if (event.event === 'job.completed') isOver = true;
  };
  const connect = async (dropAfter: number): Promise<void> => {
    const dropped = Promise.withResolvers<void>();
    let taken = 0;
    let isConnected = true;
    const watch = await reader.watch({ workspaceId: 'w', id: jobId }, lastId === null ? null : parseResumeId(lastId), {
      deliver(event) {
        if (!isConnected) return true;
        take(event);
        taken += 1;
        if (taken >= dropAfter) {
          isConnected = false;
          dropped.resolve();
        }
        return true;
      },
      over() {
        dropped.resolve();
        if (isOver) over.resolve();
      },
    });
    await dropped.promise;
    isConnected = false;
    watch.close();
  };
  return { connect, text: () => text, isOver: () => isOver, faults, indexes: () => indexes, over: over.promise };
}

const finish = async (writer: StreamWriter, jobId: string, attempts: number): Promise<void> => {
  const view = { id: jobId, status: 'completed' };
  ended.set(jobId, { id: jobId, status: 'completed', attempts, view, text: writer.shownText() });
  await writer.ended('completed', view);
};

describe('the output log', () => {
  it('loses and doubles no character, however often the client drops and resumes', async () => {
    const scenario = fc.record({
      pieces: fc.array(fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }), { minLength: 1, maxLength: 60 }),
      drops: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 10 }),
      restartAt: fc.option(fc.integer({ min: 0, max: 60 })),
      resyncAt: fc.option(fc.integer({ min: 0, max: 60 })),
    });
    let connections = 0;
    await fc.assert(
      fc.asyncProperty(scenario, async ({ pieces, drops, restartAt, resyncAt }) => {
        const jobId = randomUUID();
        const writer = openWriter(jobId, 1);
        const client = createClient(jobId);
        const writing = (async () => {
          writer.started('local', 'local-v1');
          for (const [at, piece] of pieces.entries()) {
            if (at === restartAt) writer.restarted('overloaded');
            if (at === resyncAt) writer.resync();
            writer.text(piece);
            if (at % 3 === 0) await writer.flushed();
          }
          await finish(writer, jobId, 1);
        })();
        for (let turn = 0; !client.isOver(); turn += 1) {
          connections += 1;
          await client.connect(drops[turn] ?? Infinity);
        }
        await writing;
        expect(client.faults).toEqual([]);
        expect(client.text()).toBe(writer.shownText());
        writers.delete(jobId);
      }),
      { numRuns: 150 },
    );
    expect(connections).toBeGreaterThan(200);
  });

  it('serves a client that comes when the log was trimmed, or is gone', async () => {
    const jobId = randomUUID();
    const writer = openWriter(jobId, 1);
    writer.started('local', 'local-v1');
    for (let at = 0; at < 80; at += 1) {
      writer.text(`word${at} `);
      await writer.flushed();
    }
    const early = createClient(jobId);
    await early.connect(10);
    await finish(writer, jobId, 1);
    expect(await redis.xlen(streamKey(prefix, jobId))).toBeLessThan(5);

    const late = createClient(jobId);
    await Promise.all([late.connect(Infinity), early.connect(Infinity)]);
    expect(late.text()).toBe(writer.shownText());
    expect(early.text()).toBe(writer.shownText());
    expect(early.indexes()).toEqual([0]);

    await redis.del(streamKey(prefix, jobId));
    const last = createClient(jobId);
    await last.connect(1);
    await last.connect(Infinity);
    expect(last.text()).toBe(writer.shownText());
    expect(last.faults).toEqual([]);
  });

  it('asks the worker for the text again when Redis lost the log while it was written', async () => {
    const jobId = randomUUID();
    const writer = openWriter(jobId, 1);
    writer.text('um ');
    await writer.flushed();
    await redis.del(streamKey(prefix, jobId));
    const client = createClient(jobId);
    const connecting = client.connect(Infinity);
    writer.text('dois ');
    await writer.flushed();
    writer.text('três');
    await finish(writer, jobId, 1);
    await connecting;
    expect(client.text()).toBe('um dois três');
  });

  it('refuses an attempt that a later one has overtaken, and takes a repeated frame once', async () => {
    const jobId = randomUUID();
    let fenced = 0;
    const zombie = openWriter(jobId, 1, () => (fenced += 1));
    zombie.text('old ');
    await zombie.flushed();
    const next = openWriter(jobId, 2);
    next.restarted('worker_lost');
    next.text('new');
    await next.flushed();
    zombie.text('ghost');
    await zombie.flushed();
    expect(fenced).toBe(1);

    const box = createFrameBox(master, jobId);
    const frame = box.seal({ type: 'delta', index: 1, text: '!' }, '2-3');
    const emission = { key: streamKey(prefix, jobId), channel: 'none', entries: [{ id: '2-3', frame }], lifeMs: 1000 };
    expect([await emit(emission), await emit(emission)]).toEqual(['written', 'repeated']);
    await expect(emit({ ...emission, entries: [{ id: '1-9', frame }] })).resolves.toBe('fenced');
  });

  it('keeps text out of Redis in clear, and opens a frame only in its own place', async () => {
    const jobId = randomUUID();
    const writer = openWriter(jobId, 1);
    writer.text('CPF 529.982.247-25');
    await writer.flushed();
    const [[id, [, bytes]]] = (await redis.xrangeBuffer(streamKey(prefix, jobId), '-', '+')) as [
      [Buffer, [Buffer, Buffer]],
    ];
    expect(bytes.includes('529')).toBe(false);
    expect(createFrameBox(master, jobId).open(bytes, id.toString())).toMatchObject({ text: 'CPF 529.982.247-25' });
    expect(() => createFrameBox(master, jobId).open(bytes, '1-2')).toThrow();
    expect(() => createFrameBox(master, randomUUID()).open(bytes, id.toString())).toThrow();
  });

  it('gathers text into few frames, and shows the first at once', async () => {
    const jobId = randomUUID();
    let calls = 0;
    const counting = (emission: Emission) => {
      calls += 1;
      return emit(emission);
    };
    const writer = createStreamWriter({ emit: counting, prefix, master, jobId, attempt: 1, onFenced: () => {} });
    writer.text('a');
    expect(calls).toBe(1);
    for (let at = 0; at < 500; at += 1) writer.text('bc');
    await writer.flushed();
    expect(calls).toBeLessThanOrEqual(3);
    expect(writer.shownText()).toHaveLength(1001);
  });
});
