export interface BusEvent {
  name: string;
  payload: unknown;
  /** Milliseconds since 1970. */
  at: number;
}

export type BusListener = (payload: unknown, event: BusEvent) => unknown;

export interface EventBusOptions {
  /** How many past events are kept for `history` and `replay`; default 200, 0 keeps none. */
  historySize?: number;
  /** Told of every error a listener threw or rejected with. */
  onError?: (error: unknown, event: BusEvent) => void;
}

/** Whether a dotted name fits a pattern: `*` stands for one segment, `**` for any number of them, also none. */
export function matchesPattern(pattern: string, name: string): boolean {
  return matchSegments(pattern.split('.'), name.split('.'));
}

/** Greedy with one way back (the last `**`), so the cost is at most pattern × name, whatever a pattern holds. */
function matchSegments(pattern: string[], name: string[]): boolean {
  let at = 0;
  let position = 0;
  let resumeAt = -1;
  let resumePosition = 0;
  while (position < name.length) {
    const part = pattern[at];
    if (part === '**') {
      resumeAt = at;
      resumePosition = position;
      at += 1;
    } else if (part !== undefined && (part === '*' || part === name[position])) {
      at += 1;
      position += 1;
    } else if (resumeAt >= 0) {
      resumePosition += 1;
      position = resumePosition;
      at = resumeAt + 1;
    } else return false;
  }
  while (pattern[at] === '**') at += 1;
  return at === pattern.length;
}

/** Events by dotted name inside one context. A listener that throws never keeps the others from hearing. */
export class EventBus {
  readonly #listeners = new Map<string, { segments: string[]; listeners: Set<BusListener> }>();
  readonly #history: BusEvent[] = [];
  readonly #historySize: number;
  readonly #onError: EventBusOptions['onError'];

  constructor(options: EventBusOptions = {}) {
    this.#historySize = options.historySize ?? 200;
    this.#onError = options.onError;
  }

  /** Listens to every event that fits `pattern`; `replay` first tells the kept ones, oldest first. Returns the way to stop. */
  on(pattern: string, listener: BusListener, options: { replay?: boolean } = {}): () => void {
    const entry = this.#listeners.get(pattern) ?? { segments: pattern.split('.'), listeners: new Set() };
    this.#listeners.set(pattern, entry);
    entry.listeners.add(listener);
    if (options.replay) for (const event of this.history(pattern)) this.#tell(listener, event);
    return () => this.off(pattern, listener);
  }

  /** Listens to the next event that fits, once. Returns the way to stop before. */
  once(pattern: string, listener: BusListener): () => void {
    const stop = this.on(pattern, (payload, event) => {
      stop();
      return listener(payload, event);
    });
    return stop;
  }

  off(pattern: string, listener: BusListener): void {
    const entry = this.#listeners.get(pattern);
    if (!entry?.listeners.delete(listener)) return;
    if (entry.listeners.size === 0) this.#listeners.delete(pattern);
  }

  emit(name: string, payload?: unknown): void {
    const event: BusEvent = { name, payload, at: Date.now() };
    if (this.#historySize > 0) this.#history.push(event);
    if (this.#history.length > this.#historySize) this.#history.shift();
    const segments = name.split('.');
    const listeners = [...this.#listeners.values()]
      .filter((entry) => matchSegments(entry.segments, segments))
      .flatMap((entry) => [...entry.listeners]);
    for (const listener of listeners) this.#tell(listener, event);
  }

  /** The kept events that fit, oldest first. */
  history(pattern = '**'): BusEvent[] {
    const segments = pattern.split('.');
    return this.#history.filter((event) => matchSegments(segments, event.name.split('.')));
  }

  /**
   * Waits for the next event that fits `pattern` (and `where`, if given).
   * @throws a `TimeoutError` after `timeoutMs`; the signal's reason when it aborts.
   */
  waitFor(
    pattern: string,
    options: { timeoutMs?: number; signal?: AbortSignal; where?: (event: BusEvent) => boolean } = {},
  ): Promise<BusEvent> {
    const { timeoutMs, signal, where } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        stop();
        settle();
      };
      const onAbort = () => finish(() => reject(signal?.reason));
      const stop = this.on(pattern, (_payload, event) => {
        if (!where || where(event)) finish(() => resolve(event));
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      if (timeoutMs === undefined) return;
      const late = () => new DOMException(`No event matched "${pattern}" within ${timeoutMs} ms.`, 'TimeoutError');
      timer = setTimeout(() => finish(() => reject(late())), timeoutMs);
    });
  }

  #tell(listener: BusListener, event: BusEvent): void {
    try {
      const answer = listener(event.payload, event);
      if (answer instanceof Promise) answer.catch((error: unknown) => this.#report(error, event));
    } catch (error) {
      this.#report(error, event);
    }
  }

  #report(error: unknown, event: BusEvent): void {
    try {
      this.#onError?.(error, event);
    } finally {
      // A listener of `error` that throws must not call itself for ever.
      if (event.name !== 'error') this.emit('error', { error, event });
    }
  }
}
