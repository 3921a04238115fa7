import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { TestUser } from '#test/factories.ts';
import { anOwner, ask, askOps, openPaymentTest, PRICES, SECRET, type PaymentTest } from '#test/payments.ts';
import { API_VERSION } from '../../../simulator/stripe-objects.ts';
import { post as send, signatureOf } from '../../../simulator/stripe-webhooks.ts';

let test: PaymentTest;
let owner: TestUser;
beforeAll(async () => {
  test = await openPaymentTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  owner = await anOwner(test);
});
afterEach(() => test.hold());

const post = (url: string, payload?: object) => ask(test, owner, 'POST', url, payload);
const checkout = (plan: string) => post('/api/billing/checkout', { plan });
const told = () => test.deliver(test.stripe.events.splice(0));
const lastSession = () => [...test.stripe.sessions.values()].at(-1);

it('an offer that another took the place of while Stripe was away is closed there all the same', async () => {
  await checkout('starter');
  const former = lastSession();
  test.hold({ fault: 'unavailable' });
  expect((await checkout('pro')).status).toBe(503);
  test.hold();
  expect((await checkout('pro')).status).toBe(200);
  expect([former?.status, lastSession()?.status]).toEqual(['expired', 'open']);
});

it('an answer that was long under way is not newer than what happened meanwhile', async () => {
  const ref = await test.subscribe(owner);
  await told();
  test.hold({ delayMs: 4000 });
  const changing = post('/api/billing/change', { plan: 'pro' });
  await expect.poll(() => test.stripe.subscriptions.get(ref)?.price.id, { timeout: 20_000 }).toBe('price_pro');
  await sleep(2100);
  test.stripe.cancelInPortal(ref);
  await told();
  expect((await changing).status).toBe(200);
  const { subscription } = (await ask(test, owner, 'GET', '/api/billing/subscription')).body;
  expect(subscription).toMatchObject({ plan: 'pro', cancelAt: expect.any(String) });
});

it('what is signed well and is not as its type says is refused, and never stored to be tried for ever', async () => {
  const event = { id: 'evt_odd', created: 1, api_version: API_VERSION, type: 'invoice.paid', data: { object: {} } };
  const dispute = { id: 'du_1', charge: 'ch_1', status: 'needs_response', amount: 5.5, currency: 'brl' };
  const odd = [
    null,
    [],
    {},
    { ...event, data: undefined },
    { ...event, data: null },
    { ...event, api_version: 7 },
    { ...event, id: 'evt\0' },
    { ...event, type: 5 },
    { ...event, type: 'a', created: Number.MAX_SAFE_INTEGER },
    { ...event, type: 'a', created: -9e14 },
    { ...event, type: 'charge.dispute.created', data: { object: dispute } },
  ].map((one) => JSON.stringify(one));
  const answers: number[] = [];
  for (const body of odd) answers.push(await send(`${test.base}/hooks/stripe`, body, signatureOf(SECRET, body)));
  expect(answers).toEqual(odd.map(() => 400));
  const { rows } = await test.rt.systemPool.query(`select 1 from inbound_event where event_id like 'evt_odd%'`);
  expect(rows).toEqual([]);
});

it('an event as large as Stripe makes them with many notes and lines is taken', async () => {
  await test.subscribe(owner);
  const notes = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`note_${n}`, 'x'.repeat(500)]));
  const events = test.stripe.events.splice(0);
  for (const { data } of events) Object.assign(data.object, { notes });
  await test.deliver(events);
  expect((await ask(test, owner, 'GET', '/api/billing/subscription')).body.givenPlan).toBe('starter');
});

it('an operator gives back a whole invoice without saying anything more', async () => {
  await test.subscribe(owner);
  await told();
  const [invoice] = (await ask(test, owner, 'GET', '/api/billing/invoices')).body.data;
  expect((await askOps(test, `/ops/invoices/${invoice.id}/refund`)).status).toBe(200);
  expect((await askOps(test, `/ops/invoices/${invoice.id}/release`)).body).toMatchObject({ code: 'not_held' });
  await told();
  expect((await ask(test, owner, 'GET', `/api/billing/invoices/${invoice.id}`)).body.refundedMinor).toBe(
    PRICES.starter,
  );
});
