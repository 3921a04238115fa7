import { ProviderError, type Chunk, type Progress, type ProviderName } from '#src/ai/model.ts';

/** Milliseconds until the first content, between contents, and for the whole turn. */
export interface StreamLimits {
  firstContentMs: number;
  idleMs: number;
  totalMs: number;
}

/**
 * Reads one provider stream under three timers. Only content counts: keep-alives and role-only events never become chunks, an empty
 * text is none, and time the reader takes for itself is not silence of the provider.
 * @param open starts the stream under the signal it is given; that signal is aborted on every way out.
 * @returns the chunks without `progress` and without empty texts.
 * @throws ProviderError `timeout` when a timer runs out; the signal's reason when the signal aborted; else what the stream throws.
 */
export async function* withTimers(
  provider: ProviderName,
  open: (signal: AbortSignal) => AsyncIterable<Chunk | Progress>,
  limits: StreamLimits,
  signal: AbortSignal,
): AsyncGenerator<Chunk, void, undefined> {
  signal.throwIfAborted();
  const upstream = new AbortController();
  const onAbort = () => upstream.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  let waiting = true;
  const expire = (text: string) => upstream.abort(new ProviderError(provider, 'timeout', `${provider} ${text}`));
  const total = setTimeout(expire, limits.totalMs, `did not finish within ${limits.totalMs} ms.`);
  const first = setTimeout(expire, limits.firstContentMs, `sent no content within ${limits.firstContentMs} ms.`);
  let idle: NodeJS.Timeout | undefined;
  /** A timer that runs out while the reader works has fired for nothing; `refresh` starts it again. */
  const onSilence = () => waiting && expire(`sent nothing more for ${limits.idleMs} ms.`);
  try {
    for await (const chunk of open(upstream.signal)) {
      if (chunk.type === 'text' && chunk.text === '') continue;
      if (!idle) {
        clearTimeout(first);
        idle = setTimeout(onSilence, limits.idleMs);
      }
      if (chunk.type !== 'progress') {
        waiting = false;
        yield chunk;
        waiting = true;
      }
      // One timer object for the whole stream: a new one per chunk would cost more than the chunk.
      idle.refresh();
    }
    upstream.signal.throwIfAborted();
  } finally {
    clearTimeout(total);
    clearTimeout(first);
    clearTimeout(idle);
    signal.removeEventListener('abort', onAbort);
    upstream.abort();
  }
}
