import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BackendClient } from '../../client/src/index.ts';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { post, signatureOf, type StripeEvent } from '../../simulator/stripe-webhooks.ts';
import { checkLedger } from '#test/drills/books.ts';
import { whileLocked } from '#test/drills/ledger-points.ts';
import { CREDITS, PRICES, SECRET } from '#test/payments.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';

const TIMES = 10;
let simulator: Simulator;
let installation: Installation;
let api: Running & { url: string };
let control: Running;
let client: BackendClient;

beforeAll(async () => {
  simulator = await createSimulator();
  simulator.stripe.setScript({ apiKey: 'sk_test_key', tell: { isHeld: true } });
  installation = await createInstallation({
    STARTING_CREDITS: '0',
    DEFAULT_PLAN: 'free',
    STRIPE_API_KEY: 'sk_test_key',
    STRIPE_WEBHOOK_SECRET: SECRET,
    STRIPE_BASE_URL: simulator.url,
    STRIPE_PRICES: 'starter=price_starter,pro=price_pro',
  });
  [api, control] = await Promise.all([installation.startApi(), installation.startControl()]);
  client = new BackendClient({ baseUrl: api.url });
  const email = `ana-${randomUUID()}@example.com`;
  await client.register({ email, password: 'a long enough password', name: 'Ana' });
});
afterAll(async () => {
  // The processes first: they end also where one of them never was ready.
  await installation.close();
  await simulator.close();
});

const count = async (sql: string): Promise<number> =>
  (await installation.pool.query<{ n: number }>(`select count(*)::int as n from ${sql}`)).rows[0]?.n ?? 0;
const waiting = () => count('inbound_event where applied_at is null');
const grants = () => count(`credit_entry where kind = 'grant'`);

/** Each event ten times at once, all together. @returns the answers */
const storm = (events: readonly StripeEvent[]): Promise<number[]> =>
  Promise.all(
    events.flatMap((event) => {
      const body = JSON.stringify(event);
      return Array.from({ length: TIMES }, () => post(`${api.url}/hooks/stripe`, body, signatureOf(SECRET, body)));
    }),
  );

/** The control process works all off while nobody may touch the ledger, and is killed when it waits for that: half of an event is done. */
const killedHalfway = (statement: string, events: readonly StripeEvent[]): Promise<void> =>
  whileLocked(installation.pool, statement, {
    start: () => storm(events),
    blow: () => control.kill('SIGKILL'),
  });

it('an event told ten times at once, of which half is done when the control process is killed, gives once and takes once', async () => {
  const { stripe } = simulator;
  const { url } = await client.request<{ url: string }>('POST', '/api/billing/checkout', { plan: 'starter' });
  await fetch(url, { redirect: 'manual' });
  const bought = stripe.events.splice(0);
  await killedHalfway('credit_grant', bought);
  // Killed before anything of it was there: neither the mark nor what it stands for.
  expect(await waiting()).toBeGreaterThan(0);
  expect(await grants()).toBe(0);

  // Stored while there is nobody to work it off.
  expect(new Set(await storm(bought))).toEqual(new Set([200]));
  control = await installation.startControl();
  await expect.poll(waiting).toBe(0);
  expect(await grants()).toBe(1);

  // Applied, and told again.
  await storm(bought);
  const invoice = [...stripe.invoices.values()][0];
  if (!invoice) throw new Error('No invoice');
  stripe.refund(invoice, PRICES.starter / 2);
  const returned = stripe.events.splice(0);
  await killedHalfway('credit_reverse', returned);
  expect(await waiting()).toBeGreaterThan(0);
  control = await installation.startControl();
  await expect.poll(waiting).toBe(0);

  expect(await count('inbound_event')).toBe(bought.length + returned.length);
  expect(await grants()).toBe(1);
  expect(await count(`credit_entry where kind = 'reversal'`)).toBe(1);
  expect(await count(`outbox_event where type in ('billing.invoice_paid', 'billing.plan_changed')`)).toBe(2);
  expect(await count(`plan_claim where plan = 'starter' and source = 'subscription'`)).toBe(1);
  const credits = await client.request<{ balance: number }>('GET', '/api/ai/credits');
  expect(credits.balance).toBe(CREDITS.starter / 2);
  expect(await checkLedger(installation.pool)).toEqual([]);
  expect([api, control].map((running) => running.crash())).toEqual([null, null]);
});
