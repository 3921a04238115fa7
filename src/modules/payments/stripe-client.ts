import type Stripe from 'stripe';
import type { Logger } from 'pino';
import type { Config } from '#src/config.ts';
import { AppError, conflict, unavailable } from '#src/errors.ts';
import type { Answered } from '#src/modules/payments/provider.ts';

const TIMEOUT_MS = 10_000;
const RETRY_AFTER_MS = 5000;
/** How often the same was refused before we say so again without having asked anew. */
const MAX_REFUSALS = 20;

export type StripeConfig = Pick<
  Config,
  | 'STRIPE_API_KEY'
  | 'STRIPE_WEBHOOK_SECRET'
  | 'STRIPE_BASE_URL'
  | 'STRIPE_PRICES'
  | 'BILLING_RETURN_URL'
  | 'PUBLIC_URL'
  | 'HOST'
  | 'PORT'
>;

/** Stripe's client, and the ways to call it: all throw AppError. */
export interface StripeClient {
  stripe: Stripe;
  /** Of its API, as `2026-10-28.endive`. */
  version: string;
  ask: <Result>(call: () => Promise<Result>) => Promise<Result>;
  /** The same where that there is no such thing is an answer. */
  find: <Result>(call: () => Promise<Result>) => Promise<Result | null>;
  /** Sends what changes something, once for each key; what was refused may be sent again. */
  send: <Result>(key: string, call: (once: { idempotencyKey: string }) => Promise<Result>) => Promise<Result>;
}

/** @returns what clients are told of a failure of Stripe's: a wait while it is away, and never that it was our fault */
function problemOf({ errors }: typeof Stripe, error: unknown, log: Logger): AppError {
  if (!(error instanceof errors.StripeError)) throw error;
  const { statusCode, code, type, requestId } = error;
  if (error instanceof errors.StripeCardError)
    return new AppError(422, 'payment_refused', 'The payment was refused. Use another way to pay.', { cause: error });
  if (error instanceof errors.StripeIdempotencyError || code === 'idempotency_key_in_use')
    return conflict('payment_in_progress', 'The same is being done already. Look again in a moment.');
  const isRefusal = error instanceof errors.StripeInvalidRequestError;
  log[isRefusal ? 'warn' : 'error']({ statusCode, code, type, requestId }, 'Stripe did not do what it was asked to');
  if (isRefusal)
    return new AppError(409, 'payment_provider_refused', 'The payment provider refused this.', { cause: error });
  // Away, too busy, or our key is no good: nothing a client can do but wait.
  return unavailable('payment_provider_unavailable', 'The payment provider is away.', RETRY_AFTER_MS, error);
}

/**
 * Stripe answers a key with what it answered at first, for a day, refusals too ("Idempotent requests"). Whoever has another card by now asks anew,
 * under a key that all who were refused the same come to.
 * @returns the request that was refused then; undefined: this is no answer of before, or may have been done
 */
function refusalBefore({ errors }: typeof Stripe, error: unknown): string | undefined {
  if (!(error instanceof errors.StripeError) || error.headers?.['idempotent-replayed'] !== 'true') return undefined;
  const { statusCode = 500 } = error;
  return statusCode < 500 ? error.headers['original-request'] : undefined;
}

/** Opens Stripe's client; its library is loaded only then. */
export async function openClient(key: string, { STRIPE_BASE_URL }: StripeConfig, log: Logger): Promise<StripeClient> {
  const { default: Library } = await import('stripe');
  const { protocol, hostname, port } = new URL(STRIPE_BASE_URL);
  const stripe = new Library(key, {
    protocol: protocol === 'http:' ? 'http' : 'https',
    host: hostname,
    ...(port && { port }),
    timeout: TIMEOUT_MS,
    maxNetworkRetries: 1,
    telemetry: false,
    appInfo: { name: 'WhatsHybrid' },
  });
  return { stripe, version: Library.API_VERSION, ...callsOf(Library, log) };
}

function callsOf(Library: typeof Stripe, log: Logger): Pick<StripeClient, 'ask' | 'find' | 'send'> {
  return {
    async ask(call) {
      try {
        return await call();
      } catch (error) {
        throw problemOf(Library, error, log);
      }
    },
    async find(call) {
      try {
        return await call();
      } catch (error) {
        if (error instanceof Library.errors.StripeError && error.code === 'resource_missing') return null;
        throw problemOf(Library, error, log);
      }
    },
    async send(key, call) {
      let idempotencyKey = key;
      for (let refusals = 0; ; refusals += 1) {
        try {
          return await call({ idempotencyKey });
        } catch (error) {
          const before = refusalBefore(Library, error);
          if (before === undefined || refusals === MAX_REFUSALS) throw problemOf(Library, error, log);
          idempotencyKey = `${key}-${before}`;
        }
      }
    },
  };
}

/**
 * By Stripe's clock, which its events go by. An answer that was long under way is of when it was asked for: what happened meanwhile is newer.
 * @param since when it was asked for, by `performance.now()`
 */
export function answered<One, Snapshot>(
  one: Stripe.Response<One>,
  read: (one: One) => Snapshot | null,
  since: number,
): Answered<Snapshot> {
  const snapshot = read(one);
  const secondsAgo = Math.floor((performance.now() - since) / 1000);
  const at = new Date(Date.parse(one.lastResponse.headers['date'] ?? '') - secondsAgo * 1000);
  if (!snapshot || Number.isNaN(at.getTime()))
    throw unavailable('payment_provider_unavailable', 'The payment provider gave an odd answer.', RETRY_AFTER_MS);
  return { at, snapshot };
}
