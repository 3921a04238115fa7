import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { TestUser } from '#test/factories.ts';
import { anOwner, ask, askOps, CREDITS, openPaymentTest, PRICES, type PaymentTest } from '#test/payments.ts';

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

const logged = async () =>
  (
    await test.rt.systemPool.query(
      `select action, after from audit_log where workspace_id = $1 and (action like 'subscription.%' or action like 'billing.%') order by seq`,
      [owner.workspace.id],
    )
  ).rows.map(({ action, after }) => [action, after]);

describe('the audit log', () => {
  it('names a change once Stripe did it, and what it refused as refused', async () => {
    await test.subscribe(owner);
    await test.deliver(test.stripe.events.splice(0));
    test.hold({ declines: true });
    expect((await post('/api/billing/change', { plan: 'pro' })).status).toBe(422);
    test.hold({ fault: 'unavailable' });
    expect((await post('/api/billing/cancel')).status).toBe(503);
    test.hold();
    expect((await post('/api/billing/cancel')).status).toBe(200);
    expect(await logged()).toEqual([
      ['billing.checkout', { plan: 'starter' }],
      ['subscription.change_failed', { plan: 'pro', change: 'subscription.plan_changed', code: 'payment_refused' }],
      ['subscription.change_failed', { change: 'subscription.canceled', code: 'payment_provider_unavailable' }],
      ['subscription.canceled', {}],
    ]);
  });

  it('names an offer once it can be paid, one time', async () => {
    test.hold({ prices: [] });
    expect((await post('/api/billing/checkout', { plan: 'pro' })).status).toBe(409);
    expect(await logged()).toEqual([]);
    test.hold();
    await Promise.all(Array.from({ length: 3 }, () => post('/api/billing/checkout', { plan: 'pro' })));
    expect(await logged()).toEqual([['billing.checkout', { plan: 'pro' }]]);
  });

  it('names what operators gave back once Stripe took it', async () => {
    await test.subscribe(owner);
    await test.deliver(test.stripe.events.splice(0));
    const [{ id }] = await invoices();
    const refunds = async () =>
      (
        await test.rt.systemPool.query(`select action, after from audit_log where target_id = $1 order by seq`, [id])
      ).rows.map(({ action, after }) => [action, after]);
    test.hold({ fault: 'unavailable' });
    expect((await askOps(test, `/ops/invoices/${id}/refund`, { refundedMinor: 100 })).status).toBe(503);
    test.hold();
    for (let times = 0; times < 2; times += 1)
      expect((await askOps(test, `/ops/invoices/${id}/refund`, { refundedMinor: 100 })).status).toBe(200);
    expect(await refunds()).toEqual([
      ['invoice.refund_failed', { refundedMinor: 100, code: 'payment_provider_unavailable' }],
      ['invoice.refunded', { refundedMinor: 100 }],
    ]);
  });
});

const named = async (of: string) =>
  (
    await test.rt.systemPool.query(
      `select action, after, actor_kind as kind, actor_id as id, request_id is not null as "isTraced" from audit_log
        where workspace_id = $1 and action = any($2) order by seq`,
      [owner.workspace.id, of.split(' ')],
    )
  ).rows;
const told = () => test.deliver(test.stripe.events.splice(0));
const cut = async (asked: () => Promise<{ status: number }>) => {
  test.hold({ fault: 'cut' });
  expect((await asked()).status).toBe(503);
  test.hold();
};
const left = async () =>
  (await test.rt.systemPool.query('select 1 from payment_ask where workspace_id = $1', [owner.workspace.id])).rows;
const me = () => ({ kind: 'session', id: owner.user.id, isTraced: true });

describe('who asked for what Stripe did, while the answer was lost,', () => {
  beforeEach(async () => {
    await test.subscribe(owner);
    await told();
  });

  it('is named by what Stripe tells then, once', async () => {
    await cut(() => post('/api/billing/cancel'));
    expect(await named('subscription.canceled')).toEqual([]);
    await told();
    expect(await named('subscription.canceled')).toEqual([{ action: 'subscription.canceled', after: {}, ...me() }]);
    test.stripe.advance(120);
    await cut(() => post('/api/billing/reactivate'));
    // Asked again, before anything was told.
    expect((await post('/api/billing/reactivate')).status).toBe(200);
    await told();
    expect(await named('subscription.reactivated')).toEqual([
      { action: 'subscription.reactivated', after: {}, ...me() },
    ]);
    expect(await left()).toEqual([]);
  });

  it('is named by what Stripe says when it is asked', async () => {
    await cut(() => post('/api/billing/change', { plan: 'pro' }));
    test.stripe.events.length = 0;
    await test.rt.systemPool.query(
      `update subscription set period_end = now() - interval '2 days', asked_at = null where workspace_id = $1`,
      [owner.workspace.id],
    );
    await test.care();
    expect(await planOf(owner)).toBe('pro');
    expect(await named('subscription.plan_changed')).toEqual([
      { action: 'subscription.plan_changed', after: { plan: 'pro' }, ...me() },
    ]);
  });

  it('is named of what operators give back', async () => {
    const [{ id }] = await invoices();
    const refund = () => askOps(test, `/ops/invoices/${id}/refund`, { refundedMinor: 4000 });
    await cut(refund);
    expect((await refund()).status).toBe(200);
    await told();
    expect((await refund()).status).toBe(200);
    expect(await named('invoice.refunded')).toEqual([
      { action: 'invoice.refunded', after: { refundedMinor: 4000 }, kind: 'system', id: null, isTraced: true },
    ]);
    expect(await left()).toEqual([]);
  });

  it('and nobody of what was refused, or came to nothing and was done by another much later', async () => {
    test.hold({ declines: true });
    expect((await post('/api/billing/change', { plan: 'pro' })).status).toBe(422);
    expect(await left()).toEqual([]);
    test.hold({ fault: 'unavailable' });
    expect((await post('/api/billing/cancel')).status).toBe(503);
    test.hold();
    expect(await left()).toHaveLength(1);
    const [ref = ''] = test.stripe.subscriptions.keys();
    test.stripe.advance(120);
    test.stripe.renew(ref);
    await told();
    test.stripe.cancelInPortal(ref);
    await told();
    expect([await named('subscription.canceled'), await left()]).toEqual([[], []]);
  });
});

describe('cancel, reactivate and portal', () => {
  it.each(['cancel', 'reactivate', 'portal'])('%s takes no body or an empty one, and no other', async (verb) => {
    await test.subscribe(owner);
    await test.deliver(test.stripe.events.splice(0));
    for (const body of [{ plan: 'pro' }, []])
      expect(await post(`/api/billing/${verb}`, body)).toMatchObject({
        status: 400,
        body: { code: 'validation_failed' },
      });
    expect((await post(`/api/billing/${verb}`, {})).status).toBe(200);
    expect((await post(`/api/billing/${verb}`)).status).toBe(200);
  });
});
