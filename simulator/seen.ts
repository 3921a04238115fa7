import type { IncomingHttpHeaders } from 'node:http';

/** One request as the simulator saw it. Times are epoch milliseconds. */
export interface Seen {
  id: number;
  provider: string;
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  /** How the caller proved itself: `none`, `bearer`, `basic`, `x-api-key`, `x-goog-api-key`. */
  auth: string;
  /** The parsed JSON body; its text where it is not JSON or above 64 KiB. */
  body: unknown;
  model: string;
  remotePort: number;
  startedAt: number;
  /** Contents sent so far. */
  contents: number;
  status: number;
  endedAt?: number;
  /** Set when the client closed before the answer was whole. */
  clientClosedAt?: number;
  clientGone: boolean;
  /** Set when the script broke the connection. */
  cut: boolean;
}

export interface Counts {
  requests: number;
  connections: number;
  active: number;
  clientGone: number;
}

const KEPT = 1000;

/** What has been seen: exact counts, and the newest thousand requests. */
export class SeenLog {
  readonly counts: Counts = { requests: 0, connections: 0, active: 0, clientGone: 0 };
  #list: Seen[] = [];
  #watchers = new Set<() => void>();

  list(): readonly Seen[] {
    return this.#list;
  }

  add(seen: Omit<Seen, 'id' | 'contents' | 'status' | 'clientGone' | 'startedAt' | 'cut'>): Seen {
    this.counts.requests++;
    this.counts.active++;
    const entry = {
      ...seen,
      id: this.counts.requests,
      startedAt: Date.now(),
      contents: 0,
      status: 0,
      clientGone: false,
      cut: false,
    };
    if (this.#list.length >= KEPT) this.#list = this.#list.slice(KEPT / 2);
    this.#list.push(entry);
    this.changed();
    return entry;
  }

  /** Books the end of a request; `whole` is false where the client left first. */
  end(seen: Seen, whole: boolean): void {
    this.counts.active--;
    if (whole) {
      seen.endedAt = Date.now();
    } else {
      seen.clientClosedAt = Date.now();
      seen.clientGone = true;
      this.counts.clientGone++;
    }
    this.changed();
  }

  changed(): void {
    for (const watcher of this.#watchers) watcher();
  }

  /**
   * The newest request for which `holds`, as soon as there is one.
   * @throws Error when there is none within `timeoutMs`.
   */
  async waitFor(holds: (seen: Seen) => boolean, timeoutMs = 60_000): Promise<Seen> {
    const { promise, resolve, reject } = Promise.withResolvers<Seen>();
    const look = () => {
      const found = this.#list.findLast(holds);
      if (found) resolve(found);
    };
    const timer = setTimeout(
      () => reject(new Error(`The simulator saw no such request within ${timeoutMs} ms.`)),
      timeoutMs,
    );
    this.#watchers.add(look);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(look);
    }
  }

  clear(): void {
    this.#list = [];
    this.counts.requests = this.counts.clientGone = this.counts.connections = 0;
  }
}

/** How a request proves who sends it. */
export function authForm(headers: IncomingHttpHeaders): string {
  const [scheme] = (headers.authorization ?? '').split(' ');
  if (scheme) return scheme.toLowerCase();
  if (headers['x-api-key']) return 'x-api-key';
  return headers['x-goog-api-key'] ? 'x-goog-api-key' : 'none';
}
