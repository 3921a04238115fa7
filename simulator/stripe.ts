import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { StripeAccount } from './stripe-account.ts';
import { readForm, textAt } from './stripe-form.ts';
import {
  customerObject,
  disputeObject,
  idOf,
  invoiceObject,
  listOf,
  paymentObject,
  refundObject,
  sessionObject,
  subscriptionObject,
  type Invoice,
  type Session,
} from './stripe-objects.ts';
import type { StripeScript, StripeScriptInput } from './stripe-script.ts';
import { isObject, type Json } from './wire.ts';

const DAY_SECONDS = 86_400;
/** As long as Stripe keeps what happened. */
const EVENTS_SECONDS = 30 * DAY_SECONDS;
/** What Stripe's SDK expects at the root of its host. */
const PATHS =
  /^\/v1\/(customers|checkout|billing_portal|subscriptions|invoices|invoice_payments|refunds|charges|disputes|events)(\/|$)/;

interface Answer {
  status: number;
  body: object;
}

const refusal = (status: number, type: string, message: string, more: object = {}): Answer => ({
  status,
  body: { error: { type, message, request_log_url: 'https://dashboard.stripe.com/logs', ...more } },
});
const missing = (what: string, id: string): Answer =>
  refusal(404, 'invalid_request_error', `No such ${what}: '${id}'`, { code: 'resource_missing', param: 'id' });
const invalid = (message: string, param?: string): Answer =>
  refusal(400, 'invalid_request_error', message, param === undefined ? {} : { param });
const ok = (body: object): Answer => ({ status: 200, body });
const textsOf = (form: unknown): Record<string, string> =>
  isObject(form) ? Object.fromEntries(Object.keys(form).map((name) => [name, textAt(form, name)])) : {};

const isRefunds = (field: unknown): boolean => field === 'refunds' || field === 'data.refunds';

/** The used part of Stripe's API, in its wire format, over one account. */
export class StripeApi extends StripeAccount {
  /** What was answered to a key, and to what. */
  readonly #keys = new Map<string, { asked: string; answer: Answer; request: string }>();
  /** How often each call was really done, by method and path without ids. */
  readonly done: string[] = [];
  /** What was read, by path and query. */
  readonly read: string[] = [];
  /** Answers that hang. */
  readonly hanging = new Set<ServerResponse>();

  /** Whether a path is one of Stripe's, or of its pages. */
  static owns(path: string): boolean {
    return PATHS.test(path) || path.startsWith('/stripe/');
  }

  override clear(): void {
    super.clear();
    this.#keys.clear();
    this.done.length = 0;
    this.read.length = 0;
  }

  override setScript(script: StripeScriptInput): StripeScript {
    for (const res of this.hanging) res.socket?.resetAndDestroy();
    this.hanging.clear();
    return super.setScript(script);
  }

