import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findBroken } from '#src/modules/billing/reconcile.query.ts';
import type { TestUser } from '#test/factories.ts';
import {
  anOwner,
  ask,
  askOps,
  CREDITS,
  nowSeconds,
  openPaymentTest,
  PRICES,
  type PaymentTest,
} from '#test/payments.ts';

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
const entries = async () => (await get('/api/billing/credits/entries')).data;
const stored = async () => (await test.rt.systemPool.query('select * from inbound_event')).rows;
const told = async (type: string) =>
  (
    await test.rt.systemPool.query('select data from outbox_event where workspace_id = $1 and type = $2 order by id', [
      owner.workspace.id,
      type,
    ])
  ).rows.map(({ data }) => data);
const books = () => findBroken(test.rt.systemPool, 60);
const only = (type: string) => {
  const found = test.stripe.events.findLast((event) => event.type === type);
  if (!found) throw new Error(`No ${type}`);
  return found;
};

describe('a checkout', () => {
  it('leads to a page where it is paid, and that to the plan and its credits', async () => {
    const { status, body } = await post('/api/billing/checkout', { plan: 'starter' });
    expect(status).toBe(200);
    expect(body).toEqual({ url: expect.stringContaining('/stripe/pay/cs_test_'), invoiceId: null });
    const page = await fetch(body.url, { redirect: 'manual' });
    expect(page.headers.get('location')).toMatch(/\/billing-return$/);
    expect((await get('/api/billing/subscription')).givenPlan).toBe('free');
    await test.deliver(test.stripe.events);
    expect(await get('/api/billing/subscription')).toMatchObject({
      givenPlan: 'starter',
      subscription: { plan: 'starter', status: 'active', provider: 'stripe', cancelAt: null, graceUntil: null },
    });
    expect(await planOf(owner)).toBe('starter');
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    expect(await invoices()).toEqual([
      expect.objectContaining({
        plan: 'starter',
        status: 'paid',
        amountMinor: PRICES.starter,
        currency: 'BRL',
        credits: CREDITS.starter,
        held: null,
        instructions: null,
      }),
    ]);
    expect(await told('billing.invoice_paid')).toHaveLength(1);
    expect(await books()).toEqual([]);
  });

  it('asked for by several at once is one, and so is what comes of it', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => post('/api/billing/checkout', { plan: 'pro' })));
    const urls = answers.filter(({ status }) => status === 200).map(({ body }) => body.url);
    expect(new Set(urls).size).toBe(1);
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => 200));
    expect(test.stripe.sessions.size).toBe(1);
    expect(test.stripe.customers.size).toBe(1);
  });

  it('for another plan takes the place of the one before, which nobody can pay any more', async () => {
    await post('/api/billing/checkout', { plan: 'starter' });
    const { body } = await post('/api/billing/checkout', { plan: 'pro' });
    expect([...test.stripe.sessions.values()].map(({ status }) => status)).toEqual(['expired', 'open']);
    expect(body.url).toContain([...test.stripe.sessions.keys()][1]);
    const both = await Promise.all([
      post('/api/billing/checkout', { plan: 'starter' }),
      post('/api/billing/checkout', { plan: 'pro' }),
    ]);
    expect(both.map(({ status }) => status).every((status) => status === 200 || status === 409)).toBe(true);
    const open = [...test.stripe.sessions.values()].filter(({ status }) => status === 'open');
    expect(open).toHaveLength(1);
  });

  it('is refused while there is a subscription, and for plans that are not sold', async () => {
    await test.subscribe(owner);
    await test.deliver(test.stripe.events);
    expect(await post('/api/billing/checkout', { plan: 'pro' })).toMatchObject({
      status: 409,
      body: { code: 'already_subscribed' },
    });
    const other = await anOwner(test);
    expect(await post('/api/billing/checkout', { plan: 'enterprise' }, other)).toMatchObject({
      status: 422,
      body: { code: 'plan_not_sold' },
    });
    expect((await post('/api/billing/checkout', { plan: 'free' }, other)).status).toBe(400);
  });

  it('paid before we heard of it does not lead to a second one', async () => {
    await test.subscribe(owner, 'starter');
    expect(await post('/api/billing/checkout', { plan: 'pro' })).toMatchObject({
      status: 409,
      body: { code: 'already_subscribed' },
    });
    expect([...test.stripe.sessions.values()].filter(({ status }) => status === 'open')).toEqual([]);
    await test.deliver(test.stripe.events);
    expect(await planOf(owner)).toBe('starter');
  });
});

