import { withConnectTimer } from '#src/ai/providers/connect-timer.ts';

/** An answer that is none: a status other than 2xx, a page of HTML from something between the provider and us, or an error sent as a success. */
export class HttpFailure extends Error {
  readonly status: number;
  readonly headers: Headers;
  /** The start of the body. Not in the message: bodies repeat keys and prompts. */
  readonly body: string;

  constructor(status: number, headers: Headers, body: string) {
    super(`HTTP ${status}`);
    this.name = 'HttpFailure';
    this.status = status;
    this.headers = headers;
    this.body = body;
  }
}

/** The connection of one provider call, in our hands and not in the SDK's. */
export interface Upstream {
  /** Give this to the SDK as its `fetch`. @throws HttpFailure */
  fetch: typeof fetch;
  /** Aborted by the caller's signal and by `close`. */
  signal: AbortSignal;
  /** Whether it was given up because no connection came about; SDKs hide that behind errors of their own. */
  readonly isUnconnected: boolean;
  /**
   * Ends the call; must run on every way out. `whole`: the answer had its end marker, so its last bytes are read in the background
   * and the connection serves the next call. Otherwise the connection is closed at once.
   */
  close(whole: boolean): void;
}

/** How long a connection may take, in milliseconds. */
export const CONNECT_MS = 5000;
const ERROR_BODY_MAX = 64 * 1024;
/** How long the end of a whole answer may take before its connection is given up, in milliseconds. */
const DRAIN_MS = 250;

export interface UpstreamOptions {
  /** What makes the request in the end (the global fetch, which keeps connections). */
  fetch?: typeof fetch | undefined;
  /** For the connection, without a `fetch` of one's own (5 s). */
  connectMs?: number | undefined;
  /** Pass only whole lines on: for an SDK that prints a line it cannot parse, and with it what the model wrote. */
  wholeLines?: boolean;
  /**
   * The answer is one JSON text: it is read whole and checked before the SDK sees it, since SDKs differ in what they make of half of one
   * and of an error in a 200.
   */
  plain?: boolean;
  /**
   * Sees the plain answer, or each piece of whole lines of the stream, before the SDK, and gives back what the SDK is to read: for an
   * SDK that breaks on what its provider sends. May throw, HttpFailure for an error it finds.
   */
  mend?: ((text: string) => string) | undefined;
  /** Sees what comes after the stream's last line end; without it, that is dropped wherever only whole lines are passed on. */
  mendEnd?: ((rest: string) => string) | undefined;
}

/** Opens the upstream of one call under the caller's signal. */
export function openUpstream(signal: AbortSignal, options: UpstreamOptions = {}): Upstream {
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let isUnconnected = false;
  const giveUp = () => {
    isUnconnected = true;
    controller.abort(new Error('No connection'));
  };
  return {
    signal: controller.signal,
    get isUnconnected() {
      return isUnconnected;
    },
    async fetch(input, init) {
      // Only our signal counts: some SDKs have none, others stop listening to theirs once the headers are there.
      const own = { ...init, signal: controller.signal };
      const response = options.fetch
        ? await options.fetch(input, own)
        : await withConnectTimer(options.connectMs ?? CONNECT_MS, giveUp, () => fetch(input, own));
      const html = response.headers.get('content-type')?.includes('text/html');
      if (!response.ok || html) {
        const body = (await response.text()).slice(0, ERROR_BODY_MAX);
        throw new HttpFailure(html && response.ok ? 502 : response.status, response.headers, body);
      }
      if (options.plain) return readPlain(response, options.mend);
      reader = response.body?.getReader();
      return new Response(reader ? lent(reader, options) : null, {
        status: response.status,
        headers: response.headers,
      });
    },
    close(whole) {
      signal.removeEventListener('abort', onAbort);
      if (whole && reader && !controller.signal.aborted) void drain(reader, controller);
      else controller.abort();
    },
  };
}

/** @throws SyntaxError for half an answer; HttpFailure for an error in place of one */
async function readPlain(response: Response, mend = (text: string) => text): Promise<Response> {
  const { status, headers } = response;
  const body = await response.text();
  const parsed: unknown = JSON.parse(body);
  if (isFailure(parsed)) throw new HttpFailure(status, headers, body);
  return new Response(mend(body), { status, headers });
}

function isFailure(body: unknown): boolean {
  if (typeof body !== 'object' || body === null) return true;
  if ('error' in body && body.error) return true;
  // Cohere's errors; its SDK prints them.
  if ('message' in body && typeof body.message === 'string') return true;
  return 'object' in body && body.object === 'error';
}

/**
 * A stream over the reader whose `cancel` does nothing: SDKs cancel the body as soon as they have seen the end marker, and a
 * cancelled body costs the connection, with TLS a whole handshake for the next call.
 * Where only whole lines are passed on, the half one at the end of the stream is dropped, unless `mendEnd` makes something of it.
 */
function lent(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  { wholeLines, mend, mendEnd }: UpstreamOptions,
): ReadableStream<Uint8Array> {
  const end = wholeLines || mend ? lastNewline : lastByte;
  let kept: Uint8Array[] = [];
  return new ReadableStream<Uint8Array>(
    {
      async pull(stream) {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) {
            const rest = mendEnd?.(Buffer.concat(kept).toString('utf8'));
            if (rest) stream.enqueue(Buffer.from(rest));
            return stream.close();
          }
          const at = end(value);
          if (at < 0) {
            kept.push(value);
            continue;
          }
          const passed = value.subarray(0, at + 1);
          const whole = kept.length > 0 ? Buffer.concat([...kept, passed]) : passed;
          stream.enqueue(mend ? Buffer.from(mend(Buffer.from(whole).toString('utf8'))) : whole);
          kept = at + 1 < value.length ? [value.subarray(at + 1)] : [];
          return;
        }
      },
    },
    { highWaterMark: 0 },
  );
}

const lastByte = (bytes: Uint8Array) => bytes.length - 1;
const lastNewline = (bytes: Uint8Array) => bytes.lastIndexOf(10);

async function drain(reader: ReadableStreamDefaultReader<Uint8Array>, controller: AbortController): Promise<void> {
  const timer = setTimeout(() => controller.abort(), DRAIN_MS);
  try {
    while (!(await reader.read()).done);
  } catch {
    // The answer was whole already; a connection that breaks now is simply not used again.
  } finally {
    clearTimeout(timer);
  }
}
