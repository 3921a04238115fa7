import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findBroken } from '#src/modules/billing/reconcile.query.ts';
import type { TestUser } from '#test/factories.ts';
import {
  anOwner,
  ask,
  askOps,
  CREDITS,
  openPaymentTest,
  PRICES,
  waitingFor,
  type PaymentTest,
} from '#test/payments.ts';

let test: PaymentTest;
let owner: TestUser;
let paid: string;
beforeAll(async () => {
  test = await openPaymentTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  test.stripe.clear();
  test.hold();
  owner = await anOwner(test);
  await test.subscribe(owner);
  await told();
  paid = [...test.stripe.invoices.keys()][0] ?? '';
});

/** Delivers what Stripe has to tell. */
const told = () => test.deliver(test.stripe.events.splice(0));
const invoice = async () => (await ask(test, owner, 'GET', '/api/billing/invoices')).body.data[0];
const events = async (type: string) =>
  (
    await test.rt.systemPool.query('select data from outbox_event where workspace_id = $1 and type = $2 order by id', [
      owner.workspace.id,
      type,
    ])
  ).rows.map(({ data }) => data);
/** As if so many of the invoice's credits had been spent. */
async function spend(credits: number): Promise<void> {
  const { rows } = await test.rt.systemPool.query(`select credit_reverse($1, $2, $3::bigint * 1000000) as taken`, [
    owner.workspace.id,
    (await invoice()).id,
    credits,
  ]);
  expect(rows).toEqual([{ taken: `${credits * 1_000_000}` }]);
}
const first = () => {
  const one = [...test.stripe.invoices.values()][0];
  if (!one) throw new Error('No invoice');
  return one;
};
const undo = (id: string | undefined, status?: 'canceled') => test.stripe.undoRefund(id ?? '', status);
// Whatever was done, the books are even.
afterEach(async () => expect(await findBroken(test.rt.systemPool, 600)).toEqual([]));

describe('a disputed payment', () => {
  it('takes the credits back while it is open, and gives them again when it is won, for a month', async () => {
    const dispute = test.stripe.dispute(paid);
    await told();
    expect(await test.credits(owner)).toBe(0);
    const all = { disputedMinor: PRICES.starter, creditsReversed: CREDITS.starter, creditsUncollected: 0 };
    expect(await invoice()).toMatchObject({ status: 'paid', refundedMinor: 0, ...all });
    expect(await waitingFor(test, 'dispute')).toContain((await invoice()).id);
    // The month is over before it is decided.
    await test.rt.systemPool.query(
      `update credit_lot set expires_at = now() - interval '1 day' where workspace_id = $1`,
      [owner.workspace.id],
    );
    test.stripe.advance(60);
    test.stripe.closeDispute(dispute, 'won');
    await told();
    expect(await invoice()).toMatchObject({ disputedMinor: 0, creditsReversed: 0, creditsUncollected: 0 });
    expect(await waitingFor(test, 'dispute')).not.toContain((await invoice()).id);
    await test.rt.systemPool.query('select credit_lapse()');
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    expect(await events('billing.disputed')).toMatchObject([
      { status: 'open', amountMinor: PRICES.starter, creditsReversed: CREDITS.starter },
      { status: 'won', creditsReversed: 0 },
    ]);
    const entries = (await ask(test, owner, 'GET', '/api/billing/credits/entries?kind=reversal')).body.data;
    expect(entries).toHaveLength(2);
  });

  it('that is lost leaves them gone, and what was spent of them uncollected', async () => {
    await spend(4000);
    const dispute = test.stripe.dispute(paid);
    await told();
    test.stripe.advance(60);
    test.stripe.closeDispute(dispute, 'lost');
    await told();
    expect(await test.credits(owner)).toBe(0);
    expect(await invoice()).toMatchObject({ creditsReversed: 1000, creditsUncollected: 4000 });
    expect((await events('billing.disputed')).map(({ status }) => status)).toEqual(['open', 'lost']);
  });

  it('that is won owes nothing of what was spent, and gives back what was not', async () => {
    await spend(4000);
    const dispute = test.stripe.dispute(paid, { amount: PRICES.starter / 2 });
    await told();
    expect(await invoice()).toMatchObject({ creditsReversed: 1000, creditsUncollected: 1500 });
    test.stripe.advance(60);
    test.stripe.closeDispute(dispute, 'won');
    await told();
    expect(await invoice()).toMatchObject({ creditsReversed: 0, creditsUncollected: 0 });
    expect(await test.credits(owner)).toBe(1000);
  });

  it('told in any order, of one second and again, comes to the same', async () => {
    const dispute = test.stripe.dispute(paid);
    test.stripe.closeDispute(dispute, 'won');
    const all = test.stripe.events.splice(0);
    expect(new Set(all.map(({ created }) => created)).size).toBeLessThan(all.length);
    await test.deliver([...all.toReversed(), ...all.map((event) => ({ ...event, id: `${event.id}_again` }))]);
    expect(await invoice()).toMatchObject({ disputedMinor: 0, creditsReversed: 0 });
    expect(await test.credits(owner)).toBe(CREDITS.starter);
  });

  it('is told before the payment it is of, and nothing is lost', async () => {
    const ref = [...test.stripe.subscriptions.keys()][0] ?? '';
    const next = test.stripe.renew(ref);
    const payment = test.stripe.events.splice(0);
    test.stripe.dispute(next);
    await told();
    await test.deliver(payment);
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    expect(await invoice()).toMatchObject({
      status: 'paid',
      disputedMinor: PRICES.starter,
      creditsReversed: CREDITS.starter,
    });
  });

  it('of which the bank only asks changes nothing, and neither does one of a stranger', async () => {
    const question = test.stripe.dispute(paid, { status: 'warning_needs_response' });
    test.stripe.closeDispute(question, 'warning_closed');
    const [event] = test.stripe.events;
    await told();
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    const stray = structuredClone(event);
    Object.assign(stray?.data.object ?? {}, { charge: 'ch_of_nobody', status: 'needs_response' });
    if (stray) await test.deliver([{ ...stray, id: `${stray.id}_stray` }]);
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    expect(await events('billing.disputed')).toEqual([]);
  });

  it('and refunded takes the credits back once', async () => {
    test.stripe.dispute(paid);
    await told();
    const [charged] = [...test.stripe.invoices.values()];
    if (charged) test.stripe.refund(charged, PRICES.starter);
    await told();
    expect(await invoice()).toMatchObject({ creditsReversed: CREDITS.starter, creditsUncollected: 0 });
    expect(await test.credits(owner)).toBe(0);
  });
});

