import type Stripe from 'stripe';
import { conflict } from '#src/errors.ts';
import type { PaymentProvider } from '#src/modules/payments/provider.ts';
import { answered, type StripeClient } from '#src/modules/payments/stripe-client.ts';
import { noteOf, toInvoice, toSubscription } from '#src/modules/payments/stripe-translate.ts';

/** What is done with subscriptions, and read of them and their invoices. */
export function subscriptions({ stripe, ask, find, send }: StripeClient) {
  const read = async (ref: string) => {
    const since = performance.now();
    return answered(await ask(() => stripe.subscriptions.retrieve(ref)), toSubscription, since);
  };
  const update = async (ref: string, params: Stripe.SubscriptionUpdateParams, key: string) => {
    const since = performance.now();
    const one = await send(key, (once) => stripe.subscriptions.update(ref, params, once));
    // An answer of before says what was so then, and has the time of now.
    return one.lastResponse.headers['idempotent-replayed'] === 'true'
      ? read(ref)
      : answered(one, toSubscription, since);
  };
  const itemOf = async (ref: string) => {
    const [item] = (await ask(() => stripe.subscriptions.retrieve(ref))).items.data;
    if (!item) throw conflict('payment_provider_refused', 'The subscription has nothing that could be changed.');
    return item;
  };
  return {
    async setCancel(ref, isCanceling, key) {
      const since = performance.now();
      const one = await ask(() => stripe.subscriptions.retrieve(ref));
      // Its portal notes a moment, and not that it is the period's end; only one of the two can be set.
      const isByMoment = one.cancel_at !== null && !one.cancel_at_period_end;
      if (!isByMoment) return update(ref, { cancel_at_period_end: isCanceling }, key);
      return isCanceling ? answered(one, toSubscription, since) : update(ref, { cancel_at: '' }, key);
    },
    async changePrice(ref, price, key) {
      const { id } = await itemOf(ref);
      const params: Stripe.SubscriptionUpdateParams = {
        items: [{ id, price }],
        metadata: noteOf(null, 0),
        proration_behavior: 'always_invoice',
        // Without the payment nothing changes.
        payment_behavior: 'error_if_incomplete',
      };
      return update(ref, params, key);
    },
    async changeNextPrice(ref, { priceRef, keptPlan }, key) {
      const { id, current_period_end } = await itemOf(ref);
      const metadata = noteOf(keptPlan, current_period_end);
      return update(ref, { items: [{ id, price: priceRef }], metadata, proration_behavior: 'none' }, key);
    },
    async cancelNow(ref, key) {
      await find(() => stripe.subscriptions.cancel(ref, {}, { idempotencyKey: key }));
      // Stripe collects what is overdue no more, but whoever has its page could pay it still, for nothing.
      const open = await find(() => stripe.invoices.list({ subscription: ref, status: 'open', limit: 100 }));
      for (const { id } of open?.data ?? [])
        await find(() => stripe.invoices.voidInvoice(id, {}, { idempotencyKey: `void-${id}` }));
      // Gone for Stripe once it was canceled before; and it may have been answered before.
      return read(ref);
    },
    async findSubscription(ref) {
      const since = performance.now();
      const found = await find(() => stripe.subscriptions.retrieve(ref));
      return found && answered(found, toSubscription, since);
    },
    async findInvoice(ref) {
      const found = await find(() => stripe.invoices.retrieve(ref));
      return found && toInvoice(found);
    },
    async findInvoices(subscription, since) {
      const created = { gte: Math.floor(since.getTime() / 1000) };
      const { data } = await ask(() => stripe.invoices.list({ subscription, created, limit: 100 }));
      return data.flatMap((one) => toInvoice(one) ?? []).toReversed();
    },
  } satisfies Partial<PaymentProvider>;
}
