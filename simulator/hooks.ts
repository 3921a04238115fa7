import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Webhook } from 'standardwebhooks';
import { answerTo, readHookScript, type Answer, type HookScript, type HookScriptInput } from './hook-script.ts';
import { HookJournal, type HookRequest } from './hook-journal.ts';

interface Hook {
  name: string;
  script: HookScript;
  verifiers: Webhook[];
}

const BODY_MAX = 1024 * 1024;
const PAGE_MAX = 10_000;
const UNSCRIPTED = readHookScript({});

/** Somebody's server for webhooks: as many endpoints as are asked for, each with a script of its own. */
export class Hooks {
  readonly journal: HookJournal;
  readonly #hooks = new Map<string, Hook>();

  /** @param journalFile gets a line for every request before it is answered, and one for every end */
  constructor(journalFile?: string) {
    this.journal = new HookJournal(journalFile);
  }

  /** Replaces the script of one endpoint. @throws ScriptError */
  script(name: string, script: HookScriptInput): HookScript {
    const read = readHookScript(script);
    this.#hooks.set(name, { name, script: read, verifiers: read.secrets.map((secret) => new Webhook(secret)) });
    return read;
  }

  clear(): void {
    this.#hooks.clear();
    this.journal.clear();
  }

  /** One page of the journal, by `after` and `limit` in the query. */
  read(query: URLSearchParams): { counts: HookJournal['counts']; requests: HookRequest[] } {
    const [after, limit] = [Number(query.get('after') ?? 0), Number(query.get('limit') ?? PAGE_MAX)];
    return { counts: this.journal.counts, requests: this.journal.page(after, Math.min(limit, PAGE_MAX)) };
  }

  /** Takes one webhook: writes it down, then does what the endpoint's script says. */
  async answer(name: string, req: IncomingMessage, res: ServerResponse): Promise<void> {
    const hook = this.#hooks.get(name) ?? { name, script: UNSCRIPTED, verifiers: [] };
    const id = headerOf(req, 'webhook-id');
    const timestamp = headerOf(req, 'webhook-timestamp');
    const { journal } = this;
    const of = { hook: name, id, timestamp };
    const early = answerTo(hook.script, name, id, journal.triesOf(name, id));
    if (early.cut === 'before_body') {
      const entry = await journal.add({ ...of, body: null, verified: null });
      await journal.end(entry, 'cut');
      return void req.socket.resetAndDestroy();
    }
    const text = await readText(req);
    if (text === null) return;
    const verified = hook.verifiers.length === 0 ? null : hook.verifiers.some((one) => isSigned(one, text, req));
    const entry = await journal.add({ ...of, body: parse(text), verified });
    const answer = answerTo(hook.script, name, id, entry.tried);
    await play(journal, entry, verified === false ? { ...answer, status: 401 } : answer, res);
  }
}

async function play(journal: HookJournal, entry: HookRequest, answer: Answer, res: ServerResponse): Promise<void> {
  const { cut, delayMs, status, headers, body } = answer;
  const { promise: gone, resolve } = Promise.withResolvers<void>();
  res.once('close', () => {
    resolve();
    void journal.end(entry, res.writableFinished ? status : cut && cut !== 'never' ? 'cut' : 'gone');
  });
  if (cut === 'never') return;
  if (delayMs > 0) await Promise.race([sleep(delayMs, undefined, { ref: false }), gone]);
  if (res.destroyed) return;
  if (cut === 'after_body') return void res.socket?.resetAndDestroy();
  const sent = cut === 'in_answer' ? body.slice(0, body.length / 2) : body;
  res.writeHead(status, { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(body), ...headers });
  if (cut === 'in_answer') return void res.write(sent, () => res.socket?.destroy());
  res.end(sent);
}

function isSigned(verifier: Webhook, text: string, req: IncomingMessage): boolean {
  const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature'];
  try {
    verifier.verify(text, Object.fromEntries(names.map((name) => [name, headerOf(req, name)])));
    return true;
  } catch {
    return false;
  }
}

const headerOf = (req: IncomingMessage, name: string): string => [req.headers[name]].flat()[0] ?? '';

/** Null where the client left before the body was whole. */
function readText(req: IncomingMessage): Promise<string | null> {
  const { promise, resolve, reject } = Promise.withResolvers<string | null>();
  const parts: Buffer[] = [];
  let size = 0;
  req.on('data', (part: Buffer) => {
    parts.push(part);
    size += part.length;
    if (size > BODY_MAX) reject(new RangeError(`The body is larger than ${BODY_MAX} bytes.`));
  });
  req.once('end', () => resolve(Buffer.concat(parts).toString('utf8')));
  req.once('close', () => resolve(null));
  return promise;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
