import { Agent, type Dispatcher } from 'undici';
import type { EgressAnswer, EgressOptions } from '#src/lib/egress.ts';
import { createConnector, createResolve, type Resolve } from '#src/lib/egress-connect.ts';
import { EgressFailed, toFailure } from '#src/lib/egress-failure.ts';

const IDLE_MS = 4000;
const MAX_IDLE_MS = 30_000;
/** A connection that is never idle is left after this all the same, so that a name that moved is followed. */
const CONNECTION_LIFE_MS = 60_000;
const MAX_HEADER_BYTES = 16_384;
const GIVEN_UP = new Error('Nobody waits for this answer any more');

export interface Exchange {
  send(url: URL, options: EgressOptions): Promise<EgressAnswer>;
  close(): Promise<void>;
}

/** What sends requests to URLs that were checked, over connections that are made and kept as `createEgress` says. */
export function createExchange(allowed: ReadonlySet<string>, resolve?: Resolve): Exchange {
  const dns = createResolve();
  const agent = new Agent({
    connect: createConnector(allowed, resolve ?? dns.resolve),
    allowH2: false,
    pipelining: 1,
    keepAliveTimeout: IDLE_MS,
    keepAliveMaxTimeout: MAX_IDLE_MS,
    clientTtl: CONNECTION_LIFE_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    // Both times are kept by `send`.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  return {
    send: (url, options) => send(agent, url, options),
    async close() {
      dns.cancel();
      await agent.destroy();
    },
  };
}

/** Sends one request and gathers its answer, within its times and its size. */
function send(agent: Agent, url: URL, options: EgressOptions): Promise<EgressAnswer> {
  const { connectTimeoutMs, timeoutMs, maxBytes, signal } = options;
  const { promise, resolve, reject } = Promise.withResolvers<EgressAnswer>();
  const startedAt = performance.now();
  let status = 0;
  let headers: EgressAnswer['headers'] = {};
  const chunks: Buffer[] = [];
  let length = 0;
  let sending: Dispatcher.DispatchController | undefined;
  let isOver = false;

  const settle = (): boolean => {
    if (isOver) return false;
    isOver = true;
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    return true;
  };
  const succeed = (isTruncated: boolean) => {
    if (!settle()) return;
    const durationMs = performance.now() - startedAt;
    resolve({ status, headers, body: Buffer.concat(chunks), isTruncated, durationMs });
  };
  const fail = (error: Error) => void (settle() && reject(toFailure(error, sending !== undefined)));
  const giveUp = (kind: 'timeout' | 'aborted', cause?: unknown) => {
    fail(new EgressFailed(kind, sending !== undefined, cause));
    sending?.abort(GIVEN_UP);
  };
  const onTimeout = () => giveUp('timeout');
  const onAbort = () => giveUp('aborted', signal?.reason);
  let timer = setTimeout(onTimeout, Math.min(connectTimeoutMs, timeoutMs));
  if (signal?.aborted) onAbort();
  if (isOver) return promise;
  signal?.addEventListener('abort', onAbort);

  const { method, body = null } = options;
  agent.dispatch(
    { origin: url.origin, path: url.pathname + url.search, method, headers: options.headers, body },
    {
      onRequestStart(controller) {
        // The connection came too late for this request; the next one can use it.
        if (isOver) return controller.abort(GIVEN_UP);
        sending = controller;
        clearTimeout(timer);
        timer = setTimeout(onTimeout, timeoutMs - (performance.now() - startedAt));
      },
      onResponseStart(_, code, received) {
        status = code;
        headers = received;
      },
      onResponseData(controller, chunk) {
        if (isOver) return;
        chunks.push(chunk.subarray(0, maxBytes - length));
        length += chunk.length;
        if (length <= maxBytes) return;
        succeed(true);
        controller.abort(GIVEN_UP);
      },
      onResponseEnd: () => succeed(false),
      onResponseError: (_, error) => fail(error),
    },
  );
  return promise;
}
