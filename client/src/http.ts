import { ApiError, NetworkError, plainProblem, readProblem } from './errors.ts';
import { fullJitterMs, parseRetryAfterMs, sleep } from './timing.ts';
import type { TokenKeeper } from './tokens.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export type FetchFunction = (url: string, init: RequestInit) => Promise<Response>;

export interface RequestOptions {
  signal?: AbortSignal | undefined;
  /** For one try, until the whole answer is read; default 30 000. */
  timeoutMs?: number | undefined;
  /** Give your own (and keep it) to be able to repeat a POST after a restart; else one is made for this call and all its tries. */
  idempotencyKey?: string | undefined;
  headers?: Record<string, string> | undefined;
  query?: Record<string, string | number | boolean | undefined> | undefined;
  /** False sends no token (login and the like). */
  authenticate?: boolean | undefined;
  /** How often the request is sent at most; default 5. */
  tries?: number | undefined;
}

export interface HttpOptions {
  baseUrl: string;
  fetch: FetchFunction;
  workspaceId(): string | undefined;
  timeoutMs?: number | undefined;
  tries?: number | undefined;
  backoffBaseMs?: number | undefined;
  /** Longest wait between two tries; a `Retry-After` beyond it is not waited for: the error comes at once and carries it. */
  backoffCapMs?: number | undefined;
}

interface Call {
  method: Method;
  url: string;
  body: string | Blob | undefined;
  headers: Record<string, string>;
  timeoutMs: number;
  signal: AbortSignal | undefined;
}

const RETRY_STATUS = new Set([429, 503]);

/** Sends requests: bearer token, one renewal after a 401, retries that cannot act twice, problems as errors. */
export class Http {
  readonly #options: HttpOptions;
  #tokens: TokenKeeper | undefined;

  constructor(options: HttpOptions) {
    this.#options = { ...options, baseUrl: options.baseUrl.replace(/\/+$/, '') };
  }

  /** Set once, after the keeper is made: the keeper's own refresh call goes through this object. */
  useTokens(tokens: TokenKeeper): void {
    this.#tokens = tokens;
  }

  /**
   * The parsed JSON answer of one request.
   * @throws ApiError for an error answer, NetworkError when none came, the signal's reason when it aborted.
   */
  json<T>(method: Method, path: string, body?: unknown, options: RequestOptions = {}): Promise<T> {
    return this.#exchange(method, path, body, options, async (response) => {
      const text = await response.text();
      const parsed: T = text === '' ? undefined : JSON.parse(text);
      return parsed;
    });
  }

  /** The answer itself, its body unread; `timeoutMs` is for the headers, `signal` also cuts the body. */
  open(method: Method, path: string, options: RequestOptions = {}): Promise<Response> {
    return this.#exchange(method, path, undefined, options, (response) => Promise.resolve(response));
  }

  async #exchange<T>(
    method: Method,
    path: string,
    body: unknown,
    options: RequestOptions,
    read: (response: Response) => Promise<T>,
  ): Promise<T> {
    const call = this.#call(method, path, body, options);
    const tokens = options.authenticate === false ? undefined : this.#tokens;
    let renewed = false;
    for (let attempt = 0; ; attempt += 1) {
      const token = await tokens?.access(call.signal);
      try {
        return await this.#once(call, token, read);
      } catch (error) {
        call.signal?.throwIfAborted();
        if (tokens && token !== undefined && !renewed && error instanceof ApiError && error.status === 401) {
          renewed = true;
          // What cannot be renewed (an API key) was refused for a reason, which says more than that there is no session.
          if (!(await tokens.canRenew(token))) throw error;
          await tokens.renew(token, call.signal);
          continue;
        }
        const waitMs = this.#waitMs(error, attempt, call, options);
        if (waitMs === undefined) throw error;
        await sleep(waitMs, call.signal);
      }
    }
  }

  #call(method: Method, path: string, body: unknown, options: RequestOptions): Call {
    const url = new URL(this.#options.baseUrl + path);
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const workspaceId = this.#options.workspaceId();
    // Made before the first try and the same for all: what makes it safe to send a POST again.
    const key = options.idempotencyKey ?? (method === 'POST' ? crypto.randomUUID() : undefined);
    return {
      method,
      url: url.href,
      body: body === undefined || body instanceof Blob ? body : JSON.stringify(body),
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': typeOf(body) }),
        ...(workspaceId && options.authenticate !== false ? { 'x-workspace-id': workspaceId } : {}),
        ...(key ? { 'idempotency-key': key } : {}),
        ...options.headers,
      },
      timeoutMs: options.timeoutMs ?? this.#options.timeoutMs ?? 30_000,
      signal: options.signal,
    };
  }

  async #once<T>(call: Call, token: string | undefined, read: (response: Response) => Promise<T>): Promise<T> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new DOMException('timeout', 'TimeoutError')), call.timeoutMs);
    const signal = call.signal ? AbortSignal.any([call.signal, late.signal]) : late.signal;
    try {
      const response = await this.#options.fetch(call.url, {
        method: call.method,
        headers: token === undefined ? call.headers : { ...call.headers, authorization: `Bearer ${token}` },
        signal,
        ...(call.body === undefined ? {} : { body: call.body }),
      });
      if (!response.ok) throw await toApiError(response);
      return await read(response);
    } catch (error) {
      if (error instanceof ApiError) throw error;
      const where = `${call.method} ${call.url}`;
      if (late.signal.aborted) throw new NetworkError(`${where} had no answer within ${call.timeoutMs} ms.`, error);
      throw new NetworkError(`${where} got no usable answer.`, error);
    } finally {
      clearTimeout(timer);
    }
  }

  #waitMs(error: unknown, attempt: number, call: Call, options: RequestOptions): number | undefined {
    const { backoffBaseMs = 250, backoffCapMs = 30_000, tries = 5 } = this.#options;
    const isRepeatable = call.method !== 'PATCH';
    if (!isRepeatable || attempt + 1 >= (options.tries ?? tries)) return undefined;
    const jitterMs = fullJitterMs(attempt, backoffBaseMs, backoffCapMs);
    if (error instanceof NetworkError) return jitterMs;
    if (!(error instanceof ApiError)) return undefined;
    // Our own first try may still be running when the second arrives: its stored answer comes soon. What is lost with it does not.
    const isOwnTwin = error.status === 409 && attempt > 0 && error.code === 'idempotency_in_progress';
    if (!RETRY_STATUS.has(error.status) && !isOwnTwin) return undefined;
    if (error.retryAfterMs === undefined) return jitterMs;
    return error.retryAfterMs > backoffCapMs
      ? undefined
      : error.retryAfterMs + fullJitterMs(0, backoffBaseMs, backoffCapMs);
  }
}

const typeOf = (body: unknown): string =>
  body instanceof Blob ? body.type || 'application/octet-stream' : 'application/json';

async function toApiError(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => '');
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy's page or nothing at all: the status says what there is to say.
  }
  const detail = `The backend answered ${response.status}${response.statusText ? ` ${response.statusText}` : ''}.`;
  return new ApiError(
    readProblem(body, response.status) ?? plainProblem(response.status, `http_${response.status}`, detail),
    {
      requestId: response.headers.get('x-request-id') ?? undefined,
      retryAfterMs: parseRetryAfterMs(response.headers.get('retry-after'), Date.now()),
    },
  );
}
