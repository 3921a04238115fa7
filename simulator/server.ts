import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { groq } from './groq.ts';
import { mistral } from './mistral.ts';
import { anthropic } from './anthropic.ts';
import { cohere } from './cohere.ts';
import { google } from './google.ts';
import { ollama } from './ollama.ts';
import { withModerations } from './moderations.ts';
import { openai } from './openai.ts';
import { play } from './play.ts';
import { replyTo } from './reply.ts';
import { together } from './together.ts';
import { CloudNumbers } from './cloud-api.ts';
import { Hooks } from './hooks.ts';
import { StripeApi } from './stripe.ts';
import { readForm } from './stripe-form.ts';
import { FaultCounter, readScript, ScriptError, scriptOfModel, scriptOfPrompt, type Script } from './script.ts';
import { authForm, SeenLog, type Counts, type Seen } from './seen.ts';
import { isObject, type Ask, type Json, type Wire } from './wire.ts';

/** Every provider simulated. */
const WIRES: readonly Wire[] = [withModerations(openai), anthropic, google, groq, mistral, cohere, together, ollama];
const BODY_MAX = 16 * 1024 * 1024;
const KEPT_BODY_MAX = 64 * 1024;

export interface Simulator {
  /** `http://host:port`, without a slash at the end. */
  url: string;
  /** The requests seen, oldest first; at most the newest thousand. */
  seen(): readonly Seen[];
  /** The newest request for which `holds`, as soon as there is one; throws after `timeoutMs` (2000). */
  waitFor(holds: (seen: Seen) => boolean, timeoutMs?: number): Promise<Seen>;
  /** Requests, connections, running answers and clients that left early, since the last `clear`. */
  counts(): Counts;
  /** The receiver of webhooks at `/hooks/<name>`. */
  hooks: Hooks;
  /** The WhatsApp Cloud API, at `/whatsapp/v<n>/<phone number id>`. */
  cloud: CloudNumbers;
  /** Stripe's API, at `/v1/…` as its SDK expects it, and one account. */
  stripe: StripeApi;
  /** Replaces the script of the whole process. @throws ScriptError */
  script(script: Script): void;
  /** Forgets what was seen, the script and how often its faults have struck. */
  clear(): void;
  close(): Promise<void>;
}

interface State {
  log: SeenLog;
  faults: FaultCounter;
  script: Script;
  hooks: Hooks;
  cloud: CloudNumbers;
  stripe: StripeApi;
}

/** Opens a simulator on `host` (127.0.0.1) and `port` (0: any free one); webhooks are also written to `hooksFile`. */
export async function createSimulator(
  options: { host?: string; port?: number; hooksFile?: string } = {},
): Promise<Simulator> {
  const hooks = new Hooks(options.hooksFile);
  const cloud = new CloudNumbers();
  const stripe: StripeApi = new StripeApi(() => urlOf(server));
  const state: State = { log: new SeenLog(), faults: new FaultCounter(), script: {}, hooks, cloud, stripe };
  const server = createServer((req, res) => {
    answer(state, req, res).catch((error: unknown) => refuse(res, error));
  });
  server.on('connection', () => state.log.counts.connections++);
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject).listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve);
  await listening;
  return {
    url: urlOf(server),
    seen: () => state.log.list(),
    waitFor: (holds, timeoutMs) => state.log.waitFor(holds, timeoutMs),
    counts: () => ({ ...state.log.counts }),
    hooks,
    cloud,
    stripe,
    script: (script) => setScript(state, readScript(script)),
    clear: () => {
      state.log.clear();
      hooks.clear();
      cloud.clear();
      stripe.clear();
      setScript(state, {});
    },
    async close() {
      cloud.clear();
      stripe.close();
      await close(server);
      await hooks.journal.close();
    },
  };
}

function urlOf(server: Server): string {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('The simulator is not listening on a port.');
  return `http://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`;
}

function setScript(state: State, script: Script): void {
  state.script = script;
  state.faults.clear();
}

async function close(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
}

async function answer(state: State, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const [, hook] = /^\/hooks\/([^?]*)/.exec(req.url ?? '') ?? [];
  if (hook !== undefined) return state.hooks.answer(hook, req, res);
  const { pathname: path, searchParams: query } = new URL(req.url ?? '/', 'http://simulator');
  const route = `${req.method} ${path}`;
  const text = await readBody(req);
  if (path.startsWith('/__simulator/')) return control(state, { route, query }, text, res);
  if (StripeApi.owns(path)) return state.stripe.handle(path, query.toString(), req, text, res);
  const body = parse(text);
  if (path.startsWith('/whatsapp/')) return state.cloud.answer(path.slice('/whatsapp'.length), req, body, res);
  const found = findWire(req.method ?? '', path);
  const wire = found?.wire;
  const seen = state.log.add({
    provider: wire?.name ?? 'unknown',
    method: req.method ?? '',
    path,
    headers: req.headers,
    auth: authForm(req.headers),
    body: text.length > KEPT_BODY_MAX ? text.slice(0, KEPT_BODY_MAX) : (body ?? text),
    model: typeof body?.['model'] === 'string' ? body['model'] : '',
    remotePort: req.socket.remotePort ?? 0,
  });
  const closed = new AbortController();
  res.once('close', () => {
    state.log.end(seen, res.writableFinished || seen.cut);
    closed.abort();
  });
  if (!wire) return json(res, seen, 404, { error: { message: `The simulator knows no ${route}.` } });
  const { other } = found;
  if (other && req.method === 'GET') return json(res, seen, 200, other({}, path));
  if (!body) {
    return json(
      res,
      seen,
      400,
      wire.failure({
        status: 400,
        type: 'invalid_request_error',
        code: 'invalid_json',
        message: 'The body is not a JSON object.',
      }),
    );
  }
  const onContent = () => {
    seen.contents++;
    state.log.changed();
  };
  const at = { res, wire, seen, onContent, closed: closed.signal };
  if (other) {
    const script = state.faults.next('process', state.script);
    return play({ ...at, script, answer: { pieces: 1, whole: () => other(body, path) } });
  }
  const { ask, script } = scriptFor(state, wire.ask(body, path), wire);
  seen.model = ask.model;
  const reply = replyTo(ask, script);
  const whole = () => wire.whole(reply);
  await play({ ...at, script, answer: ask.stream ? { ask, reply } : { pieces: reply.parts.length, whole } });
}

