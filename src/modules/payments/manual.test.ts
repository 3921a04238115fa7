import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findBroken } from '#src/modules/billing/reconcile.query.ts';
import { createSubscriptionCare } from '#src/modules/payments/tend.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { ask, askOps, CREDITS, PRICES, waitingFor } from '#test/payments.ts';

const INSTRUCTIONS = 'Pix: 12.345.678/0001-95';
let test: TestApp;
let owner: TestUser;
let care: () => Promise<void>;
beforeAll(async () => {
  test = await openTestApp({ STARTING_CREDITS: '0', BILLING_INSTRUCTIONS: INSTRUCTIONS });
  const { systemPool, orm, config, log } = test.rt;
  care = createSubscriptionCare({ systemPool, orm, provider: null, config, log });
});
afterAll(() => test.close());
beforeEach(async () => {
  owner = await aUser(test.rt);
});

const get = async (url: string) => (await ask(test, owner, 'GET', url)).body;
const post = (url: string, payload?: object) => ask(test, owner, 'POST', url, payload);
const operator = async (id: string, verb: string, payload?: object) =>
  askOps(test, `/ops/invoices/${id}/${verb}`, payload);
const view = () => get('/api/billing/subscription');
const invoices = async () => (await get('/api/billing/invoices')).data;
const credits = async () => (await get('/api/ai/credits')).balance;
const checkout = async (plan: string): Promise<string> =>
  (await post('/api/billing/checkout', { plan })).body.invoiceId;
const told = async (type: string) =>
  (
    await test.rt.systemPool.query('select data from outbox_event where workspace_id = $1 and type = $2 order by id', [
      owner.workspace.id,
      type,
    ])
  ).rows.map(({ data }) => data);
/** As if so many days had passed for what is stored. */
const pass = (days: number) =>
  test.rt.systemPool.query(
    `with s as (update subscription set period_start = period_start - $2 * interval '1 day', period_end = period_end - $2 * interval '1 day',
        cancel_at = cancel_at - $2 * interval '1 day', grace_until = grace_until - $2 * interval '1 day' where workspace_id = $1)
      update invoice set due_at = due_at - $2 * interval '1 day', period_start = period_start - $2 * interval '1 day',
        period_end = period_end - $2 * interval '1 day' where workspace_id = $1`,
    [owner.workspace.id, days],
  );
const subscribe = async (plan: 'starter' | 'pro') => operator(await checkout(plan), 'paid');

