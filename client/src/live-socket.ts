import { ApiError, SocketError } from './errors.ts';
import { BEFORE_ALL } from './event-id.ts';
import type { EventBus } from './event-bus.ts';
import { type CommandOptions, LiveCommands, replyError } from './live-commands.ts';
import { type Frame, LiveConnection, type WebSocketConstructor } from './live-connection.ts';
import { LiveSubscription, LiveTopics, type Subscription, TopicCursor, type TopicListener } from './live-topics.ts';
import { fullJitterMs } from './timing.ts';
import type { TokenKeeper } from './tokens.ts';
import { isJobStatus } from './wire.ts';
import type { EngineInput, JobOptions, JobStatus, LiveEvent } from './types.ts';

export type SocketState = 'idle' | 'connecting' | 'ready' | 'waiting' | 'stopped';

export interface LiveSocketOptions {
  /** `ws://…/api/ws` or `wss://…`. */
  url: string;
  tokens: Pick<TokenKeeper, 'access' | 'renew' | 'current'>;
  bus: EventBus;
  WebSocket: WebSocketConstructor;
  workspaceId?(): string | undefined;
  backoffBaseMs?: number | undefined;
  backoffCapMs?: number | undefined;
  /** From the first byte to the accepted `auth`; default 10 000. */
  connectTimeoutMs?: number | undefined;
  /** Silence allowed beyond two heartbeats; default 5 000. */
  silenceMarginMs?: number | undefined;
  /** A draining server (1012) sends all its sockets away at once: they come back spread over this time; default 2 000. */
  drainSpreadMs?: number | undefined;
}

export interface SubmitOptions extends CommandOptions {
  options?: JobOptions | undefined;
  idempotencyKey?: string | undefined;
  onEvent?: ((event: LiveEvent) => void) | undefined;
  /** Called before the first event is told. */
  onSubscribed?: ((subscription: Subscription) => void) | undefined;
  onError?: ((error: unknown) => void) | undefined;
}

export interface Submitted {
  jobId: string;
  status: JobStatus;
}

const DEFAULT_HEARTBEAT_MS = 20_000;
/** A connection that lived this long was a good one: the next wait starts from the shortest again. */
const GOOD_LIFE_MS = 5000;
const REAUTH_RETRY_MS = 5000;
const MAX_ORPHANS = 2000;

/** The live connection: it comes back by itself, resumes every topic where it was and tells each event once, in order. */
export class LiveSocket {
  readonly #options: LiveSocketOptions;
  readonly #commands = new LiveCommands();
  readonly #topics = new LiveTopics();
  #state: SocketState = 'idle';
  #connection: LiveConnection | undefined;
  #attempt = 0;
  #refusals = 0;
  #rejectedToken: string | undefined;
  #readySince = 0;
  /** The `auth` sent last. */
  #auth: { id: string; token: string } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reauthTimer: ReturnType<typeof setTimeout> | undefined;
  #submitting = 0;
  /** Events of jobs whose `submit` has no reply yet: the first may overtake it. */
  #orphans: LiveEvent[] = [];

  constructor(options: LiveSocketOptions) {
    this.#options = options;
  }

  get state(): SocketState {
    return this.#state;
  }

