import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findBroken } from '#src/modules/billing/reconcile.query.ts';
import type { TestUser } from '#test/factories.ts';
import { anOwner, ask, CREDITS, openPaymentTest, PRICES, type PaymentTest } from '#test/payments.ts';

let test: PaymentTest;
beforeAll(async () => {
  test = await openPaymentTest();
});
afterAll(() => test.close());

/** What happens to a subscription; seconds pass before each, or none, so that events of one second are among them. */
const Step = fc.record({
  seconds: fc.constantFrom(0, 0, 1, 90),
  what: fc.constantFrom(
    'renew',
    'fail',
    'retry',
    'cancel',
    'resume',
    'upgrade',
    'lower',
    'refund',
    'undo',
    'dispute',
    'win',
    'end',
  ),
});
type Step = typeof Step extends fc.Arbitrary<infer One> ? One : never;

/** Plays a life at Stripe. @returns what it comes to by our rules */
function live(ref: string, steps: readonly Step[]) {
  const { stripe } = test;
  const one = () => stripe.subscriptions.get(ref);
  const invoices = () => [...stripe.invoices.values()].filter(({ subscription }) => subscription === ref);
  for (const { seconds, what } of steps) {
    stripe.advance(seconds);
    const now = one();
    if (!now || now.status === 'canceled') break;
    const open = invoices().findLast(({ status }) => status === 'open');
    const paid = invoices().find(({ status, total, refunded }) => status === 'paid' && total > 0 && refunded < total);
    if (what === 'renew' && now.status === 'active') stripe.renew(ref);
    if (what === 'fail' && now.status === 'active' && !now.cancelAtEnd) stripe.renew(ref, { isPaid: false });
    if (what === 'retry' && open) stripe.retry(open.id, true);
    if (what === 'cancel') stripe.setCancel(now, true);
    if (what === 'resume') stripe.setCancel(now, false);
    const [starter, pro] = [stripe.priceOf('price_starter'), stripe.priceOf('price_pro')];
    if (what === 'lower' && starter && now.status === 'active' && now.price.id !== starter.id)
      stripe.setPrice(now, starter, { kept_plan: 'pro', kept_until: `${now.end}` });
    const asked = [...stripe.disputes.values()].find(({ status }) => status === 'needs_response');
    if (what === 'dispute' && paid) stripe.dispute(paid.id, { amount: Math.ceil(paid.total / 3) });
    if (what === 'win' && asked) stripe.closeDispute(asked.id, 'won');
    if (what === 'upgrade' && pro && now.status === 'active' && now.price.id !== pro.id) stripe.change(now, pro);
    if (what === 'refund' && paid) stripe.refund(paid, Math.ceil((paid.total - paid.refunded) / 2));
    const refunded = [...stripe.refunds.values()].find(({ status }) => status === 'succeeded');
    if (what === 'undo' && refunded) stripe.undoRefund(refunded.id);
    if (what === 'end') stripe.end(ref);
  }
  const last = one();
  const isKept = last?.metadata['kept_until'] === `${last?.end}`;
  const plan = last?.price.id === 'price_pro' || isKept ? ('pro' as const) : ('starter' as const);
  const disputed = (id: string) =>
    [...stripe.disputes.values()]
      .filter(({ invoice, status }) => invoice === id && status === 'needs_response')
      .reduce((sum, { amount }) => sum + amount, 0);
  const credits = invoices()
    .filter(({ status }) => status === 'paid')
    .map(({ id, total, refunded, lines }) => {
      const bought = lines.toSorted((a, b) => b.amount - a.amount)[0]?.price.id === 'price_pro' ? 'pro' : 'starter';
      const micro = Math.round(CREDITS[bought] * 1e6 * Math.min(1, Math.max(0, total) / PRICES[bought]));
      const returned = Math.min(total, refunded + disputed(id));
      return micro - (total > 0 ? Math.round(micro * (returned / total)) : 0);
    });
  return {
    plan,
    status: last?.status,
    given: last?.status === 'canceled' ? 'free' : plan,
    isCanceling: last?.status !== 'canceled' && last?.cancelAtEnd === true,
    paid: invoices().filter(({ status }) => status === 'paid').length,
    credits: credits.reduce((sum, one) => sum + one, 0) / 1e6,
  };
}

async function foundOf(owner: TestUser) {
  const { givenPlan, subscription } = (await ask(test, owner, 'GET', '/api/billing/subscription')).body;
  const { data } = (await ask(test, owner, 'GET', '/api/billing/invoices?status=paid&limit=100')).body;
  return {
    plan: subscription.plan,
    status: subscription.status,
    given: givenPlan,
    isCanceling: subscription.status !== 'canceled' && subscription.cancelAt !== null,
    paid: data.length,
    credits: await test.credits(owner),
  };
}

it('in whatever order and however often events come, and with whatever pauses, the end is the same', async () => {
  const runs = Number(process.env['PAYMENT_RUNS'] ?? 25);
  await fc.assert(
    fc.asyncProperty(fc.array(Step, { maxLength: 12 }), fc.integer(), async (steps, seed) => {
      test.stripe.clear();
      test.hold();
      const owner = await anOwner(test);
      const expected = live(await test.subscribe(owner), steps);
      const events = shuffled([...test.stripe.events, ...test.stripe.events], seed);
      for (const [at, event] of events.entries()) {
        await test.send(event);
        if (at % 3 === Math.abs(seed) % 3) await test.step();
      }
      await test.workOff();
      expect(await foundOf(owner)).toEqual({ ...expected, credits: expect.closeTo(expected.credits, 4) });
    }),
    { numRuns: runs, ...(process.env['PAYMENT_SEED'] && { seed: Number(process.env['PAYMENT_SEED']) }) },
  );
  const { rows } = await test.rt.systemPool.query(
    `select count(*)::int as waiting from inbound_event where applied_at is null`,
  );
  expect(rows).toEqual([{ waiting: 0 }]);
  expect(await findBroken(test.rt.systemPool, 600)).toEqual([]);
}, 300_000);

/** Always the same order for a seed. */
function shuffled<One>(all: One[], seed: number): One[] {
  let state = seed >>> 0;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return all
    .map((one) => ({ one, key: random() }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ one }) => one);
}
