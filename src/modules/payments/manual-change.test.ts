import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createSubscriptionCare } from '#src/modules/payments/tend.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { ask, askOps, PRICES } from '#test/payments.ts';

let test: TestApp;
let owner: TestUser;
let care: () => Promise<void>;
beforeAll(async () => {
  test = await openTestApp({ STARTING_CREDITS: '0' });
  const { systemPool, orm, config, log } = test.rt;
  care = createSubscriptionCare({ systemPool, orm, provider: null, config, log });
});
afterAll(() => test.close());

const get = async (url: string) => (await ask(test, owner, 'GET', url)).body;
const post = async (url: string, payload?: object) => (await ask(test, owner, 'POST', url, payload)).body;
const operator = (id: string, verb: string) => askOps(test, `/ops/invoices/${id}/${verb}`);
const open = async () => (await get('/api/billing/invoices?status=open')).data;
const openOf = async (reason: string) =>
  (await open()).find((one: { reason: string }) => one.reason === reason) ?? { id: '' };
/** As if so many days had passed. */
const pass = (days: number) =>
  test.rt.systemPool.query(
    `with s as (update subscription set period_start = period_start - $2 * interval '1 day', period_end = period_end - $2 * interval '1 day'
        where workspace_id = $1)
      update invoice set due_at = due_at - $2 * interval '1 day', period_start = period_start - $2 * interval '1 day',
        period_end = period_end - $2 * interval '1 day' where workspace_id = $1`,
    [owner.workspace.id, days],
  );

// A subscription in its last days, whose next month was asked for, and for which a better plan is asked.
beforeEach(async () => {
  owner = await aUser(test.rt);
  await operator((await post('/api/billing/checkout', { plan: 'starter' })).invoiceId, 'paid');
  await pass(26);
  await care();
  await post('/api/billing/change', { plan: 'pro' });
  await care();
  expect(await openOf('period')).toMatchObject({ plan: 'starter', amountMinor: PRICES.starter });
});

it('a better plan that is paid in the last days of a month is also what the next month is asked for', async () => {
  await operator((await openOf('change')).id, 'paid');
  await care();
  expect(await open()).toMatchObject([{ plan: 'pro', reason: 'period', amountMinor: PRICES.pro }]);
  await operator((await openOf('period')).id, 'paid');
  await pass(6);
  await care();
  expect((await get('/api/billing/subscription')).givenPlan).toBe('pro');
});

it('a better plan is not had for a month by what its last days would have cost', async () => {
  const change = await openOf('change');
  await operator((await openOf('period')).id, 'paid');
  await pass(6);
  // Before the period is seen to be over, and after.
  expect(await operator(change.id, 'paid')).toMatchObject({ status: 409, body: { code: 'invoice_closed' } });
  await care();
  expect(await get(`/api/billing/invoices/${change.id}`)).toMatchObject({ status: 'void' });
  expect(await operator(change.id, 'paid')).toMatchObject({ status: 409, body: { code: 'invoice_closed' } });
  expect((await get('/api/billing/subscription')).givenPlan).toBe('starter');
});
