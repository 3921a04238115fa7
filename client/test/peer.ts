import type { WebSocket } from 'ws';
import type { LiveEvent } from '../src/types.ts';
import type { Loopback } from './loopback.ts';

type Frame = Record<string, unknown>;

/** One socket as the backend holds it. */
export class Peer {
  readonly socket: WebSocket;
  readonly origin: string | undefined;
  readonly frames: Frame[] = [];
  /** The token of the last good `auth`. */
  token: string | undefined;
  /** What becomes of one event on its way out. */
  deliver: (event: LiveEvent) => 'send' | 'twice' | 'lose' | 'cut' = () => 'send';
  /** Handles a frame instead of the contract while it returns true. */
  intercept: (frame: Frame) => boolean = () => false;
  readonly #loopback: Loopback;
  readonly #topics = new Map<string, () => void>();

  constructor(loopback: Loopback, socket: WebSocket, origin: string | undefined) {
    this.origin = origin;
    this.#loopback = loopback;
    this.socket = socket;
    socket.on('message', (bytes: Buffer) => this.#onFrame(JSON.parse(bytes.toString('utf8'))));
    socket.on('close', () => {
      for (const stop of this.#topics.values()) stop();
    });
  }

  send(frame: Frame): void {
    this.socket.send(JSON.stringify(frame));
  }

  reply(id: unknown, fields: Frame = {}): void {
    this.send({ type: 'reply', id, ok: true, ...fields });
  }

  refuse(id: unknown, status: number, code: string, more: Frame = {}): void {
    const problem = { type: 'about:blank', title: code, status, detail: code, code, message: code, ...more };
    this.send({ type: 'reply', id, ok: false, problem });
  }

  received(type: string): Frame[] {
    return this.frames.filter((frame) => frame['type'] === type);
  }

  subscribe(topic: string, lastEventId: string | undefined): void {
    this.#topics.get(topic)?.();
    const job = this.#loopback.jobs.get(topic.slice('job:'.length));
    if (job)
      this.#topics.set(
        topic,
        job.listen(lastEventId, (event) => this.#tell(event)),
      );
  }

  #tell(event: LiveEvent): void {
    const fate = this.deliver(event);
    if (fate === 'cut') return this.socket.terminate();
    if (fate === 'lose') return;
    this.send({ type: 'event', ...event });
    if (fate === 'twice') this.send({ type: 'event', ...event });
  }

  #onFrame(frame: Frame): void {
    this.frames.push(frame);
    if (this.intercept(frame)) return;
    const { id, type, topic, lastEventId } = frame;
    if (type === 'pong') return;
    if (type === 'auth') return this.#authenticate(frame);
    if (this.token === undefined) return this.socket.close(4401, 'not authenticated');
    if (type === 'submit') {
      const job = this.#loopback.accept(String(frame['engine']), frame['input'], frame['idempotencyKey']?.toString());
      this.reply(id, { jobId: job.id, status: job.status });
      this.subscribe(`job:${job.id}`, undefined);
    } else if (type === 'subscribe') {
      if (String(topic).startsWith('job:') && !this.#loopback.jobs.has(String(topic).slice(4))) {
        return this.refuse(id, 404, 'not_found');
      }
      this.reply(id);
      this.subscribe(String(topic), lastEventId?.toString());
    } else if (type === 'unsubscribe') {
      this.#topics.get(String(topic))?.();
      this.#topics.delete(String(topic));
      this.reply(id);
    } else this.reply(id);
  }

  #authenticate({ id, token }: Frame): void {
    if (typeof token !== 'string' || !this.#loopback.access.has(token)) {
      this.refuse(id, 401, 'unauthenticated');
      return this.socket.close(4401, 'not authenticated');
    }
    this.token = token;
    this.reply(id, {
      sessionId: 's',
      userId: 'u',
      workspaceId: 'w',
      role: 'owner',
      heartbeatMs: this.#loopback.heartbeatMs,
    });
  }
}
