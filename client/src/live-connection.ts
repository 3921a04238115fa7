import { isObject } from './wire.ts';

export interface SocketEventLike {
  readonly type: string;
  readonly data?: unknown;
  readonly code?: number;
  readonly reason?: string;
}

/** The part of the WebSocket API that is used; the browser's, the service worker's and Node's own all have it. */
export interface WebSocketLike {
  readonly readyState: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: string, listener: (event: SocketEventLike) => void): void;
}
export type WebSocketConstructor = new (url: string) => WebSocketLike;

export type Frame = Record<string, unknown> & { type: string };

export interface ConnectionHandlers {
  onOpen(): void;
  onFrame(frame: Frame): void;
  /** Called once, however the connection ended; code 1006 when it was cut or fell silent. */
  onEnd(code: number, reason: string): void;
}

const OPEN = 1;
const CUT = 1006;

/** One physical socket: frames in and out, pings answered, silence noticed. */
export class LiveConnection {
  readonly #socket: WebSocketLike;
  readonly #handlers: ConnectionHandlers;
  #silenceMs: number;
  #watch: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  /** `silenceMs`: after so long without a frame the connection counts as dead (half-open sockets never say so). */
  constructor(WebSocketClass: WebSocketConstructor, url: string, silenceMs: number, handlers: ConnectionHandlers) {
    this.#handlers = handlers;
    this.#silenceMs = silenceMs;
    this.#socket = new WebSocketClass(url);
    this.#socket.addEventListener('open', () => {
      this.#heard();
      if (!this.#ended) handlers.onOpen();
    });
    this.#socket.addEventListener('message', (event) => this.#onMessage(event.data));
    this.#socket.addEventListener('close', (event) => this.#end(event.code ?? CUT, event.reason ?? ''));
    // `close` follows and says the same; without a listener some implementations throw.
    this.#socket.addEventListener('error', () => {});
    this.#heard();
  }

  /** Sets the silence that is allowed from now on. */
  allowSilence(silenceMs: number): void {
    this.#silenceMs = silenceMs;
    this.#heard();
  }

  /** Sends one frame; false when the socket is not open any more. */
  send(text: string): boolean {
    if (this.#ended || this.#socket.readyState !== OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  /** Closes, and ends at once: a dead peer would let the closing handshake hang for a minute. */
  close(code: number, reason: string, asCode = code): void {
    if (this.#ended) return;
    this.#end(asCode, reason);
    this.#socket.close(code, reason);
  }

  #onMessage(text: unknown): void {
    if (this.#ended) return;
    this.#heard();
    const frame = parseFrame(text);
    if (!frame) return;
    if (frame.type === 'ping') this.send('{"type":"pong"}');
    else this.#handlers.onFrame(frame);
  }

  #heard(): void {
    clearTimeout(this.#watch);
    if (this.#ended) return;
    this.#watch = setTimeout(() => this.close(4000, 'nothing was heard', CUT), this.#silenceMs);
  }

  #end(code: number, reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#watch);
    this.#handlers.onEnd(code, reason);
  }
}

function parseFrame(text: unknown): Frame | undefined {
  if (typeof text !== 'string') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isFrame(value) ? value : undefined;
  } catch {
    // A frame nobody can read is dropped; what it held is found missing by its event's index.
    return undefined;
  }
}

function isFrame(value: unknown): value is Frame {
  return isObject(value) && typeof value['type'] === 'string';
}
