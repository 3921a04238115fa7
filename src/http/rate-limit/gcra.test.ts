import * as fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { chargeAll, GCRA_LUA, readAnswers, scriptArguments, type Charge } from '#src/http/rate-limit/gcra.ts';

const WINDOW_US = 60_000_000;
const charge = (key: string, quota: number): Charge => ({ key, quota, intervalUs: Math.floor(WINDOW_US / quota) });

it('admits exactly the quota at once, then one an interval', () => {
  const one = [charge('a', 20)];
  let full: number | undefined;
  let admitted = 0;
  for (let at = 0; at < 500; at += 1) {
    const { verdict, kept } = chargeAll(one, [full], 1000);
    if (verdict.waitUs === 0) admitted += 1;
    else expect(verdict).toMatchObject({ waitUs: 3_000_000, refusedBy: 0, buckets: [{ remaining: 0 }] });
    full = kept?.[0] ?? full;
  }
  expect(admitted).toBe(20);
  expect(chargeAll(one, [full], 1000 + 2_999_999).verdict.waitUs).toBe(1);
  expect(chargeAll(one, [full], 1000 + 3_000_000).verdict.waitUs).toBe(0);
});

it('charges none when one refuses, and says which makes it wait longest', () => {
  const both = [charge('wide', 60), charge('narrow', 1)];
  const first = chargeAll(both, [undefined, undefined], 0);
  const second = chargeAll(both, first.kept ?? [], 10);
  expect(second.kept).toBeUndefined();
  expect(second.verdict.refusedBy).toBe(1);
  expect(second.verdict.buckets[0]?.remaining).toBe(59);
});

let redis: Redis;
beforeAll(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '');
});
afterAll(() => redis.disconnect());

/** The script with a clock that the test sets: everything else is the text that runs in production. */
const AT_GIVEN_TIME = GCRA_LUA.replace(`redis.call('TIME')`, `{ 0, table.remove(ARGV) }`).replace(
  `'PX', `,
  `'PX', 600000 + `,
);

it('decides in Redis as the model does, for any schedule', async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 4 }),
      fc.array(fc.tuple(fc.nat({ max: 5_000_000 }), fc.oneof(fc.constant(1), fc.integer({ min: -5, max: 9 }))), {
        minLength: 1,
        maxLength: 60,
      }),
      async (quotas, steps) => {
        run += 1;
        const charges = quotas.map((quota, at) => charge(`gcra-test:${process.pid}:${run}:${at}`, quota));
        let kept: (number | undefined)[] = quotas.map(() => undefined);
        let now = 1_763_950_000_000_000;
        const expected = [];
        const pipeline = redis.pipeline();
        for (const [gap, drawn] of steps) {
          const count = drawn || 1;
          now += gap;
          const step = chargeAll(charges, kept, now, count);
          kept = step.kept ?? kept;
          expected.push({ count, verdict: step.verdict });
          const [keys = 0, ...rest] = scriptArguments([{ charges, count }]);
          pipeline.eval(AT_GIVEN_TIME, Number(keys), ...rest, now);
        }
        pipeline.del(...charges.map(({ key }) => key));
        const answers = (await pipeline.exec()) ?? [];
        for (const [at, { count, verdict }] of expected.entries()) {
          const [error, answer] = answers[at] ?? [];
          expect(error).toBeNull();
          expect(readAnswers([{ charges, count }], answer as number[])).toEqual([verdict]);
        }
      },
    ),
    { numRuns: 250 },
  );
});

it('counts several requests in one call as it would one by one', async () => {
  const [one, other] = [charge(`gcra-test:${process.pid}:one`, 2), charge(`gcra-test:${process.pid}:other`, 5)];
  const requests = [[one], [one, other], [one, other], [other]].map((charges) => ({ charges, count: 1 }));
  const [keys = 0, ...rest] = scriptArguments(requests);
  const answer = (await redis.eval(GCRA_LUA, Number(keys), ...rest)) as number[];
  const verdicts = readAnswers(requests, answer);
  expect(verdicts.map(({ waitUs }) => waitUs > 0)).toEqual([false, false, true, false]);
  expect(verdicts[2]).toMatchObject({ refusedBy: 0, buckets: [{ remaining: 0 }, { remaining: 4 }] });
  expect(verdicts[3]?.buckets).toMatchObject([{ remaining: 3 }]);
  await redis.del(one.key, other.key);
});
