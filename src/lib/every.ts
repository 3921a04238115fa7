import type { Logger } from 'pino';
import { setTimeout as sleep } from 'node:timers/promises';

/** A failure is mostly over sooner than the pause of what is done seldom. */
const MAX_PAUSE_AFTER_FAILURE_MS = 1000;

/**
 * Does a task again and again until the signal aborts, with a pause in between, of a second at most after a failure. What it throws is logged, once
 * until it works again.
 * @param name what the task does, for the log
 */
export async function every(
  pauseMs: number,
  name: string,
  task: () => Promise<void>,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  let isFailing = false;
  while (!signal.aborted) {
    try {
      await task();
      isFailing = false;
    } catch (error) {
      if (!isFailing) log.warn({ err: error, task: name }, 'A task failed; it is tried again');
      isFailing = true;
    }
    const waitMs = isFailing ? Math.min(pauseMs, MAX_PAUSE_AFTER_FAILURE_MS) : pauseMs;
    await sleep(waitMs, undefined, { signal }).catch(() => undefined);
  }
}
