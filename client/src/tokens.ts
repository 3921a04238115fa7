import { ApiError, NetworkError } from './errors.ts';
import type { EventBus } from './event-bus.ts';
import type { Storage } from './storage.ts';
import { abortable } from './timing.ts';
import { isObject } from './wire.ts';

/** What login and refresh answer; `expiresIn` in seconds. */
export interface TokenAnswer {
  token: string;
  refreshToken: string;
  expiresIn: number;
}

/** A session as it is kept. Times in milliseconds since 1970. */
export interface Tokens {
  token: string;
  refreshToken?: string;
  expiresAt?: number;
  /** From here on the token is renewed before it is used. */
  refreshAt?: number;
}

export interface TokenKeeperOptions {
  storage: Storage;
  /** Where in the storage; contexts that use the same storage and key share one session. */
  key: string;
  /** Calls `POST /api/auth/refresh`, trying again with the same token while no answer comes. */
  refresh(refreshToken: string): Promise<TokenAnswer>;
  bus: EventBus;
  initial?: Tokens | undefined;
}

const LEEWAY_MS = 60_000;
const LEEWAY_SHARE = 0.2;

/**
 * Keeps one session. The storage is the truth and is read for every use, so a token another tab has renewed is found without a message.
 * A rotated refresh token is written there before anything uses it: a context that dies in between still finds a token that works.
 */
export class TokenKeeper {
  readonly #options: TokenKeeperOptions;
  #seeded: Promise<void> | undefined;
  #refreshing: Promise<Tokens> | undefined;

  constructor(options: TokenKeeperOptions) {
    this.#options = options;
  }

  /** The session as stored; `undefined` when signed out or when what is stored cannot be read. */
  async current(): Promise<Tokens | undefined> {
    const { initial, storage, key } = this.#options;
    if (initial) await (this.#seeded ??= storage.set(key, JSON.stringify(initial)));
    return parseTokens(await storage.get(key));
  }

  /**
   * An access token to use now, renewed first when it is about to expire; `undefined` when signed out.
   * @throws ApiError when the session has ended; NetworkError when it must be renewed and nothing answers.
   */
  async access(signal?: AbortSignal): Promise<string | undefined> {
    const tokens = await this.current();
    if (!tokens || tokens.refreshAt === undefined || Date.now() < tokens.refreshAt) return tokens?.token;
    if (!tokens.refreshToken) return tokens.token;
    try {
      return (await abortable(this.#refresh(), signal)).token;
    } catch (error) {
      // The token is only near its end: while it is valid, a backend that does not answer refreshes is no reason to fail.
      if (error instanceof NetworkError && Date.now() < (tokens.expiresAt ?? 0)) return tokens.token;
      throw error;
    }
  }

  /** Whether there is, or can be had, a token other than `rejected`: an API key is all there is of it. */
  async canRenew(rejected: string): Promise<boolean> {
    const tokens = await this.current();
    return tokens?.token !== rejected || tokens.refreshToken !== undefined;
  }

  /**
   * A token other than `rejected`, which the backend refused: one that another caller or tab has got meanwhile, or a new one.
   * @throws ApiError when the session has ended; NetworkError when nothing answers.
   */
  async renew(rejected: string, signal?: AbortSignal): Promise<string> {
    const tokens = await this.current();
    if (tokens && tokens.token !== rejected) return tokens.token;
    return (await abortable(this.#refresh(), signal)).token;
  }

  /** Takes the session that login or register answered. */
  async adopt(answer: TokenAnswer): Promise<Tokens> {
    const tokens = toTokens(answer);
    this.#seeded = Promise.resolve();
    await this.#options.storage.set(this.#options.key, JSON.stringify(tokens));
    return tokens;
  }

  /** Forgets the session. */
  async clear(reason: string): Promise<void> {
    this.#seeded = Promise.resolve();
    await this.#options.storage.remove(this.#options.key);
    this.#options.bus.emit('auth.signed-out', { reason });
  }

  /** All callers of this context share one refresh call. */
  #refresh(): Promise<Tokens> {
    this.#refreshing ??= this.#rotate().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #rotate(): Promise<Tokens> {
    // Read again: another context may have rotated since the caller looked.
    const tokens = await this.current();
    if (!tokens?.refreshToken) throw signedOut();
    const used = tokens.refreshToken;
    try {
      const answer = await this.#options.refresh(used);
      const now = await this.current();
      if (!now) throw signedOut();
      if (now.refreshToken !== used) return now;
      const fresh = await this.adopt(answer);
      this.#options.bus.emit('auth.refreshed', { expiresAt: fresh.expiresAt });
      return fresh;
    } catch (error) {
      if (!(error instanceof ApiError) || (error.status !== 401 && error.status !== 403)) throw error;
      const now = await this.current();
      // Refused because another tab rotated first: its tokens are in the storage.
      if (now && now.refreshToken !== used) return now;
      if (now) await this.clear(error.code);
      throw error;
    }
  }
}

function toTokens(answer: TokenAnswer): Tokens {
  const lifeMs = answer.expiresIn * 1000;
  const expiresAt = Date.now() + lifeMs;
  return {
    token: answer.token,
    refreshToken: answer.refreshToken,
    expiresAt,
    refreshAt: expiresAt - Math.min(LEEWAY_MS, lifeMs * LEEWAY_SHARE),
  };
}

function parseTokens(text: string | undefined): Tokens | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (isTokens(value)) return value;
  } catch {
    // What cannot be read is no session; the next login writes over it.
  }
  return undefined;
}

function isTokens(value: unknown): value is Tokens & Record<string, unknown> {
  return isObject(value) && typeof value['token'] === 'string';
}

function signedOut(): ApiError {
  const detail = 'You are signed out. Sign in again.';
  return new ApiError({
    type: 'about:blank',
    title: 'Not authenticated',
    status: 401,
    detail,
    code: 'signed_out',
    message: detail,
  });
}
