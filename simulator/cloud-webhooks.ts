import { createHmac } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Json } from './wire.ts';

export interface WebhookTarget {
  url: string;
  appSecret: string;
  retries: number;
}

const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 2000;
/** As Meta does, what comes at once is told at once. */
const BATCH = 50;

/** Tells one number's owner what happens: signed, several changes at once, again until it is answered with 200. */
export class CloudWebhooks {
  readonly #target: WebhookTarget;
  #waiting: { field: string; value: Json }[] = [];
  #telling: Promise<void> | undefined;
  #later = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  /** Statuses of its answers, the last last. */
  readonly answers: number[] = [];

  constructor(target: WebhookTarget) {
    this.#target = target;
  }

  /** @param delayMs until it is told */
  tell(change: { field: string; value: Json }, delayMs = 0): void {
    const later = this.#wait(delayMs, change);
    this.#later.add(later);
    void later.then(() => this.#later.delete(later));
  }

  async #wait(delayMs: number, change: { field: string; value: Json }): Promise<void> {
    await sleep(delayMs, undefined, { signal: this.#closing.signal, ref: false }).catch(() => undefined);
    if (this.#closing.signal.aborted) return;
    this.#waiting.push(change);
    this.#telling ??= this.#run().finally(() => (this.#telling = undefined));
  }

  /** Until everything was told. */
  async idle(): Promise<void> {
    while (this.#later.size > 0 || this.#telling !== undefined) {
      await Promise.all(this.#later);
      await this.#telling;
    }
  }

  close(): void {
    this.#closing.abort();
  }

  async #run(): Promise<void> {
    await sleep(1);
    while (this.#waiting.length > 0 && !this.#closing.signal.aborted) await this.#post(this.#waiting.splice(0, BATCH));
  }

  async #post(changes: object[]): Promise<void> {
    const entry = [{ id: '102290129340398', time: Math.floor(Date.now() / 1000), changes }];
    const body = JSON.stringify({ object: 'whatsapp_business_account', entry });
    const signature = createHmac('sha256', this.#target.appSecret).update(body).digest('hex');
    for (let tries = 0; tries <= this.#target.retries && !this.#closing.signal.aborted; tries += 1) {
      const status = await fetch(this.#target.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-hub-signature-256': `sha256=${signature}` },
        body,
        signal: AbortSignal.any([this.#closing.signal, AbortSignal.timeout(20_000)]),
      }).then(
        async (answer) => {
          await answer.arrayBuffer();
          return answer.status;
        },
        () => 0,
      );
      this.answers.push(status);
      if (status === 200) return;
      await sleep(Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** tries));
    }
  }
}
