import type { createExchange, Exchange } from '#src/lib/egress-exchange.ts';
import type { Resolve } from '#src/lib/egress-connect.ts';
import { EgressFailed } from '#src/lib/egress-failure.ts';
import { checkUrl, EgressRefused } from '#src/lib/egress-rules.ts';

export { EgressFailed, EgressRefused };

export interface EgressAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** The first `maxBytes` of the body. */
  body: Buffer;
  isTruncated: boolean;
  durationMs: number;
}

export interface EgressOptions {
  method: 'POST' | 'GET';
  headers: Record<string, string>;
  body?: Uint8Array | string;
  /** Until the request is on its way: name, connection and TLS. No more than 10 000. */
  connectTimeoutMs: number;
  /** Until the last byte of the answer that is read. */
  timeoutMs: number;
  maxBytes: number;
  signal?: AbortSignal;
}

export interface Egress {
  /**
   * The URL as it will be called, judged by its text alone.
   * @throws EgressRefused naming what is wrong
   */
  check(url: string): URL;
  /**
   * Makes one request. A redirect is an answer like any other and is never followed; the body is given as it came, never unpacked.
   * @throws EgressRefused; EgressFailed when it was allowed and there is no answer
   */
  request(url: string, options: EgressOptions): Promise<EgressAnswer>;
  /** Ends every connection; what is under way fails as `aborted`. */
  close(): Promise<void>;
}

/** What the connection is made of; and what would have the answer packed, of which a little can unpack to anything. */
const OWN_HEADERS =
  /^(?:host|connection|keep-alive|transfer-encoding|content-length|accept-encoding|expect|upgrade|te|trailer|proxy-.*)$/i;

/**
 * The one way to addresses that people outside may choose. It calls public addresses alone, whatever the URL's spelling, its name's answers
 * or a redirect say, and knows no proxy: one in the environment would make the connections in its place, past these checks.
 *
 * Connections are kept for the same scheme, host and port. Each was made to an address that was looked at and stays there whatever the
 * name says later, so using it again reaches nothing that a new one could not have reached.
 * @param allow `host:port` of the targets that are called whatever they are (`EGRESS_ALLOW`)
 * @param resolve how names are resolved; by default DNS
 */
export function createEgress({ allow, resolve }: { allow: readonly string[]; resolve?: Resolve }): Egress {
  const allowed: ReadonlySet<string> = new Set(allow);
  let isClosed = false;
  let opening: Promise<Exchange> | undefined;
  return {
    check: (url) => checkUrl(url, allowed),
    async request(url, options) {
      const target = checkUrl(url, allowed);
      if (Object.keys(options.headers).some((name) => OWN_HEADERS.test(name))) throw new EgressRefused('header');
      if (isClosed) throw new EgressFailed('aborted', false);
      return await (await (opening ??= openExchange(allowed, resolve))).send(target, options);
    },
    async close() {
      isClosed = true;
      await (await opening)?.close();
    },
  };
}

/** Loaded when first asked for: the HTTP client is large, and most processes only check. */
const openExchange = async (...setup: Parameters<typeof createExchange>) =>
  (await import('#src/lib/egress-exchange.ts')).createExchange(...setup);
