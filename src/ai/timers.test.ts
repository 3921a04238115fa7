import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ProviderError, type Chunk, type Progress } from '#src/ai/model.ts';
import { withTimers } from '#src/ai/timers.ts';

const LIMITS = { firstContentMs: 100, idleMs: 50, totalMs: 1000 };
const END: Chunk = {
  type: 'end',
  finishReason: 'stop',
  usage: {
    inputTokens: 1,
    cachedInputTokens: 0,
    cacheWriteTokens: 0,
    outputTokens: 1,
    reasoningTokens: 0,
    estimated: false,
  },
};
type Step = Chunk | Progress | number;

/** A stream that waits the given milliseconds between its chunks, as long as its signal allows. */
function streamOf(steps: readonly Step[], opened: AbortSignal[] = []) {
  return async function* (signal: AbortSignal): AsyncGenerator<Chunk | Progress> {
    opened.push(signal);
    for (const step of steps) {
      if (typeof step !== 'number') {
        yield step;
        continue;
      }
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      setTimeout(resolve, step);
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      await promise;
    }
  };
}

async function* quiet(signal: AbortSignal): AsyncGenerator<Chunk> {
  yield text('a');
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
}

const text = (value: string): Chunk => ({ type: 'text', text: value });

async function read(
  steps: readonly Step[],
  options: { readerMs?: number; signal?: AbortSignal; opened?: AbortSignal[] } = {},
) {
  const got: Chunk[] = [];
  const stream = withTimers(
    'openai',
    streamOf(steps, options.opened),
    LIMITS,
    options.signal ?? new AbortController().signal,
  );
  for await (const chunk of stream) {
    got.push(chunk);
    if (options.readerMs) await new Promise((resolve) => setTimeout(resolve, options.readerMs));
  }
  return got;
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  const left = vi.getTimerCount();
  vi.useRealTimers();
  if (left > 0) throw new Error(`${left} timers were left running.`);
});

async function outcome(reading: Promise<Chunk[]>): Promise<unknown> {
  const settled = reading.catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(3000);
  return settled;
}

describe('withTimers', () => {
  test('passes a lively stream through, without progress and empty texts', async () => {
    const got = await outcome(read([90, text(''), text('a'), 40, { type: 'progress' }, 40, text('b'), END]));
    expect(got).toEqual([text('a'), text('b'), END]);
  });

  test.each<{ what: string; steps: Step[]; message: string }>([
    { what: 'no content', steps: [2000, END], message: 'openai sent no content within 100 ms.' },
    {
      what: 'only empty text',
      steps: [60, text(''), 60, text(''), 60, text('a'), END],
      message: 'openai sent no content within 100 ms.',
    },
    { what: 'silence', steps: [text('a'), 51, END], message: 'openai sent nothing more for 50 ms.' },
    {
      what: 'endless drip',
      steps: Array.from({ length: 100 }, (): Step[] => [30, text('a')]).flat(),
      message: 'openai did not finish within 1000 ms.',
    },
  ])('times out: $what', async ({ steps, message }) => {
    const opened: AbortSignal[] = [];
    const error = await outcome(read(steps, { opened }));
    expect(error).toBeInstanceOf(ProviderError);
    expect(error).toMatchObject({ failure: 'timeout', status: 504, retry: 'later', message });
    expect(opened[0]?.aborted).toBe(true);
  });

  test('time the reader takes is not silence of the provider, but silence after it is', async () => {
    expect(await outcome(read([text('a'), 40, text('b'), END], { readerMs: 80 }))).toHaveLength(3);
    expect(await outcome(read([text('a'), 60, END], { readerMs: 80 }))).toMatchObject({ failure: 'timeout' });
  });

  test('an abort comes out as its reason', async () => {
    const cancel = new AbortController();
    setTimeout(() => cancel.abort(new Error('cancelled')), 20);
    expect(await outcome(read([text('a'), 40, END], { signal: cancel.signal }))).toEqual(new Error('cancelled'));
    expect(await outcome(read([END], { signal: AbortSignal.abort(new Error('before')) }))).toEqual(new Error('before'));
  });

  test('a stream that ends quietly under an abort is no answer', async () => {
    const cancel = new AbortController();
    const reading = (async () => {
      const got: Chunk[] = [];
      for await (const chunk of withTimers('openai', quiet, LIMITS, cancel.signal)) got.push(chunk);
      return got;
    })();
    setTimeout(() => cancel.abort(new Error('cancelled')), 20);
    expect(await outcome(reading)).toEqual(new Error('cancelled'));
  });

  test('a break of the reader closes the stream', async () => {
    const opened: AbortSignal[] = [];
    const signal = new AbortController().signal;
    for await (const _ of withTimers('openai', streamOf([text('a'), END], opened), LIMITS, signal)) break;
    expect(opened[0]?.aborted).toBe(true);
  });
});
