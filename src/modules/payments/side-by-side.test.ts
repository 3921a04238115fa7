import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { TestUser } from '#test/factories.ts';
import { anOwner, CREDITS, openPaymentTest, type PaymentTest } from '#test/payments.ts';

let test: PaymentTest;
beforeAll(async () => {
  test = await openPaymentTest();
});
afterAll(() => test.close());
beforeEach(() => {
  test.stripe.clear();
  test.hold();
});

/** Owners who have just paid, and what Stripe tells of each. */
async function payers(count: number) {
  const all: { owner: TestUser; ref: string; events: ReturnType<typeof test.stripe.events.splice> }[] = [];
  for (let n = 0; n < count; n += 1) {
    const owner = await anOwner(test);
    all.push({ owner, ref: await test.subscribe(owner), events: test.stripe.events.splice(0) });
    test.stripe.advance(5);
  }
  return all;
}
const paidOf = (events: { type: string }[]) => events.findIndex(({ type }) => type === 'invoice.paid');

it('one answer of Stripe that hangs holds up what is told of that subscription only', async () => {
  const [stuck, other] = await payers(2);
  if (!stuck || !other) throw new Error('No payers');
  test.hold({ hangsFor: stuck.ref });
  // Its subscription was not told, so that it must be asked for.
  for (const event of stuck.events.slice(paidOf(stuck.events))) await test.send(event);
  const working = test.workOff();
  await expect.poll(() => test.stripe.hanging.size).toBe(1);
  for (const event of other.events) await test.send(event);
  const alsoWorking = test.workOff();
  await expect.poll(() => test.credits(other.owner), { timeout: 8000 }).toBe(CREDITS.starter);
  expect(test.stripe.hanging.size).toBe(1);
  expect(await test.credits(stuck.owner)).toBe(0);
  test.hold();
  await Promise.all([working, alsoWorking]);
  await test.workOff();
  expect(await test.credits(stuck.owner)).toBe(CREDITS.starter);
});

it('four are worked off at once, and those that wait come once one of them is done', async () => {
  const all = await payers(6);
  test.hold({ hangsFor: 'sub_' });
  for (const { events } of all) for (const event of events.slice(paidOf(events))) await test.send(event);
  const working = test.workOff();
  await expect.poll(() => test.stripe.hanging.size).toBe(4);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(test.stripe.hanging.size).toBe(4);
  test.hold();
  await working;
  await test.workOff();
  for (const { owner } of all) expect(await test.credits(owner)).toBe(CREDITS.starter);
});

it('what is told of one is worked off in the order in which it happened', async () => {
  const all = await payers(3);
  for (const { ref } of all) for (let months = 0; months < 3; months += 1) test.stripe.renew(ref);
  const events = [...all.flatMap((one) => one.events), ...test.stripe.events.splice(0)];
  for (const event of events.toReversed()) await test.send(event);
  await test.workOff();
  const { rows } = await test.rt.systemPool.query(
    `select event ->> 'customerRef' as customer, event_id as id from inbound_event where event ->> 'customerRef' is not null
      order by applied_at, occurred_at, event_id`,
  );
  const happened = await test.rt.systemPool.query(
    `select event ->> 'customerRef' as customer, event_id as id from inbound_event where event ->> 'customerRef' is not null
      order by occurred_at, event_id`,
  );
  const customers = new Set(rows.map(({ customer }) => customer));
  for (const customer of customers)
    expect(rows.filter((row) => row.customer === customer)).toEqual(
      happened.rows.filter((row) => row.customer === customer),
    );
});
