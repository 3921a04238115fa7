/** More work was waiting than the limit lets wait. */
export class QueueFullError extends Error {
  constructor(waiting: number) {
    super(`${waiting} tasks are already waiting`);
    this.name = 'QueueFullError';
  }
}

export type Limit = <Result>(task: () => Promise<Result>) => Promise<Result>;

/**
 * Runs at most `concurrency` tasks at once, the others in the order they came.
 * @throws QueueFullError (as a rejection) when `maxWaiting` tasks wait already
 */
export function createLimit(concurrency: number, maxWaiting: number): Limit {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (task) => {
    if (running < concurrency) running += 1;
    else {
      if (waiting.length >= maxWaiting) throw new QueueFullError(waiting.length);
      // The finishing task hands its slot over, so `running` does not change and no newcomer can slip in between.
      await new Promise<void>((resolve) => void waiting.push(resolve));
    }
    try {
      return await task();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
