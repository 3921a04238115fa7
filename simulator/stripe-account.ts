import { found } from './stripe-book.ts';
import {
  idOf,
  invoiceObject,
  MONTH_SECONDS,
  sessionObject,
  subscriptionObject,
  type Invoice,
  type Line,
  type Price,
  type Session,
  type Subscription,
} from './stripe-objects.ts';
import { StripeReturns } from './stripe-returns.ts';

/** An account of Stripe's: what its customers pay for, and what time does to that. */
export class StripeAccount extends StripeReturns {
  /** Somebody pays a checkout, or begins a trial by it. @param amount what is charged instead of the price, in minor units. @returns the subscription's id */
  pay(sessionId: string, amount?: number, { isTrial = false } = {}): string {
    const session = found(this.sessions, sessionId);
    if (session.status !== 'open') throw new Error(`The checkout ${sessionId} is ${session.status}.`);
    const one = this.#begin(session, isTrial ? 'trialing' : 'active');
    Object.assign(session, { status: 'complete', subscription: one.id });
    const invoice = this.#invoice(one, 'subscription_create', [this.#month(one, isTrial ? 0 : amount)]);
    this.#tellSubscription('created', one);
    this.#collect(invoice, true);
    this.say('checkout.session.completed', sessionObject(session, this.base()));
    return one.id;
  }

  /** Somebody subscribes a customer by hand, in the dashboard, and it is paid. @returns the subscription's id */
  subscribe(customer: string, price: Price): string {
    const one = this.#begin({ customer, price, metadata: {} }, 'active');
    const invoice = this.#invoice(one, 'subscription_create', [this.#month(one)]);
    this.#tellSubscription('created', one);
    this.#collect(invoice, true);
    return one.id;
  }

  /** A period is over: the next one is charged, and paid or not. @returns the invoice's id */
  renew(id: string, { isPaid = true, amount }: { isPaid?: boolean; amount?: number } = {}): string {
    const one = found(this.subscriptions, id);
    this.advanceTo(one.end + 1);
    if (one.cancelAtEnd || one.cancelAt !== null) {
      this.end(id);
      return '';
    }
    const status = one.status === 'trialing' ? 'active' : one.status;
    Object.assign(one, { status, start: one.end, end: one.end + MONTH_SECONDS });
    const invoice = this.#invoice(one, 'subscription_cycle', [this.#month(one, amount)]);
    this.#tellSubscription('updated', one);
    this.advance(3600);
    this.#collect(invoice, isPaid);
    if (!isPaid) this.#set(one, { status: 'past_due' });
    return invoice.id;
  }

  /** Another attempt at an open invoice. */
  retry(invoiceId: string, isPaid: boolean): void {
    const invoice = found(this.invoices, invoiceId);
    this.#collect(invoice, isPaid);
    const one = found(this.subscriptions, invoice.subscription);
    if (isPaid && ['past_due', 'unpaid'].includes(one.status)) this.#set(one, { status: 'active' });
  }

  /** A subscription ends at once: canceled, or given up after its last attempt. */
  end(id: string): void {
    const one = found(this.subscriptions, id);
    Object.assign(one, { status: 'canceled', canceledAt: one.canceledAt ?? this.now(), endedAt: this.now() });
    this.#tellSubscription('deleted', one);
  }

  /** An open invoice is not to be paid any more. @returns whether it was open */
  voidInvoice(invoice: Invoice): boolean {
    if (invoice.status !== 'open') return false;
    Object.assign(invoice, { status: 'void', nextAttempt: null });
    this.say('invoice.voided', invoiceObject(invoice, this.base()));
    return true;
  }

  /** The last attempt failed, and the account is set to leave such subscriptions unpaid. */
  leaveUnpaid(id: string): void {
    this.#set(found(this.subscriptions, id), { status: 'unpaid' });
  }

  setCancel(one: Subscription, isCanceling: boolean): void {
    this.#set(one, { cancelAtEnd: isCanceling, canceledAt: isCanceling ? this.now() : null });
  }

  /** As customers do in the portal. */
  cancelInPortal(id: string): void {
    const one = found(this.subscriptions, id);
    this.#set(one, { cancelAt: one.end, canceledAt: this.now() });
  }

