import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findBroken } from '#src/modules/billing/reconcile.query.ts';
import { createInbound } from '#src/modules/payments/inbound.ts';
import type { PaymentProvider } from '#src/modules/payments/provider.ts';
import { createSubscriptionCare } from '#src/modules/payments/tend.ts';
import type { TestUser } from '#test/factories.ts';
import { anOwner, ask, CREDITS, openPaymentTest, PRICES, type PaymentTest } from '#test/payments.ts';

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
    test.stripe.advance(1);
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

  it('and that ends while it is asked about has ended', async () => {
    const ref = await test.subscribe(owner);
    await told();
    await ended('25 hours');
    const { systemPool, orm, payments, config, log } = test.rt;
    if (!payments) throw new Error('There is no payment provider');
    const provider: PaymentProvider = {
      ...payments,
      async findSubscription(asked) {
        const found = await payments.findSubscription(asked);
        const status = test.stripe.subscriptions.get(ref)?.status;
        if (status !== 'active') return found;
        test.stripe.end(ref);
        // Of the same second as the answer.
        for (const event of lose())
          await test.send({ ...event, created: Math.floor((found?.at.getTime() ?? 0) / 1000) });
        await test.workOff();
        return found;
      },
    };
    await createSubscriptionCare({ systemPool, orm, provider, config, log })();
    expect(await view()).toMatchObject({ givenPlan: 'free', subscription: { status: 'canceled' } });
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

const invoice = async () => (await invoices())[0];
const bought = async () => {
  await test.subscribe(owner);
  await told();
  const [one] = test.stripe.invoices.values();
  if (!one) throw new Error('No invoice');
  return one;
};
/** An hour passes, and control looks. */
const later = async () => {
  await test.rt.systemPool.query(`update payment_sweep set asked_at = now() - interval '61 minutes'`);
  await test.care();
  await test.workOff();
};
const reversals = async () =>
  (await ask(test, owner, 'GET', '/api/billing/credits/entries?kind=reversal')).body.data.length;
const looks = () => test.stripe.read.filter((path) => path.startsWith('/v1/events?')).length;

describe('what is given back or asked back', () => {
  it('although nobody was told takes the credits back, once with what is told of it after all', async () => {
    const one = await bought();
    await later();
    test.stripe.refund(one, PRICES.starter / 2);
    await later();
    expect(await invoice()).toMatchObject({ refundedMinor: PRICES.starter / 2 });
    expect([await test.credits(owner), await reversals()]).toEqual([CREDITS.starter / 2, 1]);
    test.stripe.dispute(one.id, { amount: PRICES.starter / 2 });
    await later();
    expect([await test.credits(owner), await reversals()]).toEqual([0, 2]);
    await told();
    await later();
    expect([await test.credits(owner), await reversals()]).toEqual([0, 2]);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });

  it('and was not after all gives them again, also where both were lost', async () => {
    const one = await bought();
    const refund = test.stripe.refund(one, PRICES.starter);
    const dispute = test.stripe.dispute(one.id);
    await later();
    expect(await test.credits(owner)).toBe(0);
    test.stripe.advance(60);
    test.stripe.undoRefund(refund?.id ?? '');
    test.stripe.closeDispute(dispute, 'won');
    await later();
    expect(await invoice()).toMatchObject({ refundedMinor: 0, disputedMinor: 0, creditsReversed: 0 });
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    await told();
    expect(await test.credits(owner)).toBe(CREDITS.starter);
  });

  it('is asked for once an hour, page by page, also where Stripe was away then', async () => {
    const one = await bought();
    for (let at = 0; at < 101; at += 1) test.stripe.refund(one, 1);
    await later();
    expect(await invoice()).toMatchObject({ refundedMinor: 101 });
    expect(looks()).toBe(2);
    await test.care();
    expect(looks()).toBe(2);
    test.stripe.refund(one, 1);
    test.hold({ fault: 'unavailable' });
    await later();
    test.hold();
    await test.care();
    await test.workOff();
    expect(await invoice()).toMatchObject({ refundedMinor: 101 });
    await later();
    expect(await invoice()).toMatchObject({ refundedMinor: 102 });
  });
});

const old = JSON.stringify({ kind: 'refund', customerRef: 'cus_1', paymentRef: 'pi_1', refundedMinor: 4950 });
/** A refund that nobody told of but as another shape. */
const stored = async () => {
  await test.subscribe(owner);
  await told();
  const [one] = test.stripe.invoices.values();
  if (one) test.stripe.refund(one, PRICES.starter / 2);
  const event = test.stripe.events.find(({ type }) => type === 'charge.refunded');
  if (!event) throw new Error('No event');
  await test.rt.systemPool.query(
    `insert into inbound_event (source, event_id, type, occurred_at, event) values ('stripe', $1, $2, to_timestamp($3), $4)`,
    [event.id, event.type, event.created, old],
  );
  return event;
};
const outcome = async (id: string) =>
  (await test.rt.systemPool.query('select outcome, attempts from inbound_event where event_id = $1', [id])).rows[0];

describe('an event that code of another time stored', () => {
  it('is asked for anew, and worked off', async () => {
    const { id } = await stored();
    await test.workOff();
    expect(await outcome(id)).toEqual({ outcome: 'applied', attempts: 0 });
    expect(await test.credits(owner)).toBe(CREDITS.starter / 2);
  });

  it('and is too old to be had is set aside with a word, and worked off once it is sent again', async () => {
    const event = await stored();
    test.stripe.events.length = 0;
    const said: unknown[] = [];
    const { systemPool, orm, payments: provider, config, log } = test.rt;
    if (!provider) throw new Error('There is no payment provider');
    const heard = Object.assign(Object.create(log), { error: (...words: unknown[]) => said.push(words.at(-1)) });
    const inbound = createInbound({ systemPool, orm, provider, config, log: heard });
    await inbound.step();
    await inbound.idle();
    expect(await outcome(event.id)).toEqual({ outcome: 'unreadable', attempts: 0 });
    expect(said).toEqual([expect.stringContaining('send it again')]);
    await test.workOff();
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    await test.deliver([event]);
    expect(await outcome(event.id)).toEqual({ outcome: 'applied', attempts: 0 });
    expect(await test.credits(owner)).toBe(CREDITS.starter / 2);
  });
});
