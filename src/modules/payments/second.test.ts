import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { TestUser } from '#test/factories.ts';
import { anOwner, ask, CREDITS, openPaymentTest, type PaymentTest } from '#test/payments.ts';

let test: PaymentTest;
let owner: TestUser;
let first: string;
beforeAll(async () => {
  test = await openPaymentTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  test.stripe.clear();
  test.hold();
  owner = await anOwner(test);
  first = await test.subscribe(owner, 'starter');
  await told();
});

const view = async () => (await ask(test, owner, 'GET', '/api/billing/subscription')).body;
const told = () => test.deliver(test.stripe.events.splice(0));
const statusOf = (ref: string) => test.stripe.subscriptions.get(ref)?.status;
/** As an operator does in the dashboard of Stripe, some time later. */
function byHand(plan: 'starter' | 'pro'): string {
  const price = test.stripe.priceOf(`price_${plan}`);
  const [customer] = test.stripe.customers.keys();
  if (!price || customer === undefined) throw new Error('Nobody to subscribe');
  test.stripe.advance(60);
  return test.stripe.subscribe(customer, price);
}

describe('a second subscription that an operator made at Stripe', () => {
  it('counts where the first one has ended there, although nobody told us yet', async () => {
    test.stripe.end(first);
    const end = test.stripe.events.splice(0);
    const second = byHand('pro');
    await told();
    expect(await view()).toMatchObject({ givenPlan: 'pro', subscription: { status: 'active', plan: 'pro' } });
    expect(await test.credits(owner)).toBe(CREDITS.starter + CREDITS.pro);
    await test.deliver(end);
    await test.care();
    expect([statusOf(first), statusOf(second)]).toEqual(['canceled', 'active']);
    expect(await view()).toMatchObject({ givenPlan: 'pro' });
  });

  it('counts also beside the first one, which is ended: nobody pays for two', async () => {
    const second = byHand('pro');
    await told();
    expect(await view()).toMatchObject({ givenPlan: 'pro', subscription: { plan: 'pro' } });
    await test.care();
    await told();
    await test.care();
    expect([statusOf(first), statusOf(second)]).toEqual(['canceled', 'active']);
    expect(await view()).toMatchObject({ givenPlan: 'pro', subscription: { status: 'active' } });
    expect(await test.credits(owner)).toBe(CREDITS.starter + CREDITS.pro);
  });

  it('counts in whatever order both are told', async () => {
    const other = await anOwner(test);
    const bought = await test.subscribe(other, 'starter');
    const events = test.stripe.events.splice(0);
    test.stripe.advance(60);
    const price = test.stripe.priceOf('price_pro');
    const customer = test.stripe.subscriptions.get(bought)?.customer;
    if (price && customer) test.stripe.subscribe(customer, price);
    await test.deliver(test.stripe.events.splice(0));
    await test.deliver(events);
    await test.care();
    expect((await ask(test, other, 'GET', '/api/billing/subscription')).body).toMatchObject({ givenPlan: 'pro' });
    expect(statusOf(bought)).toBe('canceled');
  });

  it('is never ended by us: of two of them the newer one counts, and once it ends the other', async () => {
    const second = byHand('starter');
    const third = byHand('pro');
    await told();
    await test.care();
    await test.care();
    expect([statusOf(first), statusOf(second), statusOf(third)]).toEqual(['canceled', 'active', 'active']);
    await told();
    expect(await view()).toMatchObject({ givenPlan: 'pro' });
    test.stripe.advance(60);
    test.stripe.end(third);
    await told();
    await test.care();
    expect(await view()).toMatchObject({ givenPlan: 'starter', subscription: { status: 'active', plan: 'starter' } });
    await test.care();
    expect(statusOf(second)).toBe('active');
  });

  it('is ended with its workspace', async () => {
    const second = byHand('pro');
    await told();
    await test.rt.systemPool.query('update workspace set deleted_at = now() where id = $1', [owner.workspace.id]);
    await test.care();
    expect([statusOf(first), statusOf(second)]).toEqual(['canceled', 'canceled']);
  });
});