describe('without a payment provider', () => {
  it('a plan is asked for by an invoice with instructions, and begins when an operator says that it was paid, once', async () => {
    const id = await checkout('starter');
    expect(await checkout('starter')).toBe(id);
    expect(await get(`/api/billing/invoices/${id}`)).toMatchObject({
      status: 'open',
      amountMinor: PRICES.starter,
      instructions: INSTRUCTIONS,
    });
    expect(await view()).toMatchObject({ givenPlan: 'free', subscription: { status: 'incomplete' } });
    expect(await waitingFor(test, 'payment')).toContain(id);
    const answers = await Promise.all(Array.from({ length: 10 }, () => operator(id, 'paid')));
    expect(await waitingFor(test, 'payment')).not.toContain(id);
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
    expect(answers[0]?.body).toMatchObject({ status: 'paid', credits: CREDITS.starter, instructions: null });
    expect(await credits()).toBe(CREDITS.starter);
    expect(await view()).toMatchObject({ givenPlan: 'starter', subscription: { status: 'active' } });
    expect(await told('billing.invoice_paid')).toHaveLength(1);
    expect((await post('/api/billing/checkout', { plan: 'pro' })).body).toMatchObject({ code: 'already_subscribed' });
    expect((await post('/api/billing/portal')).body).toMatchObject({ code: 'no_portal' });
    expect((await test.app.inject({ method: 'POST', url: '/hooks/stripe', payload: '{}' })).statusCode).toBe(404);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });

  it('asked for by several at once it is one subscription and one invoice', async () => {
    const ids = await Promise.all(Array.from({ length: 8 }, () => checkout('pro')));
    expect(new Set(ids).size).toBe(1);
    expect(await invoices()).toHaveLength(1);
    const other = await checkout('starter');
    expect((await invoices()).map(({ status }: { status: string }) => status)).toEqual(['open', 'void']);
    expect((await operator(ids[0] ?? '', 'paid')).body).toMatchObject({ code: 'invoice_closed' });
    expect((await operator(other, 'void')).body.status).toBe('void');
    expect((await view()).subscription.status).toBe('canceled');
  });

  it('the next invoice comes before the period ends, is reminded of once, and paid ahead it begins when its time has come', async () => {
    await subscribe('starter');
    await care();
    expect(await invoices()).toHaveLength(1);
    await pass(24);
    await care();
    await care();
    const [next] = await invoices();
    expect(next).toMatchObject({ status: 'open', reason: 'period', amountMinor: PRICES.starter });
    expect(next.dueAt).toBe((await view()).subscription.periodEnd);
    await pass(4);
    await care();
    await care();
    expect((await told('billing.invoice_due')).filter(({ invoiceId }) => invoiceId === next.id)).toHaveLength(1);
    await operator(next.id, 'paid');
    const { subscription } = await view();
    await pass(4);
    await care();
    expect((await view()).subscription.periodStart > subscription.periodStart).toBe(true);
    expect(await view()).toMatchObject({ givenPlan: 'starter', subscription: { status: 'active' } });
    expect(await invoices()).toHaveLength(2);
  });

  it('unpaid it is overdue, after its grace free, and paid again back', async () => {
    await subscribe('starter');
    await pass(32);
    await care();
    expect(await view()).toMatchObject({ givenPlan: 'starter', subscription: { status: 'past_due' } });
    expect(await told('billing.past_due')).toHaveLength(1);
    await pass(8);
    await care();
    expect(await view()).toMatchObject({ givenPlan: 'free', subscription: { status: 'past_due' } });
    const [open] = await invoices();
    await operator(open.id, 'paid');
    expect(await view()).toMatchObject({ givenPlan: 'starter', subscription: { status: 'active', graceUntil: null } });
    expect(Date.parse((await view()).subscription.periodEnd)).toBeGreaterThan(Date.now() + 27 * 86_400_000);
  });

  it('never paid it is given up', async () => {
    await checkout('starter');
    await pass(15);
    await care();
    expect(await view()).toMatchObject({ givenPlan: 'free', subscription: { status: 'canceled' } });
    expect((await invoices())[0].status).toBe('void');
  });

  it('canceled it ends with its period, unless it goes on after all', async () => {
    await subscribe('starter');
    const { body } = await post('/api/billing/cancel');
    expect(body.subscription.cancelAt).toBe(body.subscription.periodEnd);
    expect((await post('/api/billing/reactivate')).body.subscription.cancelAt).toBeNull();
    await post('/api/billing/cancel');
    await pass(32);
    await care();
    expect(await view()).toMatchObject({ givenPlan: 'free', subscription: { status: 'canceled' } });
    expect(await invoices()).toHaveLength(1);
  });

  it('a better plan costs the difference for the rest of the period, a lesser one begins with the next', async () => {
    await subscribe('starter');
    await pass(15);
    expect((await post('/api/billing/change', { plan: 'pro' })).body.givenPlan).toBe('starter');
    const [change] = await invoices();
    const half = (PRICES.pro - PRICES.starter) / 2;
    expect(change.amountMinor).toBeGreaterThan(half * 0.9);
    expect(change.amountMinor).toBeLessThan(half * 1.1);
    await operator(change.id, 'paid');
    expect((await view()).givenPlan).toBe('pro');
    expect(await credits()).toBeCloseTo(CREDITS.starter + (CREDITS.pro * change.amountMinor) / PRICES.pro, 3);
    expect((await post('/api/billing/change', { plan: 'starter' })).body).toMatchObject({
      givenPlan: 'pro',
      subscription: { nextPlan: 'starter' },
    });
    await pass(12);
    await care();
    const [next] = await invoices();
    expect(next).toMatchObject({ plan: 'starter', amountMinor: PRICES.starter });
    await operator(next.id, 'paid');
    expect((await view()).givenPlan).toBe('pro');
    await pass(8);
    await care();
    expect(await view()).toMatchObject({ givenPlan: 'starter', subscription: { nextPlan: null } });
  });

  it('given back in parts takes credits back in proportion, once', async () => {
    const { body } = await subscribe('pro');
    const half = { refundedMinor: PRICES.pro / 2 };
    await Promise.all([operator(body.id, 'refund', half), operator(body.id, 'refund', half)]);
    expect(await credits()).toBe(CREDITS.pro / 2);
    await operator(body.id, 'refund', {});
    expect((await operator(body.id, 'refund', {})).body).toMatchObject({
      refundedMinor: PRICES.pro,
      creditsReversed: CREDITS.pro,
      creditsUncollected: 0,
    });
    expect(await credits()).toBe(0);
    expect((await operator(body.id, 'refund', { refundedMinor: PRICES.pro + 1 })).status).toBe(409);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });

  it('an invoice is not taken for paid while the workspace pays for another subscription', async () => {
    const id = await checkout('starter');
    await test.rt.systemPool.query(
      `insert into subscription (workspace_id, provider, provider_ref, plan, status, known_at)
        values ($1, 'stripe', 'sub_other', 'pro', 'active', now())`,
      [owner.workspace.id],
    );
    expect((await operator(id, 'paid')).body).toMatchObject({ status: 409, code: 'already_subscribed' });
    expect((await operator(id, 'void')).body.status).toBe('void');
  });

  it('a better plan is not chosen over a lesser one that is to begin', async () => {
    await subscribe('pro');
    await post('/api/billing/change', { plan: 'starter' });
    expect((await post('/api/billing/change', { plan: 'enterprise' })).status).toBe(422);
    expect((await post('/api/billing/change', { plan: 'pro' })).body.subscription.nextPlan).toBeNull();
  });

  it('operators are told of invoices that there are not', async () => {
    expect((await operator(crypto.randomUUID(), 'paid')).status).toBe(404);
  });
});