interface Found {
  wire: Wire;
  /** Undefined for a chat call. */
  other?: Wire['others'][string] | undefined;
}

/** Whose path it is: that of the provider it begins with, else that of the first whose path it is. */
function findWire(method: string, path: string): Found | undefined {
  const named = WIRES.find(({ name }) => path.startsWith(`/${name}/`));
  const route = `${method} ${named ? path.slice(named.name.length + 1) : path}`;
  for (const wire of named ? [named] : WIRES) {
    if (wire.chat.some((pattern) => matches(pattern, route))) return { wire };
    const other = Object.entries(wire.others).find(([pattern]) => matches(pattern, route));
    if (other) return { wire, other: other[1] };
  }
  return undefined;
}

function matches(pattern: string, route: string): boolean {
  const [before = '', after] = pattern.split('*');
  if (after === undefined) return pattern === route;
  const length = before.length + after.length;
  return (
    route.length > length &&
    route.startsWith(before) &&
    route.endsWith(after) &&
    !route.slice(before.length, route.length - after.length).includes('/')
  );
}

/** The process script, under what the model name says, under what the prompt says. */
function scriptFor(state: State, ask: Ask, wire: Wire): { ask: Ask; script: Script } {
  const ofModel = scriptOfModel(ask.model);
  const ofPrompt = scriptOfPrompt(ask.prompt);
  const key = ofPrompt ? `${wire.name} ${ask.prompt}` : ofModel ? `${wire.name} ${ask.model}` : 'process';
  const script = state.faults.next(key, { ...state.script, ...ofModel, ...ofPrompt?.script });
  return { ask: ofPrompt ? { ...ask, prompt: ofPrompt.prompt } : ask, script };
}

function control(
  state: State,
  { route, query }: { route: string; query: URLSearchParams },
  text: string,
  res: ServerResponse,
): void {
  const [, hook] = /^PUT \/__simulator\/hooks\/([^/]+)$/.exec(route) ?? [];
  const reply = (status: number, value: unknown) =>
    void res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  if (hook !== undefined) return reply(200, state.hooks.script(hook, parse(text) ?? {}));
  const [, number] = /^PUT \/__simulator\/cloud\/(\d+)$/.exec(route) ?? [];
  if (number !== undefined) return reply(200, state.cloud.script(number, parse(text) ?? {}));
  const [, verb] = /^POST \/__simulator\/stripe\/([a-z]+)$/.exec(route) ?? [];
  if (verb !== undefined) return reply(200, state.stripe.control(verb, readForm(query.toString())));
  switch (route) {
    case 'PUT /__simulator/stripe':
      return reply(200, state.stripe.setScript(parse(text) ?? {}));
    case 'GET /__simulator/stripe':
      return reply(200, state.stripe.control('', {}));
    case 'GET /__simulator/cloud':
      return reply(200, state.cloud.read(query));
    case 'GET /__simulator/hooks':
      return reply(200, state.hooks.read(query));
    case 'PUT /__simulator/script':
      setScript(state, readScript(parse(text)));
      return reply(200, state.script);
    case 'GET /__simulator/seen':
      return reply(200, { counts: state.log.counts, seen: state.log.list() });
    case 'DELETE /__simulator/seen':
      state.log.clear();
      return reply(200, { counts: state.log.counts });
    default:
      return reply(404, { error: `The simulator knows no ${route}.` });
  }
}

function json(res: ServerResponse, seen: Seen, status: number, value: unknown): void {
  seen.status = status;
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function refuse(res: ServerResponse, error: unknown): void {
  if (res.headersSent) return void res.destroy();
  const status = error instanceof ScriptError ? 400 : error instanceof RangeError ? 413 : 500;
  const message = error instanceof Error ? error.message : String(error);
  res
    .writeHead(status, { 'content-type': 'application/json', connection: 'close' })
    .end(JSON.stringify({ error: { message } }));
}

async function readBody(req: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of req as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > BODY_MAX) throw new RangeError(`The body is larger than ${BODY_MAX} bytes.`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parse(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
