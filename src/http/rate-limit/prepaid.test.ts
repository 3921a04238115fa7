import { expect, it, vi } from 'vitest';
import { chargeAll, type Charge } from '#src/http/rate-limit/gcra.ts';
import { createPrepaid, type ChargeMany } from '#src/http/rate-limit/prepaid.ts';

const WINDOW_US = 60_000_000;
const charge = (key: string, quota: number): Charge => ({ key, quota, intervalUs: Math.floor(WINDOW_US / quota) });

/** The buckets as all processes share them. */
function buckets() {
  const fullAt = new Map<string, number>();
  const asked: number[] = [];
  const chargeMany: ChargeMany = async (charges, count) => {
    asked.push(count);
    const before = charges.map(({ key }) => fullAt.get(key));
    const { verdict, kept } = chargeAll(charges, before, Math.floor(performance.now() * 1000), count);
    for (const [at, { key }] of charges.entries()) if (kept) fullAt.set(key, kept[at] ?? 0);
    await Promise.resolve();
    return verdict;
  };
  return { asked, chargeMany };
}

it('asks seldom for a caller who sends much, and gives back what was not used', async () => {
  const { asked, chargeMany } = buckets();
  const take = createPrepaid(chargeMany);
  const wide = [charge('ip', 10_000), charge('user', 5000)];
  let last = 5000;
  for (let sent = 0; sent < 200; sent += 1) {
    const { refusedBy, buckets: left } = await take(wide);
    expect(refusedBy).toBeNull();
    last = left[1]?.remaining ?? 0;
  }
  // What a request is told is what it would be told without any of this.
  expect(last).toBeGreaterThanOrEqual(5000 - 200);
  expect(last).toBeLessThan(5000 - 150);
  expect(asked.length).toBeLessThan(40);
  // Paid for in the end is what was sent, however often the stock was filled and given back.
  await vi.waitFor(() => expect(asked.reduce((sum, count) => sum + count, 0)).toBe(200), 60_000);
  expect(asked.some((count) => count < 0)).toBe(true);
});

it.each([20, 150])('never admits more than %i, whoever else pays ahead', async (quota) => {
  const { chargeMany } = buckets();
  const processes = [createPrepaid(chargeMany), createPrepaid(chargeMany), createPrepaid(chargeMany)];
  const narrow = [charge('user', quota)];
  const verdicts = [];
  for (let round = 0; round < 100; round += 1)
    verdicts.push(...(await Promise.all(processes.map((take) => take(narrow)))));
  const admitted = verdicts.filter(({ refusedBy }) => refusedBy === null).length;
  expect(admitted).toBeLessThanOrEqual(quota + 1);
  // A bucket this small is counted one by one; of a larger one, some may lie paid for where nobody asked any more.
  expect(admitted).toBeGreaterThanOrEqual(quota < 100 ? quota : quota - 3 * 19);
});

it('counts one by one once the bucket is half empty', async () => {
  const { asked, chargeMany } = buckets();
  const take = createPrepaid(chargeMany);
  const one = [charge('user', 200)];
  for (let sent = 0; sent < 200; sent += 1) await take(one);
  expect(asked.slice(-80).every((count) => count === 1)).toBe(true);
});
