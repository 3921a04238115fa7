import type { ApiKey, Chunk, Progress, ProviderError, ProviderName } from '#src/ai/model.ts';
import { failed, failedAs } from '#src/ai/providers/failure.ts';
import { openUpstream, type Upstream, type UpstreamOptions } from '#src/ai/providers/upstream.ts';

/** Whom to call, and until when. */
export interface Call extends Pick<UpstreamOptions, 'fetch' | 'connectMs' | 'wholeLines' | 'mend' | 'mendEnd'> {
  provider: ProviderName;
  /** The caller's: aborting it ends the call and closes its connection. */
  signal: AbortSignal;
}

/** Puts one streamed answer together from the parts an SDK gives. */
export interface StreamedAnswer<Part> {
  /** Whether the answer had its end marker. */
  readonly ended: boolean;
  /** Takes the next part; returns what of it is content. */
  push(part: Part): Chunk | Progress | undefined;
  /** The chunks after the text: tool calls, then the end. @throws ProviderError where the answer has no end or cannot be used */
  end(): Chunk[];
}

/**
 * Runs one streamed call and closes its upstream on every way out, also when the reader leaves early.
 * @param open gives the SDK the upstream's `fetch` and `signal` and starts the call, without retries of the SDK's own.
 * @throws ProviderError with the class of the failure; the signal's reason when it aborted.
 */
export async function* runStream<Part>(
  { provider, signal, ...options }: Call,
  answer: StreamedAnswer<Part>,
  open: (upstream: Upstream) => Promise<AsyncIterable<Part>>,
): AsyncGenerator<Chunk | Progress, void, undefined> {
  signal.throwIfAborted();
  const upstream = openUpstream(signal, options);
  let whole = false;
  try {
    for await (const part of await open(upstream)) {
      const content = answer.push(part);
      if (content) yield content;
    }
    // Some SDKs end the loop quietly when their signal aborts.
    signal.throwIfAborted();
    whole = answer.ended;
    yield* answer.end();
  } catch (error) {
    signal.throwIfAborted();
    throw upstream.isUnconnected ? unconnected(provider, error) : failed(provider, error);
  } finally {
    upstream.close(whole);
  }
}

/**
 * Runs one call that is answered at once, as JSON.
 * @param run gives the SDK the upstream's `fetch` and `signal`, makes the call and translates its answer.
 * @throws as `runStream`; half an answer is `stream_truncated` here too.
 */
export async function runPlain<Answer>(
  { provider, signal, fetch, connectMs, mend }: Call,
  run: (upstream: Upstream) => Promise<Answer>,
): Promise<Answer> {
  signal.throwIfAborted();
  const upstream = openUpstream(signal, { fetch, connectMs, mend, plain: true });
  try {
    const answer = await run(upstream);
    signal.throwIfAborted();
    return answer;
  } catch (error) {
    signal.throwIfAborted();
    throw upstream.isUnconnected ? unconnected(provider, error) : failed(provider, error);
  } finally {
    upstream.close(false);
  }
}

const unconnected = (provider: ProviderName, cause: unknown): ProviderError =>
  failedAs(provider, 'timeout', { note: 'no connection', cause });

/** The secret to call with. @throws ProviderError `auth` where there is none */
export function secretOf(provider: ProviderName, keys: readonly ApiKey[], key: ApiKey | undefined = keys[0]): string {
  if (!key) throw failedAs(provider, 'auth', { note: 'no key' });
  return key.secret;
}