  async handle(path: string, query: string, req: IncomingMessage, text: string, res: ServerResponse): Promise<void> {
    if (path.startsWith('/stripe/')) return this.#page(path, res);
    const { script } = this;
    const named = script.hangsFor;
    if (script.fault === 'hang' || (named !== undefined && `${path}?${query}&${text}`.includes(named)))
      return void this.hanging.add(res);
    if (script.fault === 'unavailable')
      return this.#send(res, refusal(503, 'api_error', 'Stripe is away.'), { 'stripe-should-retry': 'true' });
    if (script.apiKey !== undefined && req.headers.authorization !== `Bearer ${script.apiKey}`)
      return this.#send(res, refusal(401, 'invalid_request_error', 'Invalid API Key provided: sk_test_***'));
    if (req.method === 'GET') this.read.push(`${path}?${query}`);
    const key = req.headers['idempotency-key'];
    const asked = `${req.method} ${path} ${text}`;
    const known = typeof key === 'string' ? this.#keys.get(key) : undefined;
    if (known && known.asked !== asked)
      return this.#send(
        res,
        refusal(400, 'idempotency_error', 'Keys for idempotent requests can only be used with the same parameters.'),
      );
    const answer = known?.answer ?? this.#answer(req.method ?? '', path, readForm(req.method === 'GET' ? query : text));
    const request = idOf('req');
    // What was begun is remembered, refusals too; what was not understood may be asked again with the same key.
    if (typeof key === 'string' && req.method === 'POST' && answer.status !== 400 && !known)
      this.#keys.set(key, { asked, answer, request });
    if (script.delayMs > 0) await sleep(script.delayMs);
    if (script.fault === 'cut' && req.method !== 'GET') return void res.socket?.resetAndDestroy();
    const headers = { 'request-id': request, 'original-request': known?.request ?? request };
    this.#send(res, answer, known ? { ...headers, 'idempotent-replayed': 'true' } : headers);
  }

  #send(res: ServerResponse, { status, body }: Answer, headers: Record<string, string> = {}): void {
    const date = new Date(this.now() * 1000).toUTCString();
    res
      .writeHead(status, { 'content-type': 'application/json', date, 'request-id': idOf('req'), ...headers })
      .end(JSON.stringify(body));
  }

  #answer(method: string, path: string, form: Json): Answer {
    const [, , kind = '', second = '', third = ''] = path.split('/');
    if (method !== 'GET') this.done.push(`${method} /v1/${kind}`);
    const route = `${method} ${kind}`;
    if (route === 'POST customers') return this.#customer(form);
    if (kind === 'checkout') return this.#checkout(method, form, path.split('/').slice(4));
    if (path === '/v1/billing_portal/sessions') return this.#portal(form);
    if (kind === 'subscriptions') return this.#subscription(method, second, form);
    if (kind === 'invoices') return this.#invoices(method, form, second, third);
    if (route === 'GET invoice_payments') return this.#payments(form);
    if (route === 'GET charges') return this.#charges(second, form);
    if (route === 'GET disputes') {
      const one = this.disputes.get(second);
      const invoice = this.invoices.get(one?.invoice ?? '');
      return one && invoice ? ok(disputeObject(one, invoice)) : missing('dispute', second);
    }
    if (route === 'GET events') return this.#events(second, form);
    if (route === 'POST refunds') return this.#refunds(form);
    return invalid(`Unrecognized request URL (${method}: ${path}${third}).`);
  }

  #customer(form: Json): Answer {
    const id = idOf('cus');
    const metadata = typeof form['metadata'] === 'object' && form['metadata'] !== null ? form['metadata'] : {};
    this.customers.set(id, { metadata, created: this.now(), balance: 0 });
    return ok(customerObject(id, this.now(), metadata));
  }

  #checkout(method: string, form: Json, [id = '', verb = '']: string[]): Answer {
    if (method === 'POST' && id === '') return this.#openSession(form);
    const session = this.sessions.get(id);
    if (!session) return missing('checkout.session', id);
    if (method === 'POST' && verb === 'expire') {
      if (session.status !== 'open') return invalid('Only Checkout Sessions with a status in ["open"] can be expired.');
      this.expire(session);
    }
    return ok(sessionObject(session, this.base()));
  }

  #openSession(form: Json): Answer {
    const customer = textAt(form, 'customer');
    const price = this.priceOf(textAt(form, 'line_items', '0', 'price'));
    if (textAt(form, 'mode') !== 'subscription') return invalid('The simulator sells subscriptions only.', 'mode');
    if (!this.customers.has(customer)) return missing('customer', customer);
    if (!price) return missing('price', textAt(form, 'line_items', '0', 'price'));
    const now = this.now();
    const session: Session = {
      id: idOf('cs_test'),
      customer,
      reference: textAt(form, 'client_reference_id') || null,
      price,
      metadata: { workspaceId: textAt(form, 'subscription_data', 'metadata', 'workspaceId') },
      status: 'open',
      successUrl: textAt(form, 'success_url'),
      expiresAt: now + DAY_SECONDS,
      created: now,
      subscription: null,
    };
    this.sessions.set(session.id, session);
    return ok(sessionObject(session, this.base()));
  }

  #portal(form: Json): Answer {
    const customer = textAt(form, 'customer');
    if (!this.customers.has(customer)) return missing('customer', customer);
    const id = idOf('bps');
    const url = `${this.base()}/stripe/portal/${id}`;
    const rest = { customer, created: this.now(), livemode: false, return_url: textAt(form, 'return_url') };
    return ok({ id, object: 'billing_portal.session', url, ...rest });
  }

  #subscription(method: string, id: string, form: Json): Answer {
    const one = this.subscriptions.get(id);
    if (!one || (method === 'DELETE' && one.status === 'canceled')) return missing('subscription', id);
    if (method === 'DELETE') this.end(id);
    if (method === 'POST') {
      if (one.status === 'canceled') return invalid('A canceled subscription can only update its metadata.');
      const isCanceling = textAt(form, 'cancel_at_period_end');
      if (isCanceling !== '') this.setCancel(one, isCanceling === 'true');
      if ('cancel_at' in form) this.setCancelAt(one, Number(textAt(form, 'cancel_at')) || null);
      const price = textAt(form, 'items', '0', 'price');
      if (price !== '') {
        const next = this.priceOf(price);
        if (!next) return missing('price', price);
        if (textAt(form, 'items', '0', 'id') !== one.item) return invalid('There is no such item.', 'items[0][id]');
        const metadata = textsOf(form['metadata']);
        if (textAt(form, 'proration_behavior') === 'none') this.setPrice(one, next, metadata);
        else if (!this.change(one, next, metadata))
          return refusal(402, 'card_error', 'Your card was declined.', {
            code: 'card_declined',
            decline_code: 'generic_decline',
          });
      }
    }
    return ok(subscriptionObject(one));
  }

  #find(form: Json): Invoice[] {
    const [invoice, payment] = [textAt(form, 'invoice'), textAt(form, 'payment', 'payment_intent')];
    return [...this.invoices.values()].filter(
      // What the balance paid has no payment.
      (one) => one.due > 0 && (invoice === '' || one.id === invoice) && (payment === '' || one.payment === payment),
    );
  }

  #invoices(method: string, form: Json, id: string, verb: string): Answer {
    if (method === 'GET' && id === '') {
      const [subscription, status] = [textAt(form, 'subscription'), textAt(form, 'status')];
      const since = Number(textAt(form, 'created', 'gte'));
      const found = [...this.invoices.values()].filter(
        (one) =>
          (subscription === '' || one.subscription === subscription) &&
          (status === '' || one.status === status) &&
          one.created >= since,
      );
      const data = found.toReversed().map((one) => invoiceObject(one, this.base()));
      return ok(listOf('/v1/invoices', data));
    }
    const one = this.invoices.get(id);
    if (!one) return missing('invoice', id);
    if (method === 'POST' && (verb !== 'void' || !this.voidInvoice(one)))
      return invalid('The simulator only voids invoices, and open ones only.');
    return ok(invoiceObject(one, this.base()));
  }

  #charges(id: string, form: Json): Answer {
    const payment = textAt(form, 'payment_intent');
    const found = [...this.invoices.values()].filter(
      (one) => one.status === 'paid' && one.due > 0 && (id === '' ? one.payment === payment : one.charge === id),
    );
    const isExpanded = isObject(form['expand']) && Object.values(form['expand']).some(isRefunds);
    const charges = found.map((one) => this.charge(one, isExpanded));
    if (id === '') return ok(listOf('/v1/charges', charges));
    return charges[0] ? ok(charges[0]) : missing('charge', id);
  }

  /** What happened in the last 30 days, newest first; all of it, or of some types. */
  #events(id: string, form: Json): Answer {
    const kept = this.events.filter(({ created }) => created > this.now() - EVENTS_SECONDS).toReversed();
    const one = kept.find((event) => event.id === id);
    if (id !== '') return one ? ok(one) : missing('event', id);
    const types = Object.values(textsOf(form['types']));
    const [after, since] = [textAt(form, 'starting_after'), Number(textAt(form, 'created', 'gte'))];
    const from = kept.findIndex((event) => event.id === after) + 1;
    if (after !== '' && from === 0) return missing('event', after);
    const found = kept
      .slice(from)
      .filter(({ type, created }) => (types.length === 0 || types.includes(type)) && created >= since);
    const limit = Number(textAt(form, 'limit') || 10);
    return ok({ ...listOf('/v1/events', found.slice(0, limit)), has_more: found.length > limit });
  }

  #payments(form: Json): Answer {
    const status = textAt(form, 'status');
    const data = this.#find(form)
      .map(paymentObject)
      .filter((one) => status === '' || one.status === status);
    return ok(listOf('/v1/invoice_payments', data));
  }

  #refunds(form: Json): Answer {
    const payment = textAt(form, 'payment_intent');
    const invoice = [...this.invoices.values()].find((one) => one.payment === payment);
    if (!invoice) return missing('payment_intent', payment);
    const amount = Number(textAt(form, 'amount') || invoice.due - invoice.refunded);
    const one = this.refund(invoice, amount);
    if (!one)
      return refusal(400, 'invalid_request_error', 'Refund amount is greater than unrefunded amount on charge.', {
        code: 'charge_already_refunded',
      });
    return ok(refundObject(one, invoice));
  }

  /** What somebody does in a browser: opening the page of a checkout pays it. */
  #page(path: string, res: ServerResponse): void {
    const [, , kind = '', id = ''] = path.split('/');
    const session = kind === 'pay' ? this.sessions.get(id) : undefined;
    if (session?.status === 'open') {
      this.pay(id);
      return void res.writeHead(303, { location: session.successUrl }).end();
    }
    res
      .writeHead(session ? 410 : 200, { 'content-type': 'text/plain; charset=utf-8' })
      .end(`Stripe, simulated: ${path}\n`);
  }

  /** What the simulator is told to do by hand: `pay`, `renew`, `fail`, `retry`, `end`, `refund`, `undo` (a refund fails), `dispute`, `win`, `lose`. @returns what there is */
  control(verb: string, form: Json): object {
    const id = textAt(form, 'id');
    if (verb === 'pay') this.pay(id);
    else if (verb === 'renew') this.renew(id);
    else if (verb === 'fail') this.renew(id, { isPaid: false });
    else if (verb === 'retry') this.retry(id, true);
    else if (verb === 'end') this.end(id);
    else if (verb === 'dispute') this.dispute(id);
    else if (verb === 'win') this.closeDispute(id, 'won');
    else if (verb === 'lose') this.closeDispute(id, 'lost');
    else if (verb === 'undo') this.undoRefund(id);
    else if (verb === 'refund') {
      const invoice = this.invoices.get(id);
      if (invoice) this.refund(invoice, Number(textAt(form, 'amount') || invoice.due));
    }
    const [sessions, subscriptions] = [[...this.sessions.values()], [...this.subscriptions.values()]];
    const [invoices, disputes] = [[...this.invoices.values()], [...this.disputes.values()]];
    const refunds = [...this.refunds.values()];
    return { sessions, subscriptions, invoices, refunds, disputes, events: this.events };
  }
}
