import { EventBus } from './event-bus.ts';
import { type FetchFunction, Http, type Method, type RequestOptions } from './http.ts';
import { Jobs } from './jobs.ts';
import { LiveSocket, type LiveSocketOptions } from './live-socket.ts';
import type { WebSocketConstructor } from './live-connection.ts';
import { memoryStorage, type Storage } from './storage.ts';
import { type TokenAnswer, TokenKeeper, type Tokens } from './tokens.ts';
import type { MatchingEventType, Session, User, Workspace, WorkspaceEvent } from './types.ts';
import { watchState, type WatchOptions } from './watch.ts';
import { isObject } from './wire.ts';
import { WorkspaceEvents } from './workspace-events.ts';

export interface BackendClientOptions {
  /** `https://host[:port]`, without `/api`. */
  baseUrl: string;
  /** A session got elsewhere. */
  tokens?: Tokens | undefined;
  /** Where the session is kept; in memory if left out. */
  storage?: Storage | undefined;
  fetch?: FetchFunction | undefined;
  /** `null`: never use one. */
  WebSocket?: WebSocketConstructor | null | undefined;
  /** Whose data; the caller's default workspace if left out. */
  workspaceId?: string | undefined;
  bus?: EventBus | undefined;
  /** For one try of a request; default 30 000. */
  timeoutMs?: number | undefined;
  tries?: number | undefined;
  backoffBaseMs?: number | undefined;
  backoffCapMs?: number | undefined;
  /** Told of each try of a request that failed and is made again, and after how long. */
  onRetry?: ((error: unknown, waitMs: number) => void) | undefined;
  live?: Pick<LiveSocketOptions, 'connectTimeoutMs' | 'silenceMarginMs' | 'drainSpreadMs'> | undefined;
}

export interface Credentials {
  email: string;
  password: string;
}

/** Something of the workspace that changes until it is over, and the events that tell of it. */
export interface Watched<State, Pattern extends string> {
  /** `GET` gives its state. */
  path: string;
  query?: RequestOptions['query'];
  /** The events after which it is read again (`*` is one segment, `**` any number). */
  events: Pattern;
  /** Which of them are about it; all, if left out. */
  isAbout?: ((event: WorkspaceEvent<MatchingEventType<Pattern>>) => boolean) | undefined;
  isOver: (state: State) => boolean;
}

export interface Registration extends Credentials {
  name: string;
  workspaceName?: string;
}

/** A reading that takes longer is given up and made again. */
const READ_MS = 10_000;

/** The backend, from a page, a service worker or Node. */
export class BackendClient {
  readonly baseUrl: string;
  /** `auth.*`, `socket.state`, `live.<event>` and `error`. */
  readonly bus: EventBus;
  readonly jobs: Jobs;
  readonly events: WorkspaceEvents;
  workspaceId: string | undefined;
  readonly #http: Http;
  readonly #tokens: TokenKeeper;
  readonly #options: BackendClientOptions;
  readonly #WebSocket: WebSocketConstructor | undefined;
  #live: LiveSocket | undefined;

