import type Stripe from 'stripe';
import { publicUrl } from '#src/config.ts';
import { conflict } from '#src/errors.ts';
import type { PaymentProvider } from '#src/modules/payments/provider.ts';
import type { StripeClient, StripeConfig } from '#src/modules/payments/stripe-client.ts';
import { refOf, toCheckoutStatus } from '#src/modules/payments/stripe-translate.ts';

/** What leads to a subscription, and its owner's pages. */
export function sales({ stripe, ask, find, send }: StripeClient, config: StripeConfig) {
  const returnUrl = config.BILLING_RETURN_URL ?? `${publicUrl(config)}/billing-return`;
  const sessions = stripe.checkout.sessions;
  return {
    async createCustomer(workspaceId) {
      const params = { metadata: { workspaceId } };
      return (await send(`customer-${workspaceId}`, (once) => stripe.customers.create(params, once))).id;
    },
    async openCheckout({ id, customerRef, priceRef, workspaceId }) {
      const params: Stripe.Checkout.SessionCreateParams = {
        mode: 'subscription',
        customer: customerRef,
        client_reference_id: id,
        line_items: [{ price: priceRef, quantity: 1 }],
        success_url: returnUrl,
        cancel_url: returnUrl,
        subscription_data: { metadata: { workspaceId } },
      };
      const session = await send(`checkout-${id}-${priceRef}`, (once) => sessions.create(params, once));
      if (session.url === null) throw conflict('checkout_closed', 'This checkout was completed or has expired.');
      return { ref: session.id, url: session.url, expiresAt: new Date(session.expires_at * 1000) };
    },
    async closeCheckout(ref) {
      const { status } = await ask(() => sessions.retrieve(ref));
      if (status !== 'open') return status !== 'complete';
      return (await send(`expire-${ref}`, (once) => sessions.expire(ref, {}, once))).status === 'expired';
    },
    async openPortal(customer) {
      const params = { customer, return_url: returnUrl };
      return (await send(`portal-${crypto.randomUUID()}`, (once) => stripe.billingPortal.sessions.create(params, once)))
        .url;
    },
    async findCheckout(ref) {
      const found = await find(() => sessions.retrieve(ref));
      return found && { status: toCheckoutStatus(found), subscriptionRef: refOf(found.subscription) };
    },
  } satisfies Partial<PaymentProvider>;
}
