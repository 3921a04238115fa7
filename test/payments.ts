import { createSubscriptionCare } from '#src/modules/payments/tend.ts';
import { createInbound } from '#src/modules/payments/inbound.ts';
import { findCreditsWithLots } from '#src/modules/billing/credits.query.ts';
import { toCredits } from '#src/modules/billing/billing.schemas.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp } from '#test/harness.ts';
import { createSimulator } from '../simulator/server.ts';
import { post, signatureOf, type StripeEvent } from '../simulator/stripe-webhooks.ts';

export const SECRET = 'whsec_of_the_endpoint';
export const PRICES = { starter: 9900, pro: 29_900 };
export const CREDITS = { starter: 5000, pro: 25_000 };

/** A test app that listens, with Stripe beside it whose events wait until they are delivered. */
export async function openPaymentTest(env: Record<string, string> = {}) {
  const simulator = await createSimulator();
  const { stripe } = simulator;
  const test = await openTestApp({
    STARTING_CREDITS: '0',
    STRIPE_API_KEY: 'sk_test_key',
    STRIPE_WEBHOOK_SECRET: SECRET,
    STRIPE_BASE_URL: simulator.url,
    STRIPE_PRICES: 'starter=price_starter,pro=price_pro',
    ...env,
  });
  const base = await test.app.listen({ host: '127.0.0.1', port: 0 });
  const { systemPool, orm, payments, config, log, pool } = test.rt;
  if (!payments) throw new Error('There is no payment provider');
  const another = () => createInbound({ systemPool, orm, provider: payments, config, log });
  const { step, idle } = another();
  const workOff = async () => {
    for (;;) {
      while ((await step()) > 0);
      await idle();
      if ((await step()) === 0) return;
    }
  };
  const care = createSubscriptionCare({ systemPool, orm, provider: payments, config, log });
  const hold = (script: object = {}) => stripe.setScript({ apiKey: 'sk_test_key', tell: { isHeld: true }, ...script });
  hold();
  const send = (event: StripeEvent, { secret = SECRET, body = JSON.stringify(event), seconds = nowSeconds() } = {}) =>
    post(`${base}/hooks/stripe`, body, signatureOf(secret, JSON.stringify(event), seconds));
  return {
    ...test,
    simulator,
    stripe,
    base,
    step,
    another,
    care,
    hold,
    send,
    /** Works off all that was told. */
    workOff,
    /** Delivers events in an order, and works them off. */
    async deliver(events: readonly StripeEvent[]): Promise<void> {
      for (const event of events) await send(event);
      await workOff();
    },
    /** Somebody subscribes and pays; what Stripe tells of it waits. @returns the subscription at Stripe */
    async subscribe(owner: TestUser, plan: keyof typeof PRICES = 'starter'): Promise<string> {
      await ask(test, owner, 'POST', '/api/billing/checkout', { plan });
      const session = [...stripe.sessions.values()].at(-1);
      return stripe.pay(session?.id ?? '');
    },
    /** Free and held credits. */
    async credits({ workspace }: TestUser): Promise<number> {
      const row = await findCreditsWithLots(pool, workspace.id);
      return toCredits(row?.balance ?? 0) + toCredits(row?.held ?? 0);
    },
    async close(): Promise<void> {
      await test.close();
      await simulator.close();
    },
  };
}

export type PaymentTest = Awaited<ReturnType<typeof openPaymentTest>>;

export const nowSeconds = () => Math.floor(Date.now() / 1000);

type Asked = Pick<Awaited<ReturnType<typeof openTestApp>>, 'app'>;

/** What a user sends, and what is answered. */
export async function ask(
  { app }: Asked,
  { headers }: Pick<TestUser, 'headers'>,
  method: 'GET' | 'POST',
  url: string,
  payload?: object,
) {
  const answer = await app.inject({ method, url, headers, ...(payload && { payload }) });
  return { status: answer.statusCode, headers: answer.headers, body: answer.json() };
}

/** The ids of invoices that wait for an operator. */
export async function waitingFor(test: Parameters<typeof askOps>[0], what: string): Promise<string[]> {
  const { body } = await askOps(test, `/ops/invoices?waiting=${what}&limit=100`, undefined, 'GET');
  return body.data.map(({ id }: { id: string }) => id);
}

/** What an operator sends. */
export async function askOps(
  test: Asked & { config: { OPS_USER: string; OPS_PASSWORD: string } },
  url: string,
  payload?: object,
  method: 'GET' | 'POST' = 'POST',
) {
  const basic = Buffer.from(`${test.config.OPS_USER}:${test.config.OPS_PASSWORD}`).toString('base64');
  return ask(test, { headers: { authorization: `Basic ${basic}` } }, method, url, payload);
}

export const anOwner = (test: Pick<PaymentTest, 'rt'>) => aUser(test.rt);