  /** @throws TypeError when `baseUrl` is no http(s) address. */
  constructor(options: BackendClientOptions) {
    this.#options = options;
    this.baseUrl = readBaseUrl(options.baseUrl);
    this.bus = options.bus ?? new EventBus();
    this.workspaceId = options.workspaceId;
    this.#http = new Http({
      baseUrl: this.baseUrl,
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
      workspaceId: () => this.workspaceId,
      timeoutMs: options.timeoutMs,
      tries: options.tries,
      backoffBaseMs: options.backoffBaseMs,
      backoffCapMs: options.backoffCapMs,
      onRetry: options.onRetry,
    });
    this.#tokens = new TokenKeeper({
      storage: options.storage ?? memoryStorage(),
      key: `whatshybrid.session:${this.baseUrl}`,
      bus: this.bus,
      initial: options.tokens,
      // Short tries: the backend answers a used refresh token again only for 30 s after it was rotated.
      refresh: (refreshToken) =>
        this.#open<TokenAnswer>('/api/auth/refresh', { refreshToken }, { timeoutMs: 6000, tries: 5 }),
    });
    this.#http.useTokens(this.#tokens);
    this.#WebSocket = options.WebSocket === null ? undefined : (options.WebSocket ?? globalThis.WebSocket);
    this.jobs = new Jobs(this.#http, this.#WebSocket && (() => this.live), this.bus);
    this.events = new WorkspaceEvents(
      () => this.live,
      (error) => this.bus.emit('error', { error }),
    );
  }

  /**
   * The live socket; it connects when it is first used.
   * @throws TypeError where there is no WebSocket.
   */
  get live(): LiveSocket {
    if (this.#live) return this.#live;
    if (!this.#WebSocket) throw new TypeError('There is no WebSocket here; pass one to BackendClient.');
    this.#live = new LiveSocket({
      url: `${this.baseUrl.replace(/^http/, 'ws')}/api/ws`,
      tokens: this.#tokens,
      bus: this.bus,
      WebSocket: this.#WebSocket,
      workspaceId: () => this.workspaceId,
      backoffBaseMs: this.#options.backoffBaseMs,
      backoffCapMs: this.#options.backoffCapMs,
      ...this.#options.live,
    });
    return this.#live;
  }

  /** @throws ApiError 401 when e-mail or password are wrong. */
  login(credentials: Credentials, options: RequestOptions = {}): Promise<Session> {
    return this.#signIn('/api/auth/login', credentials, options);
  }

  /** @throws ApiError 409 when the e-mail is taken, 400 with `errors` when a field is wrong. */
  register(registration: Registration, options: RequestOptions = {}): Promise<Session> {
    return this.#signIn('/api/auth/register', registration, options);
  }

  /** Ends the session here, also when the backend cannot be told (its error is thrown then). */
  async logout(options: RequestOptions = {}): Promise<void> {
    this.#live?.close();
    try {
      if (await this.isSignedIn()) await this.request('POST', '/api/auth/logout', undefined, options);
    } finally {
      await this.#tokens.clear('logout');
    }
  }

  me(options: RequestOptions = {}): Promise<User & { workspace: Workspace }> {
    return this.request('GET', '/api/auth/me', undefined, options);
  }

  /** Whether there is a session; says nothing on whether the backend still accepts it. */
  async isSignedIn(): Promise<boolean> {
    return (await this.#tokens.current()) !== undefined;
  }

  /**
   * Any request of the contract, as the signed-in user. A Blob as the body is sent as it is, anything else as JSON.
   * @throws ApiError with the backend's problem, NetworkError when no answer came, the signal's reason.
   */
  request<T>(method: Method, path: string, body?: unknown, options: RequestOptions = {}): Promise<T> {
    return this.#http.json(method, path, body, options);
  }

  /**
   * The answer to a GET, its body unread: for files, which may be large.
   * @throws as `request` does.
   */
  download(path: string, options: RequestOptions = {}): Promise<Response> {
    return this.#http.open('GET', path, options);
  }

  /**
   * Tells a state as it is, again whenever it has changed, and ends after telling the one in which it is over: a campaign's progress, an
   * operation. Events say when to look; without a socket, and while the backend is away, it is looked at from time to time.
   * @throws ApiError when it is gone or not ours to see, the signal's reason when it aborts.
   */
  watch<State, Pattern extends string>(
    { path, query, events, isAbout = () => true, isOver }: Watched<State, Pattern>,
    options: WatchOptions = {},
  ): AsyncGenerator<State, void> {
    const listen = (changed: () => void) => {
      const stops = [
        this.events.on(events, (event) => (isAbout(event) ? changed() : undefined)),
        this.events.onResync(changed),
        // What happened before it was there is not all told.
        this.bus.on('socket.state', (payload) =>
          isObject(payload) && payload['state'] === 'ready' ? changed() : undefined,
        ),
      ];
      return () => stops.forEach((stop) => stop());
    };
    return watchState<State>(
      {
        read: (signal) => this.#http.json('GET', path, undefined, { query, signal, tries: 1, timeoutMs: READ_MS }),
        isOver,
        listen: this.#WebSocket && listen,
      },
      options,
    );
  }

  /** Ends the live connection; the session stays. */
  close(): void {
    this.#live?.close();
  }

  async #signIn(path: string, body: unknown, options: RequestOptions): Promise<Session> {
    const session = await this.#open<Session>(path, body, options);
    await this.#tokens.adopt(session);
    // A connection of whoever was signed in before must not be used for this one.
    this.#live?.close();
    this.events.restart();
    this.bus.emit('auth.signed-in', { userId: session.user.id });
    return session;
  }

  #open<T>(path: string, body: unknown, options: RequestOptions): Promise<T> {
    return this.#http.json('POST', path, body, { ...options, authenticate: false });
  }
}

function readBaseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(`baseUrl must look like https://host:port, not "${text}".`);
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}
