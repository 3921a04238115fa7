import { afterAll, beforeAll, expect, it } from 'vitest';
import { fuzzHttp, openTarget, summary, type Target } from '#test/fuzz/http.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_124);
const REQUESTS = Number(process.env['FUZZ_REQUESTS'] ?? 8000);

let target: Target;
beforeAll(async () => {
  target = await openTarget();
});
afterAll(() => target.close());

it(
  'answers every request to every route with what it is for, or with a problem',
  async () => {
    const report = await fuzzHttp(target, { requests: REQUESTS, seed: SEED });
    process.stdout.write(`FUZZ_SEED=${SEED}: ${summary(report)}\n`);
    expect(report.failures).toEqual([]);
    const counts = [...report.operations.values()];
    expect(counts.filter(({ asked }) => asked === 0)).toEqual([]);
    // It reached into the routes, and was not refused at the door every time.
    expect(counts.filter(({ good }) => good > 0).length).toBeGreaterThan(counts.length * 0.4);
    expect(Object.prototype).not.toHaveProperty('isAdmin');
    await expect.poll(() => target.rt.reader.counts().watchers).toBe(0);
  },
  60_000 + REQUESTS * 100,
);
