import type { Logger } from 'pino';
import { PLANS } from '#src/http/access-token.ts';
import type { PaymentProvider } from '#src/modules/payments/provider.ts';
import { openClient, type StripeConfig } from '#src/modules/payments/stripe-client.ts';
import { verifying } from '#src/modules/payments/stripe-events.ts';
import { returns } from '#src/modules/payments/stripe-returns.ts';
import { sales } from '#src/modules/payments/stripe-sales.ts';
import { subscriptions } from '#src/modules/payments/stripe-subscriptions.ts';

/** Opens Stripe; null without a key. */
export async function openStripe(config: StripeConfig, log: Logger): Promise<PaymentProvider | null> {
  const { STRIPE_API_KEY: key, STRIPE_WEBHOOK_SECRET: secrets, STRIPE_PRICES: prices } = config;
  if (key === undefined) return null;
  const client = await openClient(key, config, log);
  return {
    name: 'stripe',
    priceOf: (plan) => prices.get(plan),
    planOf: (priceRef) => PLANS.find((plan) => priceRef !== null && prices.get(plan) === priceRef),
    ...sales(client, config),
    ...subscriptions(client),
    ...returns(client),
    ...verifying(client, secrets, log),
  };
}
