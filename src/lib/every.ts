import type { Logger } from 'pino';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Does a task again and again until the signal aborts, with a pause in between. What it throws is logged, once until it works again.
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
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
  }
}
