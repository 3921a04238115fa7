import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { TestUser } from '#test/factories.ts';
import { anOwner, ask, CREDITS, openPaymentTest, PRICES, type PaymentTest } from '#test/payments.ts';

let test: PaymentTest;
let owner: TestUser;
beforeAll(async () => {
  test = await openPaymentTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  test.stripe.clear();
  test.hold();
  owner = await anOwner(test);
});

const get = async (url: string, user = owner) => (await ask(test, user, 'GET', url)).body;
const post = (url: string, payload?: object, user = owner) => ask(test, user, 'POST', url, payload);
const subscription = async () => (await get('/api/billing/subscription')).subscription;
const invoices = async () => (await get('/api/billing/invoices')).data;
const planOf = async ({ workspace, headers }: TestUser) =>
  (await ask(test, { headers }, 'GET', `/api/workspaces/${workspace.id}`)).body.plan;

describe('an owner', () => {
  it('cancels at the end of the period, goes on after all, and changes the plan for the difference', async () => {
    const ref = await test.subscribe(owner);
    await test.deliver(test.stripe.events.splice(0));
    const { body } = await post('/api/billing/cancel');
    expect(body.subscription.cancelAt).toBe(body.subscription.periodEnd);
    expect((await post('/api/billing/reactivate')).body.subscription.cancelAt).toBeNull();
    expect((await post('/api/billing/cancel')).body.subscription.cancelAt).not.toBeNull();
    expect((await post('/api/billing/reactivate')).body.subscription.cancelAt).toBeNull();
    expect(await post('/api/billing/change', { plan: 'pro' })).toMatchObject({
      status: 200,
      body: { givenPlan: 'pro', subscription: { plan: 'pro' } },
    });
    await test.deliver(test.stripe.events.splice(0));
    expect(await planOf(owner)).toBe('pro');
    const [change] = await invoices();
    expect(change).toMatchObject({ reason: 'change', plan: 'pro', status: 'paid', held: null });
    // A whole month was left: what was paid for it is the difference, and so are its credits.
    expect(change.amountMinor).toBe(PRICES.pro - PRICES.starter);
    expect(change.credits).toBeCloseTo((CREDITS.pro * (PRICES.pro - PRICES.starter)) / PRICES.pro, 3);
    await post('/api/billing/cancel');
    test.stripe.renew(ref);
    await test.deliver(test.stripe.events);
    expect(await planOf(owner)).toBe('free');
    expect(await subscription()).toMatchObject({ status: 'canceled' });
    expect(await post('/api/billing/cancel')).toMatchObject({ status: 409, body: { code: 'not_subscribed' } });
    expect((await post('/api/billing/checkout', { plan: 'starter' })).status).toBe(200);
  });

  it('gets no plan whose card is declined, and a wait while Stripe is away', async () => {
    await test.subscribe(owner);
    await test.deliver(test.stripe.events);
    test.hold({ declines: true });
    expect(await post('/api/billing/change', { plan: 'pro' })).toMatchObject({
      status: 422,
      body: { code: 'payment_refused' },
    });
    expect(await planOf(owner)).toBe('starter');
    test.hold({ fault: 'unavailable' });
    const away = await post('/api/billing/cancel');
    expect(away).toMatchObject({ status: 503, body: { code: 'payment_provider_unavailable' } });
    expect(Number(away.headers['retry-after'])).toBeGreaterThan(0);
    test.hold({ apiKey: 'sk_another' });
    expect((await post('/api/billing/portal')).status).toBe(503);
    // Done, and the answer lost: done again with the same key it is the same.
    test.hold({ fault: 'cut' });
    expect((await post('/api/billing/cancel')).status).toBe(503);
    test.hold();
    expect((await post('/api/billing/cancel')).body.subscription.cancelAt).not.toBeNull();
  });

  it('opens the portal once there is a customer', async () => {
    expect(await post('/api/billing/portal')).toMatchObject({ status: 409, body: { code: 'no_portal' } });
    await post('/api/billing/checkout', { plan: 'pro' });
    expect((await post('/api/billing/portal')).body.url).toContain('/stripe/portal/');
  });

  it('leaves invoices page by page, and sees no stranger’s', async () => {
    const ref = await test.subscribe(owner);
    test.stripe.renew(ref);
    test.stripe.renew(ref);
    await test.deliver(test.stripe.events);
    const first = await get('/api/billing/invoices?limit=2');
    expect(first.page.hasMore).toBe(true);
    const second = await get(`/api/billing/invoices?limit=2&cursor=${first.page.nextCursor}`);
    const ids = [...first.data, ...second.data].map(({ id }) => id);
    expect(new Set(ids).size).toBe(3);
    expect((await get(`/api/billing/invoices/${ids[0]}`)).id).toBe(ids[0]);
    const stranger = await anOwner(test);
    expect((await ask(test, stranger, 'GET', `/api/billing/invoices/${ids[0]}`)).status).toBe(404);
  });
});