  setCancelAt(one: Subscription, cancelAt: number | null): void {
    this.#set(one, { cancelAt, canceledAt: cancelAt === null ? null : this.now() });
  }

  /** Another price from the next invoice on, and what its owner notes about that. */
  setPrice(one: Subscription, price: Price, metadata: Record<string, string>): void {
    this.#note(one, metadata);
    this.#set(one, { price });
  }

  /** Another price: the rest of the period is credited in the old one and charged in the new one. @returns whether it was paid */
  change(one: Subscription, price: Price, metadata: Record<string, string> = {}): boolean {
    const left = (one.end - this.now()) / (one.end - one.start);
    const rest = { start: this.now(), end: one.end };
    const lines: Line[] = [
      { amount: -Math.round(one.price.unitAmount * left), price: one.price, ...rest },
      { amount: Math.round(price.unitAmount * left), price, ...rest },
    ];
    const total = lines.reduce((sum, { amount }) => sum + amount, 0);
    if (this.script.declines && total > 0) return false;
    // Of a price that it has already nothing changes.
    if (price.id === one.price.id) return true;
    this.#note(one, metadata);
    Object.assign(one, { price });
    const invoice = this.#invoice(one, 'subscription_update', lines);
    this.#tellSubscription('updated', one);
    this.#collect(invoice, true);
    return true;
  }

  expire(session: Session): void {
    session.status = 'expired';
    this.say('checkout.session.expired', sessionObject(session, this.base()));
  }

  #begin(
    { customer, price, metadata }: Pick<Session, 'customer' | 'price' | 'metadata'>,
    status: string,
  ): Subscription {
    const now = this.now();
    const one: Subscription = {
      id: idOf('sub'),
      item: idOf('si'),
      customer,
      price,
      status,
      metadata: { ...metadata },
      start: now,
      end: now + MONTH_SECONDS,
      cancelAtEnd: false,
      cancelAt: null,
      canceledAt: null,
      endedAt: null,
      created: now,
      latestInvoice: null,
    };
    this.subscriptions.set(one.id, one);
    return one;
  }

  #month({ price, start, end }: Subscription, amount = price.unitAmount): Line {
    return { amount, price, start, end };
  }

  #invoice(one: Subscription, reason: string, lines: Line[]): Invoice {
    const invoice: Invoice = {
      id: idOf('in'),
      customer: one.customer,
      subscription: one.id,
      reason,
      lines,
      currency: one.price.currency,
      total: lines.reduce((sum, { amount }) => sum + amount, 0),
      due: 0,
      status: 'open',
      attempts: 0,
      nextAttempt: null,
      paidAt: null,
      created: this.now(),
      payment: idOf('pi'),
      charge: idOf('ch'),
      refunded: 0,
    };
    // What is below zero pays later ones.
    const customer = this.customers.get(one.customer);
    const paid = Math.min(invoice.total, customer?.balance ?? 0);
    if (customer) customer.balance -= paid;
    invoice.due = invoice.total - paid;
    this.invoices.set(invoice.id, invoice);
    one.latestInvoice = invoice.id;
    this.say('invoice.created', invoiceObject(invoice, this.base()));
    this.say('invoice.finalized', invoiceObject(invoice, this.base()));
    return invoice;
  }

  #collect(invoice: Invoice, isPaid: boolean): void {
    invoice.attempts += 1;
    if (isPaid) Object.assign(invoice, { status: 'paid', paidAt: this.now(), nextAttempt: null });
    else invoice.nextAttempt = this.now() + 3 * 86_400;
    const types = isPaid ? ['invoice.paid', 'invoice.payment_succeeded'] : ['invoice.payment_failed'];
    for (const type of types) this.say(type, invoiceObject(invoice, this.base()));
  }

  #set(one: Subscription, change: Partial<Subscription>): void {
    Object.assign(one, change);
    this.#tellSubscription('updated', one);
  }

  /** Notes of an owner; an empty one is taken away. */
  #note(one: Subscription, metadata: Record<string, string>): void {
    one.metadata = Object.fromEntries(
      Object.entries({ ...one.metadata, ...metadata }).filter(([, value]) => value !== ''),
    );
  }

  #tellSubscription(what: 'created' | 'updated' | 'deleted', one: Subscription): void {
    this.say(`customer.subscription.${what}`, subscriptionObject(one));
  }
}