  /** Starts connecting, also again after it was closed or has stopped; commands and subscriptions do it by themselves. */
  connect(): void {
    if (this.#state === 'connecting' || this.#state === 'ready') return;
    clearTimeout(this.#timer);
    this.#refusals = 0;
    void this.#open();
  }

  /** Ends the connection and all that waits on it. */
  close(): void {
    this.#stop(new SocketError('closed', 'The live connection was closed.'), 'idle');
  }

  /**
   * Sends one command and gives its reply.
   * @throws SocketError when it could not be sent or its reply was lost, ApiError when the backend refused it.
   */
  command(type: string, fields: Record<string, unknown>, options: CommandOptions = {}): Promise<Frame> {
    this.#wake();
    return this.#commands.add(type, fields, options, this.#state === 'ready' ? this.#send : undefined);
  }

  /** Asks for a job. Sent again with the same idempotency key when its reply was lost, so it runs once. */
  async submit<Engine extends string>(
    engine: Engine,
    input: EngineInput<Engine>,
    options: SubmitOptions = {},
  ): Promise<Submitted> {
    const {
      options: jobOptions,
      idempotencyKey = crypto.randomUUID(),
      onEvent,
      onError,
      onSubscribed,
      ...command
    } = options;
    const fields = { engine, input, idempotencyKey, ...(jobOptions ? { options: jobOptions } : {}) };
    this.#submitting += 1;
    try {
      const reply = await this.command('submit', fields, {
        ...command,
        repeatable: true,
        onReply: (frame) => {
          if (!onEvent) return;
          const topic = `job:${String(frame['jobId'])}`;
          onSubscribed?.(this.#listen(topic, { lastEventId: BEFORE_ALL, onEvent, onError }, true));
          for (const event of this.#orphans) if (event.topic === topic) this.#topics.tell(event);
        },
      });
      const status = isJobStatus(reply['status']) ? reply['status'] : 'queued';
      return { jobId: String(reply['jobId']), status };
    } finally {
      this.#submitting -= 1;
      if (this.#submitting === 0) this.#orphans = [];
    }
  }

  /** Listens to a topic, across reconnects, until closed. */
  subscribe(topic: string, listener: TopicListener): Subscription {
    return this.#listen(topic, listener, false);
  }

  /** Goes back to just after `lastEventId` and hears everything from there again. */
  async rewind(subscription: Subscription, lastEventId: string): Promise<void> {
    const cursor = subscription instanceof LiveSubscription ? subscription.cursor : undefined;
    if (!cursor) return;
    cursor.isPaused = true;
    cursor.lastEventId = lastEventId;
    // Only the reply to `unsubscribe` proves that no event of the old subscription is still under way.
    await this.command('unsubscribe', { topic: subscription.topic }, { repeatable: true }).catch(() => {});
    cursor.isPaused = false;
    this.#resume(subscription.topic);
  }

  #wake(): void {
    if (this.#state === 'idle' || this.#state === 'stopped') this.connect();
  }

  #listen(topic: string, listener: TopicListener, isSubscribed: boolean): Subscription {
    const cursor = new TopicCursor(listener);
    this.#topics.add(topic, cursor);
    if (!isSubscribed) {
      this.#wake();
      this.#resume(topic);
    }
    return new LiveSubscription(topic, cursor, () => {
      if (!this.#topics.remove(topic, cursor) || this.#state !== 'ready') return;
      this.command('unsubscribe', { topic }).catch(() => {});
    });
  }

  #resume(topic: string): void {
    if (this.#state !== 'ready' || !this.#topics.has(topic)) return;
    const lastEventId = this.#topics.resumeFrom(topic);
    const fields = { topic, ...(lastEventId === undefined ? {} : { lastEventId }) };
    const onReply = (reply: Frame) => {
      if (typeof reply['lastEventId'] === 'string') this.#topics.begin(topic, reply['lastEventId']);
    };
    this.command('subscribe', fields, { onReply }).catch((error: unknown) => {
      // A lost connection is no answer: the next one subscribes again.
      if (error instanceof ApiError && error.status < 500 && error.status !== 429) this.#topics.fail(topic, error);
      else if (error instanceof SocketError && error.code === 'timeout') this.#resume(topic);
    });
  }

  readonly #send = (text: string): boolean => this.#connection?.send(text) ?? false;

  async #open(): Promise<void> {
    this.#setState('connecting');
    const { tokens, url, WebSocket, connectTimeoutMs = 10_000 } = this.#options;
    let token: string | undefined;
    try {
      token = await tokens.access();
      if (token !== undefined && token === this.#rejectedToken) token = await tokens.renew(token);
    } catch (error) {
      if (this.#state !== 'connecting') return;
      if (error instanceof ApiError && error.status < 500 && error.status !== 429) return this.#refuse(error.detail);
      return this.#retry(error instanceof Error ? error.message : String(error));
    }
    if (this.#state !== 'connecting' || this.#connection) return;
    if (token === undefined) return this.#refuse('Nobody is signed in.');
    const used = token;
    try {
      const connection: LiveConnection = new LiveConnection(WebSocket, url, connectTimeoutMs, {
        onOpen: () => this.#authenticate(connection, used),
        onFrame: (frame) => this.#onFrame(connection, frame),
        onEnd: (code, reason) => this.#onEnd(connection, code, reason),
      });
      this.#connection = connection;
    } catch (error) {
      this.#stop(new SocketError('bad_frame', `${url} is no WebSocket address: ${String(error)}`), 'stopped');
    }
  }

  #authenticate(connection: LiveConnection, token: string): void {
    const workspaceId = this.#options.workspaceId?.();
    const fields = { token, ...(workspaceId ? { workspaceId } : {}) };
    const { id, text } = this.#commands.encode('auth', fields);
    this.#auth = { id, token };
    connection.send(text);
  }

  #onAuthReply(frame: Frame, connection: LiveConnection, token: string): void {
    if (frame['ok'] !== true) {
      const error = replyError(frame);
      const code = error.status === 401 ? 4401 : error.status === 403 || error.status === 404 ? 4403 : 1006;
      return connection.close(1000, 'not accepted', code);
    }
    const heartbeatMs = typeof frame['heartbeatMs'] === 'number' ? frame['heartbeatMs'] : DEFAULT_HEARTBEAT_MS;
    connection.allowSilence(2 * heartbeatMs + (this.#options.silenceMarginMs ?? 5000));
    void this.#planReauth(connection, token);
    if (this.#state === 'ready') return;
    this.#rejectedToken = undefined;
    this.#refusals = 0;
    this.#readySince = Date.now();
    this.#setState('ready');
    for (const topic of this.#topics.names()) this.#resume(topic);
    this.#commands.flush(this.#send);
  }

  /** Sends `auth` with a fresh token before the one in use expires. */
  async #planReauth(connection: LiveConnection, token: string): Promise<void> {
    const tokens = await this.#options.tokens.current();
    if (!tokens?.refreshAt || this.#connection !== connection) return;
    const waitMs = tokens.token === token ? Math.max(0, tokens.refreshAt - Date.now()) : 0;
    clearTimeout(this.#reauthTimer);
    this.#reauthTimer = setTimeout(() => void this.#reauthenticate(connection, token), waitMs);
  }

  async #reauthenticate(connection: LiveConnection, token: string): Promise<void> {
    // When it cannot be renewed now the socket lives on with what it has; the backend closes it with 4401 in the end.
    const fresh = await this.#options.tokens.access().catch(() => undefined);
    if (this.#connection !== connection) return;
    if (fresh !== undefined && fresh !== token) return this.#authenticate(connection, fresh);
    this.#reauthTimer = setTimeout(() => void this.#reauthenticate(connection, token), REAUTH_RETRY_MS);
  }

  #onFrame(connection: LiveConnection, frame: Frame): void {
    if (frame.type === 'reply') {
      if (this.#auth && frame['id'] === this.#auth.id) this.#onAuthReply(frame, connection, this.#auth.token);
      else this.#commands.reply(frame, (text) => this.#state === 'ready' && this.#send(text));
    } else if (frame.type === 'event' || frame.type === 'resync') {
      const topic = String(frame['topic']);
      const event = frame.type === 'resync' ? 'resync' : String(frame['event']);
      const live: LiveEvent = {
        topic,
        id: typeof frame['id'] === 'string' ? frame['id'] : '',
        event,
        data: frame['data'],
      };
      if (this.#topics.has(topic)) this.#topics.tell(live);
      else if (this.#submitting > 0 && this.#orphans.length < MAX_ORPHANS) this.#orphans.push(live);
      this.#options.bus.emit(`live.${event}`, live);
    }
  }

  #onEnd(connection: LiveConnection, code: number, reason: string): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    clearTimeout(this.#reauthTimer);
    if (this.#state === 'ready' && Date.now() - this.#readySince >= GOOD_LIFE_MS) this.#attempt = 0;
    this.#commands.dropped();
    const why = reason || `closed with ${code}`;
    if (code === 4400)
      return this.#stop(new SocketError('bad_frame', `The backend refused a frame: ${why}.`), 'stopped');
    if (code === 4403) return this.#stop(new SocketError('forbidden', `The backend forbids it: ${why}.`), 'stopped');
    if (code === 4401) {
      this.#rejectedToken = this.#auth?.token;
      this.#refusals += 1;
      // A token fresh from the backend was refused as well: asking on and on would change nothing.
      if (this.#refusals > 2) return this.#refuse(why);
      if (this.#refusals === 1) return void this.#open();
    }
    const spreadMs = code === 1012 ? (this.#options.drainSpreadMs ?? 2000) : 0;
    this.#retry(why, Math.random() * spreadMs, code);
  }

  #retry(reason: string, extraMs = 0, code?: number): void {
    const { backoffBaseMs = 500, backoffCapMs = 30_000 } = this.#options;
    const waitMs = extraMs + fullJitterMs(this.#attempt, backoffBaseMs, backoffCapMs);
    this.#attempt += 1;
    this.#setState('waiting', { reason, code, waitMs });
    this.#timer = setTimeout(() => void this.#open(), waitMs);
  }

  #refuse(reason: string): void {
    this.#stop(new SocketError('unauthenticated', `The live connection needs a sign-in: ${reason}`), 'stopped');
  }

  #stop(error: SocketError, state: 'idle' | 'stopped'): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#reauthTimer);
    const connection = this.#connection;
    this.#connection = undefined;
    this.#attempt = 0;
    this.#setState(state, { reason: error.message, code: error.code });
    connection?.close(1000, 'closed by the client');
    this.#commands.failAll(error);
    for (const topic of this.#topics.names()) this.#topics.fail(topic, error);
  }

  #setState(state: SocketState, details: Record<string, unknown> = {}): void {
    if (this.#state === state && state !== 'waiting') return;
    this.#state = state;
    this.#options.bus.emit('socket.state', { state, attempt: this.#attempt, ...details });
  }
}