describe('a refund', () => {
  const whole = { refundedMinor: 0, creditsReversed: 0, creditsUncollected: 0 };

  it.each(['failed', 'canceled'] as const)('that %s later gives back what it took, once', async (status) => {
    const one = test.stripe.refund(first(), PRICES.starter / 2);
    const refunded = test.stripe.events.splice(0);
    await test.deliver(refunded);
    expect(await test.credits(owner)).toBe(CREDITS.starter / 2);
    undo(one?.id, status === 'canceled' ? status : undefined);
    const undone = test.stripe.events.splice(0);
    await test.deliver(undone);
    expect(await invoice()).toMatchObject({ status: 'paid', ...whole });
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    await test.deliver([...undone, ...refunded].map((event) => ({ ...event, id: `${event.id}_again` })));
    expect(await invoice()).toMatchObject(whole);
    expect(await test.credits(owner)).toBe(CREDITS.starter);
    expect((await events('billing.refunded')).map(({ refundedMinor }) => refundedMinor)).toEqual([4950, 0]);
    expect((await ask(test, owner, 'GET', '/api/billing/credits/entries?kind=reversal')).body.data).toHaveLength(2);
  });

  it('that fails owes nothing of what was spent', async () => {
    await spend(4000);
    const one = test.stripe.refund(first(), PRICES.starter / 2);
    await told();
    expect(await invoice()).toMatchObject({ creditsReversed: 1000, creditsUncollected: 1500 });
    undo(one?.id);
    await told();
    expect(await invoice()).toMatchObject(whole);
    expect(await test.credits(owner)).toBe(1000);
  });

  it('and its failure in any order come to the same, and of two the other stays', async () => {
    const [one] = [test.stripe.refund(first(), 3000), test.stripe.refund(first(), 3300)];
    undo(one?.id);
    await test.deliver(test.stripe.events.splice(0).toReversed());
    expect(await invoice()).toMatchObject({ refundedMinor: 3300 });
    expect(await test.credits(owner)).toBeCloseTo((CREDITS.starter * 2) / 3, 5);
  });

  it('that failed is given by an operator again', async () => {
    const { id } = await invoice();
    const refund = () => askOps(test, `/ops/invoices/${id}/refund`, {});
    await refund();
    await told();
    undo([...test.stripe.refunds.keys()][0]);
    await told();
    expect((await refund()).status).toBe(200);
    await told();
    expect(first().refunded).toBe(PRICES.starter);
    expect(await invoice()).toMatchObject({ refundedMinor: PRICES.starter, creditsReversed: CREDITS.starter });
  });

  it('of all of a held invoice that fails lets it wait for an operator again', async () => {
    const other = await anOwner(test);
    await ask(test, other, 'POST', '/api/billing/checkout', { plan: 'starter' });
    test.stripe.pay([...test.stripe.sessions.keys()].at(-1) ?? '', 100);
    await told();
    const { id } = (await ask(test, other, 'GET', '/api/billing/invoices')).body.data[0];
    await askOps(test, `/ops/invoices/${id}/refund`, {});
    await told();
    expect(await waitingFor(test, 'release')).not.toContain(id);
    undo([...test.stripe.refunds.keys()].at(-1));
    await told();
    expect(await waitingFor(test, 'release')).toContain(id);
    expect((await askOps(test, `/ops/invoices/${id}/release`, { credits: 77 })).status).toBe(200);
    expect(await test.credits(other)).toBe(77);
  });
});

