import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findBroken } from '#src/modules/billing/reconcile.query.ts';
import type { TestUser } from '#test/factories.ts';
import { anOwner, ask, CREDITS, openPaymentTest, type PaymentTest } from '#test/payments.ts';

let test: PaymentTest;
let owner: TestUser;
beforeAll(async () => {
  test = await openPaymentTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  // What other tests left is asked about no more.
  await test.rt.systemPool.query(`update subscription set status = 'canceled'`);
  await test.rt.systemPool.query(`update checkout set status = 'expired' where status = 'open'`);
  test.stripe.clear();
  test.hold();
  owner = await anOwner(test);
});

const view = async () => (await ask(test, owner, 'GET', '/api/billing/subscription')).body;
const invoices = async () => (await ask(test, owner, 'GET', '/api/billing/invoices')).body.data;
const told = () => test.deliver(test.stripe.events.splice(0));
/** Nobody took what Stripe told, until it gave up. */
const lose = () => test.stripe.events.splice(0);
const write = (sql: string) => test.rt.systemPool.query(`${sql} where workspace_id = $1`, [owner.workspace.id]);
const ended = (interval: string) => write(`update subscription set period_end = now() - interval '${interval}'`);
const asked = (kind: string) => test.stripe.read.filter((path) => path.startsWith(`/v1/${kind}/`)).length;

const over = () => write(`update checkout set expires_at = now() - interval '1 minute'`);
const status = async () =>
  (await test.rt.systemPool.query('select status from checkout where workspace_id = $1', [owner.workspace.id])).rows;

describe('a subscription whose period ended long ago without news', () => {
  it('is renewed by what Stripe says when it is asked, once with what is told of it after all', async () => {
    const ref = await test.subscribe(owner);
    await told();
    test.stripe.renew(ref);
    test.stripe.renew(ref);
    const lost = lose();
    await ended('25 hours');
    await test.care();
    const { subscription, givenPlan } = await view();
    expect([givenPlan, Date.parse(subscription.periodEnd)]).toEqual([
      'starter',
      (test.stripe.subscriptions.get(ref)?.end ?? 0) * 1000,
    ]);
    expect(await invoices()).toHaveLength(3);
    expect(await test.credits(owner)).toBe(3 * CREDITS.starter);
    await test.deliver(lost);
    expect(await test.credits(owner)).toBe(3 * CREDITS.starter);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });

  it('ends where it has ended there', async () => {
    const ref = await test.subscribe(owner, 'pro');
    await told();
    test.stripe.end(ref);
    lose();
    await ended('23 hours');
    await test.care();
    expect(await view()).toMatchObject({ givenPlan: 'pro' });
    await ended('25 hours');
    await test.care();
    expect(await view()).toMatchObject({ givenPlan: 'free', subscription: { status: 'canceled' } });
  });

  it('is asked for once an hour, also where Stripe was away then', async () => {
    const ref = await test.subscribe(owner);
    await told();
    test.stripe.end(ref);
    lose();
    await ended('25 hours');
    test.stripe.read.length = 0;
    test.hold({ fault: 'unavailable' });
    await test.care();
    test.hold();
    await test.care();
    expect(asked('subscriptions')).toBe(0);
    expect(await view()).toMatchObject({ givenPlan: 'starter' });
    await write(`update subscription set asked_at = now() - interval '61 minutes'`);
    await test.care();
    expect(asked('subscriptions')).toBe(1);
    expect(await view()).toMatchObject({ givenPlan: 'free' });
    await test.care();
    expect(asked('subscriptions')).toBe(1);
  });

  it('or that is about to lose its plan unpaid keeps it where it was paid', async () => {
    const ref = await test.subscribe(owner);
    await told();
    const failed = test.stripe.renew(ref, { isPaid: false });
    await told();
    test.stripe.retry(failed, true);
    lose();
    await write(`update subscription set grace_until = now() - interval '1 second'`);
    await test.care();
    expect(await view()).toMatchObject({ givenPlan: 'starter', subscription: { status: 'active' } });
    expect(await test.credits(owner)).toBe(2 * CREDITS.starter);
  });
});

describe('a checkout whose time is over', () => {
  it('and which was paid gives what was bought', async () => {
    await test.subscribe(owner);
    const lost = lose();
    await test.care();
    expect(await view()).toMatchObject({ givenPlan: 'free' });
    await over();
    await test.care();
    expect(await view()).toMatchObject({ givenPlan: 'starter', subscription: { status: 'active' } });
    expect(await status()).toEqual([{ status: 'completed' }]);
    await test.deliver(lost);
    expect(await test.credits(owner)).toBe(CREDITS.starter);
  });

  it('and which was not is over, and is not asked for again', async () => {
    await ask(test, owner, 'POST', '/api/billing/checkout', { plan: 'pro' });
    await over();
    await test.care();
    // By Stripe's clock it could still be paid.
    expect(await status()).toEqual([{ status: 'open' }]);
    const [session] = test.stripe.sessions.values();
    if (session) test.stripe.expire(session);
    lose();
    await test.care();
    expect([await status(), asked('checkout')]).toEqual([[{ status: 'open' }], 1]);
    await write(`update checkout set asked_at = now() - interval '61 minutes'`);
    await test.care();
    expect(await status()).toEqual([{ status: 'expired' }]);
    await test.care();
    expect(asked('checkout')).toBe(2);
  });
});
