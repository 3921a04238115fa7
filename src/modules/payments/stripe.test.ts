import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createPlanCare } from '#src/modules/billing/plan-care.ts';
import { findBroken } from '#src/modules/billing/reconcile.query.ts';
import type { TestUser } from '#test/factories.ts';
import { anOwner, ask, CREDITS, openPaymentTest, PRICES, type PaymentTest } from '#test/payments.ts';

let test: PaymentTest;
let owner: TestUser;
let ref: string;
beforeAll(async () => {
  test = await openPaymentTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  test.stripe.clear();
  test.hold();
  owner = await anOwner(test);
});

const get = async (url: string) => (await ask(test, owner, 'GET', url)).body;
const post = (url: string, payload?: object) => ask(test, owner, 'POST', url, payload);
const change = (plan: string) => post('/api/billing/change', { plan });
const view = () => get('/api/billing/subscription');
const invoices = async () => (await get('/api/billing/invoices')).data;
const told = () => test.deliver(test.stripe.events.splice(0));
const atStripe = () => {
  const one = test.stripe.subscriptions.get(ref);
  if (!one) throw new Error('No subscription');
  return one;
};
async function subscribed(plan: 'starter' | 'pro' = 'starter'): Promise<void> {
  ref = await test.subscribe(owner, plan);
  await told();
}

describe('a lesser plan', () => {
  it('begins with the next period: what was paid for goes on, and nothing of it comes back', async () => {
    await subscribed('pro');
    expect((await change('starter')).body).toMatchObject({
      givenPlan: 'pro',
      subscription: { plan: 'pro', nextPlan: 'starter' },
    });
    await told();
    expect(await view()).toMatchObject({ givenPlan: 'pro', subscription: { nextPlan: 'starter' } });
    expect(await invoices()).toHaveLength(1);
    test.stripe.renew(ref);
    await told();
    expect(await view()).toMatchObject({ givenPlan: 'starter', subscription: { plan: 'starter', nextPlan: null } });
    expect((await invoices())[0]).toMatchObject({ plan: 'starter', amountMinor: PRICES.starter, held: null });
  });

  it('is taken back by choosing what there is, which costs nothing', async () => {
    await subscribed('pro');
    await change('starter');
    expect((await change('pro')).body).toMatchObject({
      givenPlan: 'pro',
      subscription: { plan: 'pro', nextPlan: null },
    });
    await told();
    test.stripe.renew(ref);
    await told();
    expect(await view()).toMatchObject({ givenPlan: 'pro' });
    expect((await invoices()).map(({ amountMinor }: { amountMinor: number }) => amountMinor)).toEqual([
      PRICES.pro,
      PRICES.pro,
    ]);
  });

  it('and a better one, again and again, give no credits that nobody paid for', async () => {
    await subscribed('pro');
    for (let times = 0; times < 3; times += 1) for (const plan of ['starter', 'pro']) await change(plan);
    await told();
    expect(await test.credits(owner)).toBe(CREDITS.pro);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });

  it('of the portal comes back as credit there, which buys no credits again', async () => {
    await subscribed('pro');
    const [starter, pro] = [test.stripe.priceOf('price_starter'), test.stripe.priceOf('price_pro')];
    for (const price of [starter, pro, starter, pro]) if (price) test.stripe.change(atStripe(), price);
    await told();
    expect(await view()).toMatchObject({ givenPlan: 'pro' });
    expect(await test.credits(owner)).toBe(CREDITS.pro);
  });
});

describe('what Stripe has refused', () => {
  it('is asked anew with another card, although it answers a key as it did at first', async () => {
    await subscribed();
    test.hold({ declines: true });
    for (let times = 0; times < 3; times += 1) expect((await change('pro')).status).toBe(422);
    test.hold();
    expect(await change('pro')).toMatchObject({ status: 200, body: { givenPlan: 'pro' } });
  });

  it('is another thing than what it did: an answer of before is not taken for how things are', async () => {
    await subscribed();
    test.hold({ fault: 'cut' });
    expect((await post('/api/billing/cancel')).status).toBe(503);
    test.hold();
    // Meanwhile it went on after all, of which nobody told us yet.
    test.stripe.setCancel(atStripe(), false);
    expect((await post('/api/billing/cancel')).body.subscription.cancelAt).toBeNull();
  });
});