describe('what was paid from the balance at Stripe', () => {
  it('is not given back with everything, which says so; more than was collected is refused by a word', async () => {
    const [ref] = test.stripe.subscriptions.keys();
    const customer = [...test.stripe.customers.values()].at(-1);
    if (customer) customer.balance = 900;
    test.stripe.renew(ref ?? '');
    await told();
    const renewed = await invoice();
    const refund = (body: object) => askOps(test, `/ops/invoices/${renewed.id}/refund`, body);
    expect(await refund({ refundedMinor: PRICES.starter })).toMatchObject({
      status: 409,
      body: { code: 'more_than_collected', detail: expect.stringContaining('9000') },
    });
    expect(await refund({})).toMatchObject({ status: 200, body: { notRefundableMinor: 900 } });
    await told();
    expect(await invoice()).toMatchObject({ refundedMinor: 9000 });
    expect(await refund({})).toMatchObject({ status: 200, body: { notRefundableMinor: 900 } });
    expect(test.stripe.refunds.size).toBe(1);
  });

  it('alone cannot be given back at all', async () => {
    const customer = [...test.stripe.customers.values()].at(-1);
    if (customer) customer.balance = PRICES.starter;
    test.stripe.renew([...test.stripe.subscriptions.keys()][0] ?? '');
    await told();
    const { id } = await invoice();
    expect(await askOps(test, `/ops/invoices/${id}/refund`, {})).toMatchObject({
      status: 409,
      body: { code: 'nothing_to_refund' },
    });
  });

  it('of a held invoice leaves nothing that waits once all that was collected is given back', async () => {
    const customer = [...test.stripe.customers.values()].at(-1);
    if (customer) customer.balance = 900;
    test.stripe.renew([...test.stripe.subscriptions.keys()][0] ?? '', { amount: 5000 });
    await told();
    const { id } = await invoice();
    expect(await waitingFor(test, 'release')).toContain(id);
    await askOps(test, `/ops/invoices/${id}/refund`, {});
    await told();
    expect(await waitingFor(test, 'release')).not.toContain(id);
  });
});

describe('what operators give back', () => {
  it('is all that is to be given back, also before Stripe has told of the first part', async () => {
    const refund = (refundedMinor: number) => askOps(test, `/ops/invoices/${id}/refund`, { refundedMinor });
    const { id } = await invoice();
    await refund(3000);
    await refund(6000);
    expect([...test.stripe.invoices.values()][0]?.refunded).toBe(6000);
    await told();
    expect((await invoice()).refundedMinor).toBe(6000);
  });

  it('at once and in different amounts is one of them', async () => {
    const { id } = await invoice();
    test.hold({ delayMs: 100 });
    await Promise.all(
      [3000, 6000].map((refundedMinor) => askOps(test, `/ops/invoices/${id}/refund`, { refundedMinor })),
    );
    expect([3000, 6000]).toContain([...test.stripe.invoices.values()][0]?.refunded);
  });

  it('of a held invoice leaves nothing that could be released', async () => {
    const other = await anOwner(test);
    await ask(test, other, 'POST', '/api/billing/checkout', { plan: 'starter' });
    test.stripe.pay([...test.stripe.sessions.keys()].at(-1) ?? '', 100);
    await told();
    const held = async () => (await ask(test, other, 'GET', '/api/billing/invoices')).body.data[0];
    const { id } = await held();
    expect(await waitingFor(test, 'release')).toContain(id);
    await askOps(test, `/ops/invoices/${id}/refund`, { refundedMinor: 40 });
    await told();
    expect((await askOps(test, `/ops/invoices/${id}/release`, { credits: 77 })).body).toMatchObject({
      code: 'returned',
    });
    await askOps(test, `/ops/invoices/${id}/refund`, {});
    await told();
    expect(await held()).toMatchObject({ held: null, refundedMinor: 100 });
    expect(await test.credits(other)).toBe(0);
  });
});
