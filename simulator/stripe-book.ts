import {
  API_VERSION,
  idOf,
  type Dispute,
  type Invoice,
  type Price,
  type Refund,
  type Session,
  type Subscription,
} from './stripe-objects.ts';
import { readStripeScript, type StripeScript, type StripeScriptInput } from './stripe-script.ts';
import { StripeWebhooks, type StripeEvent } from './stripe-webhooks.ts';

/** What an account of Stripe's has in its books, a clock that can be put forward, and all that happened as events. */
export class StripeBook {
  /** `balance`: what was credited to them and pays the next invoices. */
  readonly customers = new Map<string, { metadata: object; created: number; balance: number }>();
  readonly sessions = new Map<string, Session>();
  readonly subscriptions = new Map<string, Subscription>();
  readonly invoices = new Map<string, Invoice>();
  readonly refunds = new Map<string, Refund>();
  readonly disputes = new Map<string, Dispute>();
  /** All that happened, oldest first. */
  readonly events: StripeEvent[] = [];
  script: StripeScript = readStripeScript({});
  #webhooks = new StripeWebhooks(this.script);
  #aheadMs = 0;
  readonly base: () => string;

  /** @param base where its pages are */
  constructor(base: () => string) {
    this.base = base;
  }

  /** Changes how it answers and tells; what there is stays. @throws ScriptError */
  setScript(script: StripeScriptInput): StripeScript {
    this.script = readStripeScript(script);
    this.#webhooks.close();
    this.#webhooks = new StripeWebhooks(this.script);
    return this.script;
  }

  clear(): void {
    const { customers, sessions, subscriptions, invoices, refunds, disputes } = this;
    for (const one of [customers, sessions, subscriptions, invoices, refunds, disputes]) one.clear();
    this.events.length = 0;
    this.#aheadMs = 0;
    this.setScript({});
  }

  close(): void {
    this.#webhooks.close();
  }

  /** Until all events were told. */
  idle(): Promise<void> {
    return this.#webhooks.idle();
  }

  /** What was answered to webhooks. */
  get answers(): readonly number[] {
    return this.#webhooks.answers;
  }

  now(): number {
    return Math.floor((Date.now() + this.#aheadMs) / 1000);
  }

  advance(seconds: number): void {
    this.#aheadMs += seconds * 1000;
  }

  /** Puts the clock to a moment, never back. @param seconds since the epoch */
  protected advanceTo(seconds: number): void {
    this.#aheadMs = Math.max(this.#aheadMs, seconds * 1000 - Date.now());
  }

  priceOf(id: string): Price | undefined {
    return this.script.prices.find((price) => price.id === id);
  }

  /** Something happened, and is told. @returns it */
  say(type: string, object: object): StripeEvent {
    const event: StripeEvent = {
      id: idOf('evt'),
      object: 'event',
      api_version: API_VERSION,
      created: this.now(),
      type,
      // As it is now, whatever becomes of it before it is told.
      data: { object: structuredClone(object) },
      livemode: false,
      pending_webhooks: 1,
      request: { id: null, idempotency_key: null },
    };
    this.events.push(event);
    if (!this.script.tell.isHeld) this.#webhooks.tell(event);
    return event;
  }
}

/** @throws Error where there is none */
export function found<One>(all: Map<string, One>, id: string): One {
  const one = all.get(id);
  if (one === undefined) throw new Error(`The simulator has no ${id}.`);
  return one;
}