describe('two subscriptions of one workspace', () => {
  it('give one plan: the second that was bought is ended, and what was paid for it waits for an operator', async () => {
    await test.subscribe(owner, 'starter');
    await test.deliver(test.stripe.events.splice(0));
    const [session] = test.stripe.sessions.values();
    if (!session) throw new Error('No session');
    // As if two pages had been paid at the same time.
    test.stripe.sessions.set('cs_other', { ...session, id: 'cs_other', status: 'open', subscription: null });
    const second = test.stripe.pay('cs_other');
    await test.deliver(test.stripe.events);
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    const [held] = await invoices();
    expect(held).toMatchObject({ status: 'paid', held: 'subscription', credits: 0 });
    await test.care();
    expect(test.stripe.subscriptions.get(second)?.status).toBe('canceled');
    expect(await subscription()).toMatchObject({ status: 'active', plan: 'starter' });
    await test.deliver(test.stripe.events);
    expect(await planOf(owner)).toBe('starter');
    await askOps(test, `/ops/invoices/${held.id}/refund`, {});
    expect(test.stripe.invoices.get([...test.stripe.invoices.keys()][1] ?? '')?.refunded).toBe(PRICES.starter);
  });
});

describe('a webhook', () => {
  it.each([
    ['of another secret', { secret: 'whsec_other' }],
    ['of another body', { body: '{"id":"evt_1"}' }],
    ['that is too old', { seconds: nowSeconds() - 301 }],
    ['without a body', { body: '' }],
  ])('%s is refused, and nothing of it is stored', async (_name, change) => {
    await test.subscribe(owner);
    const before = (await stored()).length;
    expect(await test.send(only('invoice.paid'), change)).toBe(400);
    const bare = await test.app.inject({ method: 'POST', url: '/hooks/stripe', payload: '{}' });
    expect(bare.json()).toMatchObject({ status: 400, code: 'invalid_signature' });
    expect((await stored()).length).toBe(before);
  });

  it('told ten times at once is stored once and gives once, whoever works it off', async () => {
    await test.subscribe(owner);
    await test.deliver(test.stripe.events.filter(({ type }) => type.startsWith('customer.')));
    const paid = only('invoice.paid');
    const answers = await Promise.all(Array.from({ length: 10 }, () => test.send(paid)));
    expect(new Set(answers)).toEqual(new Set([200]));
    expect((await stored()).filter(({ event_id }) => event_id === paid.id)).toHaveLength(1);
    // As ten processes do.
    await Promise.all(Array.from({ length: 10 }, () => test.another().step()));
    await test.workOff();
    // Under ids of its own, it is the same invoice still.
    await test.deliver(
      Array.from({ length: 10 }, (_, at) => ({ ...paid, id: `evt_again_${owner.workspace.id}_${at}` })),
    );
    expect((await stored()).filter(({ applied_at }) => applied_at === null)).toEqual([]);
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    expect((await entries()).filter(({ kind }: { kind: string }) => kind === 'grant')).toHaveLength(1);
    expect(await told('billing.invoice_paid')).toHaveLength(1);
  });

  it('that we do not know is stored and changes nothing', async () => {
    const event = test.stripe.say('product.created', { id: 'prod_1', object: 'product' });
    expect(await test.send(event)).toBe(200);
    expect((await stored()).find(({ event_id }) => event_id === event.id)).toMatchObject({
      outcome: 'ignored',
      event: null,
    });
  });

  it('keeps nothing of people', async () => {
    await test.subscribe(owner);
    await test.deliver(test.stripe.events);
    expect(JSON.stringify(test.stripe.events)).toContain('pessoa@example.com');
    expect(JSON.stringify(await stored())).not.toMatch(/pessoa|Pagadora|98765/i);
  });

  it('of a customer of nobody, or of another workspace, touches nothing of ours', async () => {
    await test.subscribe(owner);
    await test.deliver(test.stripe.events.splice(0));
    const before = await subscription();
    const stranger = await anOwner(test);
    await test.subscribe(stranger, 'pro');
    // Signed by Stripe, of the stranger's customer, and naming our subscription and our invoice.
    const ours = [...test.stripe.subscriptions.values()][0];
    const theirs = only('customer.subscription.created');
    const forged = structuredClone(theirs);
    Object.assign(forged, { id: `evt_forged_${owner.workspace.id}`, created: forged.created + 100 });
    Object.assign(forged.data.object, { id: ours?.id, status: 'canceled' });
    const unknown = structuredClone(theirs);
    Object.assign(unknown, { id: `evt_unknown_${owner.workspace.id}` });
    Object.assign(unknown.data.object, { id: ours?.id, customer: 'cus_of_nobody', status: 'canceled' });
    await test.deliver([forged, unknown]);
    expect(await subscription()).toEqual(before);
    expect(await planOf(owner)).toBe('starter');
    expect((await stored()).find(({ event_id }) => event_id === unknown.id)).toMatchObject({ outcome: 'stranger' });
  });

  it('is worked off once although the process was killed between storing and working it off, or within', async () => {
    await test.subscribe(owner);
    for (const event of test.stripe.events) await test.send(event);
    // The kill: the transaction that had marked and granted is gone with its connection.
    const { rt } = test;
    const client = await rt.systemPool.connect();
    await client.query('begin');
    await client.query(`update inbound_event set applied_at = now(), outcome = 'applied' where applied_at is null`);
    await client.query('rollback');
    client.release();
    await test.workOff();
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    await test.workOff();
    expect(await test.credits(owner)).toBe(CREDITS.starter);
  });

  it('waits while Stripe must be asked and is away', async () => {
    await test.subscribe(owner);
    test.hold({ fault: 'unavailable' });
    // Its subscription was not told: it must be asked for.
    await test.deliver([only('invoice.paid')]);
    expect(await invoices()).toEqual([]);
    test.hold();
    await test.rt.systemPool.query('update inbound_event set next_attempt_at = now() where applied_at is null');
    await test.workOff();
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    expect(await subscription()).toMatchObject({ status: 'active' });
  });
});

