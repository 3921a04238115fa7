import { open, type FileHandle } from 'node:fs/promises';

/** One webhook as the receiver took it. Times are epoch milliseconds. */
export interface HookRequest {
  /** Counts what was taken, from 1. */
  n: number;
  at: number;
  hook: string;
  /** Its `webhook-id`, `webhook-timestamp` and what its body says; null where its body was not read. */
  id: string;
  timestamp: string;
  body: unknown;
  /** Null where there is nothing to verify it with, or its body was not read. */
  verified: boolean | null;
  /** How often this id had come to this endpoint before. */
  tried: number;
  /** The status, once the answer was sent whole; `cut` where the script broke the connection, `gone` where the client left first. */
  answered: number | 'cut' | 'gone' | null;
}

const KEPT = 200_000;

/** What has been taken: exact counts, and the newest 200 000 requests; all of them in a file, where one is asked for. */
export class HookJournal {
  readonly counts = { requests: 0, unverified: 0 };
  #list: HookRequest[] = [];
  #tries = new Map<string, number>();
  #file: Promise<FileHandle> | undefined;
  #lines: string[] = [];
  #writing: Promise<void> | undefined;

  /** @param path of the file, which is appended to and synced before `add` resolves */
  constructor(path?: string) {
    this.#file = path === undefined ? undefined : open(path, 'a');
  }

  async add(request: Omit<HookRequest, 'n' | 'at' | 'tried' | 'answered'>): Promise<HookRequest> {
    const tried = this.triesOf(request.hook, request.id);
    this.#tries.set(`${request.hook} ${request.id}`, tried + 1);
    const entry = { ...request, n: (this.counts.requests += 1), at: Date.now(), tried, answered: null };
    if (request.verified === false) this.counts.unverified += 1;
    if (this.#list.length >= KEPT) this.#list = this.#list.slice(KEPT / 2);
    this.#list.push(entry);
    await this.#write(entry);
    return entry;
  }

  /** How often an id has come to an endpoint. */
  triesOf(hook: string, id: string): number {
    return this.#tries.get(`${hook} ${id}`) ?? 0;
  }

  /** Books how a request ended; in the file it is a line of its own. */
  async end(entry: HookRequest, answered: NonNullable<HookRequest['answered']>): Promise<void> {
    entry.answered = answered;
    await this.#write({ n: entry.n, answered });
  }

  /** @returns up to `limit` requests behind the one numbered `after`, oldest first */
  page(after: number, limit: number): HookRequest[] {
    const first = this.#list[0]?.n ?? 1;
    const from = Math.max(0, after + 1 - first);
    return this.#list.slice(from, from + limit);
  }

  clear(): void {
    this.#list = [];
    this.#tries.clear();
    this.counts.requests = this.counts.unverified = 0;
  }

  async close(): Promise<void> {
    await this.#writing;
    await (await this.#file)?.close();
  }

  /** Lines that come while one write is synced share the next. */
  #write(line: object): Promise<void> {
    if (this.#file === undefined) return Promise.resolve();
    // The write that is waiting takes this line along; one that has begun does not.
    if (this.#lines.push(`${JSON.stringify(line)}\n`) === 1)
      this.#writing = Promise.resolve(this.#writing).then(() => this.#sync());
    return this.#writing ?? Promise.resolve();
  }

  async #sync(): Promise<void> {
    const file = await this.#file;
    await file?.appendFile(this.#lines.splice(0).join(''));
    await file?.datasync();
  }
}