describe('a subscription', () => {
  it('canceled in the portal goes on after all', async () => {
    await subscribed();
    test.stripe.cancelInPortal(ref);
    await told();
    const { subscription } = await view();
    expect(subscription.cancelAt).toBe(subscription.periodEnd);
    expect((await post('/api/billing/cancel')).body.subscription.cancelAt).toBe(subscription.periodEnd);
    expect((await post('/api/billing/reactivate')).body.subscription.cancelAt).toBeNull();
    expect(atStripe()).toMatchObject({ cancelAt: null, cancelAtEnd: false });
  });

  it('that is overdue ends at once when it is canceled, and its plan is not changed before it is paid', async () => {
    await subscribed();
    test.stripe.renew(ref, { isPaid: false });
    await told();
    expect(await change('pro')).toMatchObject({ status: 409, body: { code: 'payment_due' } });
    expect((await post('/api/billing/cancel')).body).toMatchObject({
      givenPlan: 'free',
      subscription: { status: 'canceled' },
    });
    expect(atStripe().status).toBe('canceled');
    // Nobody can pay any more for what gives nothing.
    expect([...test.stripe.invoices.values()].filter(({ status }) => status === 'open')).toEqual([]);
    await told();
    expect((await invoices())[0]).toMatchObject({ status: 'void' });
    expect((await post('/api/billing/checkout', { plan: 'starter' })).status).toBe(200);
  });

  it('that Stripe has given up to collect keeps its grace, and is back once it is paid', async () => {
    await subscribed();
    const open = test.stripe.renew(ref, { isPaid: false });
    test.stripe.leaveUnpaid(ref);
    await told();
    expect(await view()).toMatchObject({ givenPlan: 'starter', subscription: { status: 'past_due' } });
    expect((await post('/api/billing/checkout', { plan: 'starter' })).body).toMatchObject({
      code: 'already_subscribed',
    });
    test.stripe.advance(60);
    test.stripe.retry(open, true);
    await told();
    expect(await view()).toMatchObject({ givenPlan: 'starter', subscription: { status: 'active', graceUntil: null } });
  });

  it('on trial gives its plan and no credits, and its invoice of nothing waits for nobody', async () => {
    await post('/api/billing/checkout', { plan: 'starter' });
    ref = test.stripe.pay([...test.stripe.sessions.keys()][0] ?? '', undefined, { isTrial: true });
    await told();
    expect(await view()).toMatchObject({ givenPlan: 'starter', subscription: { status: 'trialing' } });
    expect(await invoices()).toMatchObject([{ status: 'paid', amountMinor: 0, held: null, credits: 0 }]);
    test.stripe.renew(ref);
    await told();
    expect(await view()).toMatchObject({ subscription: { status: 'active' } });
    expect(await test.credits(owner)).toBe(CREDITS.starter);
  });

  it('that is paid for a workspace which was closed meanwhile is ended', async () => {
    ref = await test.subscribe(owner);
    await test.rt.systemPool.query('update workspace set deleted_at = now() where id = $1', [owner.workspace.id]);
    await told();
    await test.care();
    expect(atStripe().status).toBe('canceled');
  });

  it('gets the credits of a month once: by its invoice, and not by its plan too', async () => {
    await subscribed();
    const { systemPool, orm, log } = test.rt;
    const tendPlans = createPlanCare({ systemPool, orm, log, graceDays: 7, defaultPlan: 'free' });
    await tendPlans();
    test.stripe.renew(ref);
    await told();
    await tendPlans();
    expect(await test.credits(owner)).toBe(2 * CREDITS.starter);
    const { rows } = await systemPool.query('select 1 from plan_credits where workspace_id = $1', [owner.workspace.id]);
    expect(rows).toEqual([]);
  });
});

describe('an event', () => {
  it('of another version of the API is refused, by a word that says so, and read once the endpoint is right', async () => {
    await test.subscribe(owner);
    const [event] = test.stripe.events;
    if (!event) throw new Error('No event');
    expect(await test.send({ ...event, api_version: '2024-06-20' })).toBe(400);
    expect(await test.send({ ...event, api_version: '2026-11-25.endive' })).toBe(200);
  });
});
