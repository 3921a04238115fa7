import { conflict } from '#src/errors.ts';
import type { PaymentProvider } from '#src/modules/payments/provider.ts';
import { answered, type StripeClient } from '#src/modules/payments/stripe-client.ts';
import { refOf, toCharge, toDispute } from '#src/modules/payments/stripe-translate.ts';

/** What goes back of payments. */
export function returns({ stripe, ask, find, send }: StripeClient) {
  return {
    async refund(invoice, wantedMinor) {
      const { data } = await ask(() => stripe.invoicePayments.list({ invoice, status: 'paid' }));
      const payment_intent = refOf(data[0]?.payment.payment_intent);
      if (payment_intent === null) throw conflict('nothing_to_refund', 'No payment of this invoice can be given back.');
      const { data: charges } = await ask(() => stripe.charges.list({ payment_intent, expand: ['data.refunds'] }));
      const collectedMinor = charges.reduce((sum, { amount_captured }) => sum + amount_captured, 0);
      const before = charges.reduce((sum, { amount_refunded }) => sum + amount_refunded, 0);
      const refundedMinor = wantedMinor ?? collectedMinor;
      if (refundedMinor > collectedMinor)
        throw conflict(
          'more_than_collected',
          `Of this invoice ${collectedMinor} were collected, in minor units. What a balance at the provider paid cannot be given back there.`,
        );
      if (before >= refundedMinor) return { refundedMinor: before, collectedMinor, isNew: false };
      // Of what was given back so far, and tried: two who give back at once cannot give back both, and what failed is given again.
      const last = charges.map(({ refunds }) => refunds?.data[0]?.id ?? '').join('');
      const params = { payment_intent, amount: refundedMinor - before };
      await send(`refund-${invoice}-${before}-${last}`, (once) => stripe.refunds.create(params, once));
      return { refundedMinor, collectedMinor, isNew: true };
    },
    async findInvoiceOf(payment_intent) {
      const payment = { type: 'payment_intent', payment_intent } as const;
      const { data } = (await find(() => stripe.invoicePayments.list({ payment }))) ?? { data: [] };
      return refOf(data[0]?.invoice);
    },
    async findCharge(ref) {
      const since = performance.now();
      const found = await find(() => stripe.charges.retrieve(ref));
      return found && toCharge(found) && answered(found, toCharge, since);
    },
    async findDispute(ref) {
      const since = performance.now();
      const found = await find(() => stripe.disputes.retrieve(ref));
      return found && answered(found, toDispute, since);
    },
  } satisfies Partial<PaymentProvider>;
}