describe('a payment', () => {
  it('that is not what the plan costs gives nothing and waits for an operator, with an alarm', async () => {
    await post('/api/billing/checkout', { plan: 'starter' });
    test.stripe.pay([...test.stripe.sessions.keys()][0] ?? '', 100);
    await test.deliver(test.stripe.events);
    const [held] = await invoices();
    expect(held).toMatchObject({ status: 'paid', amountMinor: 100, held: 'amount', credits: 0 });
    expect(await told('billing.invoice_held')).toEqual([{ invoiceId: held.id, reason: 'amount' }]);
    expect(await test.credits(owner)).toBe(0);
    expect((await askOps(test, `/ops/invoices/${held.id}/release`, { credits: 77 })).body).toMatchObject({
      held: null,
      credits: 77,
    });
    expect(await test.credits(owner)).toBe(77);
    expect((await askOps(test, `/ops/invoices/${held.id}/release`, {})).body).toMatchObject({ code: 'not_held' });
  });

  it('renewed gives the next month; failed, it leaves the plan for its grace, and paid after that it is back', async () => {
    const ref = await test.subscribe(owner);
    await test.deliver(test.stripe.events.splice(0));
    test.stripe.renew(ref);
    await test.deliver(test.stripe.events.splice(0));
    expect(await test.credits(owner)).toBe(2 * CREDITS.starter);
    const failed = test.stripe.renew(ref, { isPaid: false });
    await test.deliver(test.stripe.events.splice(0));
    expect(await told('billing.payment_failed')).toHaveLength(1);
    expect(await subscription()).toMatchObject({ status: 'past_due', graceUntil: expect.any(String) });
    expect(await planOf(owner)).toBe('starter');
    await test.care();
    expect(await planOf(owner)).toBe('starter');
    await test.rt.systemPool.query(
      `update subscription set grace_until = now() - interval '1 second' where workspace_id = $1`,
      [owner.workspace.id],
    );
    await test.care();
    expect(await planOf(owner)).toBe('free');
    expect((await get('/api/billing/subscription')).givenPlan).toBe('free');
    test.stripe.advance(60);
    test.stripe.retry(failed, true);
    await test.deliver(test.stripe.events.splice(0));
    expect(await planOf(owner)).toBe('starter');
    expect(await subscription()).toMatchObject({ status: 'active', graceUntil: null, pastDueSince: null });
    expect(await test.credits(owner)).toBe(3 * CREDITS.starter);
    expect(await books()).toEqual([]);
  });

  it('given back takes the credits back once, in proportion, and never what was spent', async () => {
    await test.subscribe(owner);
    await test.deliver(test.stripe.events.splice(0));
    const [invoice] = await invoices();
    const refund = (body: object) => askOps(test, `/ops/invoices/${invoice.id}/refund`, body);
    await Promise.all([refund({ refundedMinor: 4950 }), refund({ refundedMinor: 4950 })]);
    expect(test.stripe.refunds.size).toBe(1);
    const event = test.stripe.events.splice(0).find(({ type }) => type === 'charge.refunded');
    if (!event) throw new Error('No refund');
    await test.deliver([event, { ...event, id: `${event.id}_again` }]);
    expect(await test.credits(owner)).toBe(CREDITS.starter / 2);
    const { rows } = await test.rt.systemPool.query(`select credit_reverse($1, $2, 2400 * 1000000::bigint) as taken`, [
      owner.workspace.id,
      invoice.id,
    ]);
    // 100 of 2 500 are left, as if the others had been spent.
    expect(rows[0].taken).toBe('2400000000');
    await refund({});
    await test.deliver(test.stripe.events.splice(0));
    expect(await test.credits(owner)).toBe(0);
    expect((await invoices())[0]).toMatchObject({
      refundedMinor: PRICES.starter,
      creditsReversed: 2600,
      creditsUncollected: 2400,
    });
    expect(await told('billing.refunded')).toHaveLength(2);
    expect((await refund({})).status).toBe(200);
    expect(test.stripe.events).toEqual([]);
    expect(await books()).toEqual([]);
  });
});

it('a closed workspace is no longer paid for', async () => {
  const ref = await test.subscribe(owner);
  await test.deliver(test.stripe.events.splice(0));
  await test.rt.systemPool.query('update workspace set deleted_at = now() where id = $1', [owner.workspace.id]);
  await test.care();
  expect(test.stripe.subscriptions.get(ref)?.status).toBe('canceled');
  await test.deliver(test.stripe.events.splice(0));
  const { rows } = await test.rt.systemPool.query('select status from subscription where workspace_id = $1', [
    owner.workspace.id,
  ]);
  expect(rows).toEqual([{ status: 'canceled' }]);
});
