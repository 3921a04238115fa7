import { createHmac } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StripeScript } from './stripe-script.ts';

/** An event as Stripe sends it. */
export interface StripeEvent {
  id: string;
  object: 'event';
  api_version: string;
  created: number;
  type: string;
  data: { object: object };
  livemode: boolean;
  pending_webhooks: number;
  request: { id: string | null; idempotency_key: string | null };
}

const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 2000;

/** The header that proves a body: `t` in seconds, `v1` the HMAC-SHA-256 of `t.body` (Stripe, "Verify webhook signatures manually"). */
export function signatureOf(secret: string, body: string, seconds = Math.floor(Date.now() / 1000)): string {
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`;
}

/** Sends bytes to a webhook, once. @returns the status of the answer; 0 for none */
export async function post(url: string, body: string, signature: string, signal?: AbortSignal): Promise<number> {
  const timeout = AbortSignal.timeout(20_000);
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8', 'stripe-signature': signature },
      body,
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    await answer.arrayBuffer();
    return answer.status;
  } catch {
    return 0;
  }
}

/** Tells an account's owner what happens, again until it is answered with 200. */
export class StripeWebhooks {
  readonly #script: StripeScript;
  readonly #closing = new AbortController();
  #under = new Set<Promise<void>>();
  #last: Promise<void> = Promise.resolve();
  /** Statuses of its answers, the last last. */
  readonly answers: number[] = [];

  constructor(script: StripeScript) {
    this.#script = script;
  }

  tell(event: StripeEvent): void {
    const { times, shuffled, delayMs } = this.#script.tell;
    for (let copy = 0; copy < times; copy += 1) {
      // In order: each waits for the one before.
      const before = shuffled ? Promise.resolve() : this.#last;
      const told = this.#send(event, before, shuffled ? Math.random() * delayMs : delayMs);
      this.#last = told;
      this.#under.add(told);
      void told.then(() => this.#under.delete(told));
    }
  }

  /** Until everything was told. */
  async idle(): Promise<void> {
    while (this.#under.size > 0) await Promise.all(this.#under);
  }

  close(): void {
    this.#closing.abort();
  }

  async #send(event: StripeEvent, before: Promise<void>, delayMs: number): Promise<void> {
    const { signal } = this.#closing;
    await before;
    await sleep(delayMs, undefined, { signal, ref: false }).catch(() => undefined);
    const { webhook } = this.#script;
    const body = JSON.stringify(event);
    if (!webhook) return;
    for (let tries = 0; tries <= webhook.retries && !signal.aborted; tries += 1) {
      const status = await post(webhook.url, body, signatureOf(webhook.secret, body), signal);
      this.answers.push(status);
      if (status === 200) return;
      await sleep(Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** tries), undefined, { ref: false });
    }
  }
}
