import type { z } from 'zod';

/** Bands and the BullMQ priority of each. Never add a job without one: BullMQ runs unprioritised jobs before all others. */
export const BANDS = { interactive: 1, high: 10, normal: 100, low: 1000, bulk: 10_000 } as const;
export type Band = keyof typeof BANDS;

/** What can be asked of one pool: its name, the shape of a job and all its timing. */
export interface QueueContract<Name extends string = string, Data extends z.ZodType = z.ZodType> {
  name: Name;
  description: string;
  /** What BullMQ carries: ids only, never personal data. */
  data: Data;
  band: Band;
  retry: { attempts: number; baseMs: number; capMs: number };
  /** First content, silence between contents, and the whole attempt, in milliseconds. */
  timeouts: { firstContentMs: number; idleMs: number; totalMs: number };
  /** Jobs at once in one process of the pool. */
  concurrency: number;
  /** How long Redis keeps finished jobs for Bull Board; the truth stays in Postgres. */
  keep: { completed: { age: number; count: number }; failed: { age: number; count: number } };
}

/** Names a contract's type without widening it. */
export function defineQueue<const Name extends string, Data extends z.ZodType>(
  contract: QueueContract<Name, Data>,
): QueueContract<Name, Data> {
  return contract;
}
