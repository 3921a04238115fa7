import { ApiError } from './errors.ts';
import { isFinalAnswer } from './job-feeds.ts';
import { deferred, fullJitterMs, sleep } from './timing.ts';

/** Something that changes until it is over. */
export interface WatchSource<State> {
  /** Reads it as it is now, in one try. */
  read(signal: AbortSignal | undefined): Promise<State>;
  isOver(state: State): boolean;
  /** Calls `changed` whenever it may be another by now, also too often. Returns the way to stop. */
  listen?: ((changed: () => void) => () => void) | undefined;
}

export interface WatchOptions {
  /** Aborting ends the watching with the signal's reason; what is watched goes on. */
  signal?: AbortSignal | undefined;
  /** How often it is read although nothing was heard of it; default 5 000. */
  pollMs?: number | undefined;
  /** Told of each try that got no answer, and how long the next one waits at most. */
  onTrouble?: ((error: unknown, waitMs: number) => void) | undefined;
}

const MIN_GAP_MS = 500;
const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 10_000;

/**
 * Tells a state as it is, again whenever it has changed, and ends after telling the one in which it is over. Backends and networks that go
 * away are waited for, however long; a reader that is slow misses states in between, never the last.
 * @throws ApiError when it is gone or not ours to see, the signal's reason when it aborts.
 */
export async function* watchState<State>(
  source: WatchSource<State>,
  options: WatchOptions = {},
): AsyncGenerator<State, void> {
  const { signal, pollMs = 5000, onTrouble } = options;
  let changed = deferred<void>();
  const stop = source.listen?.(() => changed.resolve());
  let failures = 0;
  let told: string | undefined;
  let isTold = false;
  try {
    for (;;) {
      signal?.throwIfAborted();
      // Before it is read: what changes from here on is read again.
      changed = deferred();
      let waitMs = pollMs;
      const read = await source.read(signal).then(
        (state) => ({ state }),
        (error: unknown) => ({ error }),
      );
      if ('state' in read) {
        failures = 0;
        const text = JSON.stringify(read.state);
        if (!isTold || text !== told) yield read.state;
        told = text;
        isTold = true;
        if (source.isOver(read.state)) return;
      } else {
        const { error } = read;
        signal?.throwIfAborted();
        if (isFinalAnswer(error)) throw error;
        const askedMs = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
        waitMs = Math.max(MIN_GAP_MS, askedMs, fullJitterMs(failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS));
        failures += 1;
        onTrouble?.(error, waitMs);
      }
      await pauseUntil(changed.promise, waitMs, signal);
    }
  } finally {
    stop?.();
  }
}

/** Waits for so long or, if that is sooner, until `changed`, but never less than a moment: many changes at once are one reading. */
async function pauseUntil(changed: Promise<void>, waitMs: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(Math.min(MIN_GAP_MS, waitMs), signal);
  const enough = new AbortController();
  const either = signal ? AbortSignal.any([signal, enough.signal]) : enough.signal;
  const rest = sleep(Math.max(0, waitMs - MIN_GAP_MS), either);
  try {
    await Promise.race([changed, rest]);
  } finally {
    rest.catch(() => {});
    enough.abort();
  }
}
