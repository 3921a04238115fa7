import { unavailable } from '#src/errors.ts';

/** One item's part of a batch: its value, or an error for its caller alone. */
export type BatchOutcome<Outcome> = { value: Outcome } | Error;

export interface BatchOptions<Item, Outcome> {
  /** Runs one batch; the outcomes stand in the order of the items. */
  run: (items: Item[]) => Promise<BatchOutcome<Outcome>[]>;
  /** Items in one batch at most. */
  max: number;
  /** Items waiting at most; one more is refused with 503 `overloaded`. */
  maxWaiting?: number;
}

interface Waiting<Item, Outcome> {
  item: Item;
  resolve: (outcome: Outcome) => void;
  reject: (error: unknown) => void;
}

/** SQLSTATE classes 22 and 23: one row's data is at fault, so the other rows of the batch deserve a try without it. */
const isRowsFault = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && /^2[23]/.test(error.code);

/**
 * Group commit: callers are gathered into one statement without a timer. A batch is whatever arrived while the one before was
 * running, so a lone caller waits for nobody and a crowd shares one commit. One batch is in flight at a time: two would lock
 * hot rows in each other's way.
 * @returns a function that resolves with its own item's outcome, whatever happens to the rest of the batch.
 */
export function createBatcher<Item, Outcome>(options: BatchOptions<Item, Outcome>): (item: Item) => Promise<Outcome> {
  const { run, max, maxWaiting = 20_000 } = options;
  let waiting: Waiting<Item, Outcome>[] = [];
  let isRunning = false;

  const settle = async (batch: Waiting<Item, Outcome>[]): Promise<void> => {
    try {
      const outcomes = await run(batch.map((entry) => entry.item));
      for (const [index, entry] of batch.entries()) {
        const outcome = outcomes[index];
        if (outcome === undefined) entry.reject(new Error('The batch lost an item'));
        else if (outcome instanceof Error) entry.reject(outcome);
        else entry.resolve(outcome.value);
      }
    } catch (error) {
      if (batch.length === 1 || !isRowsFault(error)) {
        for (const entry of batch) entry.reject(error);
        return;
      }
      const half = Math.ceil(batch.length / 2);
      await settle(batch.slice(0, half));
      await settle(batch.slice(half));
    }
  };

  const drain = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, max);
      waiting = waiting.slice(max);
      await settle(batch);
    }
    isRunning = false;
  };

  return (item) =>
    new Promise<Outcome>((resolve, reject) => {
      if (waiting.length >= maxWaiting) {
        reject(unavailable('overloaded', 'Too much work is waiting. Try again in a moment.', 1000));
        return;
      }
      waiting.push({ item, resolve, reject });
      if (isRunning) return;
      isRunning = true;
      setImmediate(() => void drain());
    });
}
