import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBatcher } from '#src/db/batch.ts';
import type { AppError } from '#src/errors.ts';

const rowsFault = () => Object.assign(new Error('value out of range'), { code: '22003' });

describe('createBatcher', () => {
  it('gives every caller its own outcome, one batch at a time, in the order of arrival', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            value: fc.integer(),
            turns: fc.integer({ min: 0, max: 3 }),
            isBad: fc.boolean(),
          }),
        ),
        fc.integer({ min: 1, max: 5 }),
        async (items, max) => {
          let inFlight = 0;
          const batcher = createBatcher<(typeof items)[number], number>({
            max,
            run: async (batch) => {
              expect((inFlight += 1)).toBe(1);
              expect(batch.length).toBeLessThanOrEqual(max);
              await Promise.resolve();
              inFlight -= 1;
              if (batch.some((item) => item.isBad)) throw rowsFault();
              return batch.map((item) => ({ value: item.value }));
            },
          });
          const settled = await Promise.allSettled(
            items.map(async (item) => {
              for (let turn = 0; turn < item.turns; turn += 1) await new Promise(setImmediate);
              return batcher(item);
            }),
          );
          for (const [index, outcome] of settled.entries()) {
            const item = items[index];
            if (item?.isBad) expect(outcome.status).toBe('rejected');
            else expect(outcome).toEqual({ status: 'fulfilled', value: item?.value });
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('does not try a batch row by row when the database is away', async () => {
    let runs = 0;
    const batcher = createBatcher<number, number>({
      max: 10,
      run: async () => {
        runs += 1;
        throw Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });
      },
    });
    const settled = await Promise.allSettled([1, 2, 3].map((item) => batcher(item)));
    expect(settled.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(runs).toBe(1);
  });

  it('refuses with 503 when too much waits', async () => {
    const gate = Promise.withResolvers<void>();
    const batcher = createBatcher<number, number>({
      max: 1,
      maxWaiting: 2,
      run: async (items) => {
        await gate.promise;
        return items.map((value) => ({ value }));
      },
    });
    const first = [batcher(1), batcher(2)];
    await expect(batcher(3)).rejects.toMatchObject({
      status: 503,
      code: 'overloaded',
      retryAfterMs: 1000,
    } satisfies Partial<AppError>);
    gate.resolve();
    expect(await Promise.all(first)).toEqual([1, 2]);
  });
});
