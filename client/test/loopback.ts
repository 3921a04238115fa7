import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { ScriptedJob } from './scripted-job.ts';
import { Peer } from './peer.ts';

/** One request as it arrived. */
export interface Seen {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  body: Record<string, unknown>;
  at: number;
}

export interface Exchange extends Seen {
  response: ServerResponse;
  json: (status: number, body: unknown, headers?: Record<string, string>) => void;
  problem: (status: number, code: string, headers?: Record<string, string>) => void;
  /** Cuts the connection without an answer. */
  cut: () => void;
}

type Handler = (exchange: Exchange) => unknown;

/**
 * A backend as the client sees it over the network: real HTTP and WebSocket on a free loopback port, answering by the contract, with
 * switches for every way a network or a backend can misbehave.
 */
export class Loopback {
  readonly seen: Seen[] = [];
  readonly jobs = new Map<string, ScriptedJob>();
  readonly peers = new Set<Peer>();
  /** What a new job does; runs after the submit is answered. */
  script: (job: ScriptedJob) => unknown = () => {};
  /** Answers instead of the contract's handler while it returns anything but `undefined`. */
  intercept: (exchange: Exchange) => 'handled' | undefined = () => undefined;
  onPeer: (peer: Peer) => void = () => {};
  accessSeconds = 900;
  heartbeatMs = 20_000;
  graceMs = 30_000;
  readonly access = new Set<string>();
  readonly #refresh = new Map<string, { next: string | undefined; usedAt: number }>();
  readonly #byKey = new Map<string, ScriptedJob>();
  readonly #handlers = new Map<string, Handler>();
  readonly #server: Server;
  #count = 0;

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
    const sockets = new WebSocketServer({ server: this.#server, path: '/api/ws' });
    sockets.on('connection', (socket: WebSocket, request: IncomingMessage) => {
      const peer = new Peer(this, socket, request.headers.origin);
      this.peers.add(peer);
      socket.on('close', () => this.peers.delete(peer));
      this.onPeer(peer);
    });
    this.#routes();
  }

  static async open(): Promise<Loopback> {
    const loopback = new Loopback();
    await new Promise<void>((resolve) => loopback.#server.listen(0, '127.0.0.1', resolve));
    return loopback;
  }

  get baseUrl(): string {
    const address: AddressInfo | string | null = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('The loopback server is not open.');
    return `http://127.0.0.1:${address.port}`;
  }

  async close(): Promise<void> {
    for (const peer of this.peers) peer.socket.terminate();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Serves one more path. */
  route(method: string, path: string, handler: Handler): void {
    this.#handlers.set(`${method} ${path}`, handler);
  }

  count(method: string, path: string): number {
    return this.seen.filter((request) => request.method === method && request.path === path).length;
  }

  issue(): { token: string; refreshToken: string; expiresIn: number } {
    this.#count += 1;
    const token = `access-${this.#count}`;
    const refreshToken = `refresh-${this.#count}`;
    this.access.add(token);
    this.#refresh.set(refreshToken, { next: undefined, usedAt: 0 });
    return { token, refreshToken, expiresIn: this.accessSeconds };
  }

  /** Accepts a job; the same key gives the same job. */
  accept(engine: string, input: unknown, key: string | undefined): ScriptedJob {
    const known = key === undefined ? undefined : this.#byKey.get(key);
    if (known) return known;
    const job = new ScriptedJob(randomUUID(), engine, input);
    this.jobs.set(job.id, job);
    if (key !== undefined) this.#byKey.set(key, job);
    job.push('job.queued', { jobId: job.id });
    setImmediate(() => void this.script(job));
    return job;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://loopback');
    let text = '';
    for await (const piece of request.setEncoding('utf8')) text += String(piece);
    const body: Record<string, unknown> = text === '' ? {} : JSON.parse(text);
    const { headers, method = 'GET' } = request;
    const seen: Seen = { method, path: url.pathname, query: url.searchParams, headers, body, at: Date.now() };
    this.seen.push(seen);
    const json: Exchange['json'] = (status, value, extra = {}) => {
      response.writeHead(status, {
        'content-type': 'application/json',
        'x-request-id': 'req-1',
        ...cors(request),
        ...extra,
      });
      response.end(JSON.stringify(value));
    };
    const exchange: Exchange = {
      ...seen,
      response,
      json,
      problem: (status, code, extra) =>
        json(status, { type: `urn:p:${code}`, title: code, status, detail: code, code, message: code }, extra),
      cut: () => request.socket.destroy(),
    };
    if (method === 'OPTIONS') return json(200, {});
    if (this.intercept(exchange) === 'handled') return;
    const isOpen = /^\/api\/(auth\/(login|register|refresh)|health)$/.test(url.pathname);
    const bearer = headers.authorization?.replace('Bearer ', '') ?? '';
    if (!isOpen && !this.access.has(bearer)) return exchange.problem(401, 'unauthenticated');
    const handler = this.#handlers.get(`${method} ${url.pathname}`) ?? this.#jobRoute(exchange);
    if (!handler) return exchange.problem(404, 'not_found');
    await handler(exchange);
  }

  #routes(): void {
    const user = { id: randomUUID(), email: 'ana@example.com', name: 'Ana' };
    const workspace = { id: randomUUID(), name: 'Loja' };
    const signIn: Handler = ({ body, json, problem }) =>
      body['password'] === 'wrong password'
        ? problem(401, 'invalid_credentials')
        : json(200, { user, workspace, ...this.issue() });
    this.route('GET', '/api/health', ({ json }) => json(200, { status: 'ok' }));
    this.route('POST', '/api/auth/login', signIn);
    this.route('POST', '/api/auth/register', signIn);
    this.route('POST', '/api/auth/logout', ({ json }) => json(200, { signedOut: true }));
    this.route('GET', '/api/auth/me', ({ json }) => json(200, { ...user, workspace }));
    this.route('POST', '/api/auth/refresh', (exchange) => this.rotate(exchange));
  }

  /** Rotates a refresh token; within the grace the same token gets the same answer again. */
  rotate(exchange: Exchange): void {
    const entry = this.#refresh.get(String(exchange.body['refreshToken']));
    if (!entry) return exchange.problem(401, 'invalid_refresh_token');
    if (entry.next === undefined) {
      entry.next = JSON.stringify(this.issue());
      entry.usedAt = Date.now();
    } else if (Date.now() - entry.usedAt > this.graceMs) return exchange.problem(401, 'refresh_token_reused');
    return exchange.json(200, JSON.parse(entry.next));
  }

  #jobRoute({ method, path }: Seen): Handler | undefined {
    const [, engine] = /^\/api\/ai\/([\w-]+)$/.exec(path) ?? [];
    if (engine && method === 'POST') {
      return ({ json, body, headers }) => {
        const job = this.accept(engine, body, headers['idempotency-key']?.toString());
        const self = `/api/jobs/${job.id}`;
        json(202, {
          jobId: job.id,
          status: job.status,
          links: { self, events: `${self}/events`, cancel: `${self}/cancel` },
        });
      };
    }
    const [, jobId = '', verb] = /^\/api\/jobs\/([\w-]+)(?:\/(\w+))?$/.exec(path) ?? [];
    const job = this.jobs.get(jobId);
    if (!job) return undefined;
    if (method === 'GET' && verb === undefined) return ({ json }) => json(200, job.view());
    if (method === 'POST' && verb === 'cancel') {
      return ({ json }) => {
        job.cancel();
        json(202, { jobId });
      };
    }
    return method === 'GET' && verb === 'events' ? (exchange) => serveEvents(job, exchange) : undefined;
  }
}

function serveEvents(job: ScriptedJob, { response, headers }: Exchange): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const stop = job.listen(headers['last-event-id']?.toString(), (event) => {
    response.write(`id: ${event.id}\nevent: ${event.event}\ndata: ${JSON.stringify(event.data)}\n\n`);
    if (job.isOver && event === job.log.at(-1)) response.end();
  });
  response.on('close', stop);
}

function cors({ headers }: IncomingMessage): Record<string, string> {
  if (!headers.origin) return {};
  return {
    'access-control-allow-origin': headers.origin,
    'access-control-allow-headers': 'authorization, content-type, idempotency-key, x-workspace-id, last-event-id',
    'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
    'access-control-expose-headers': 'x-request-id, retry-after',
  };
}
