import { ApiError, plainProblem, readProblem, SocketError } from './errors.ts';
import { fullJitterMs } from './timing.ts';
import type { Frame } from './live-connection.ts';

export interface CommandOptions {
  /** True when sending it twice does the same as once; then it survives a lost reply. Default false. */
  repeatable?: boolean | undefined;
  /** What to do while the socket is not ready: wait (default) or reject at once. */
  offline?: 'wait' | 'reject' | undefined;
  /** How long it may wait to be sent; default 15 000. */
  offlineWaitMs?: number | undefined;
  /** From sending to its reply; default 30 000. */
  timeoutMs?: number | undefined;
  /** Takes the command back while it is not sent; once it is, its reply is waited for. */
  signal?: AbortSignal | undefined;
  /** Called with the good reply before anything else that came after it is read. */
  onReply?: ((reply: Frame) => void) | undefined;
}

interface Command {
  id: string;
  text: string;
  repeatable: boolean;
  /** Sent over some connection. */
  sent: boolean;
  /** Sent over the present connection. */
  isUnderWay: boolean;
  /** How often the backend has refused it for now. */
  refusals: number;
  offlineWaitMs: number;
  timeoutMs: number;
  onReply: ((reply: Frame) => void) | undefined;
  settle(outcome: { reply: Frame } | { error: unknown }): void;
  arm(code: 'offline' | 'timeout', ms: number): void;
}

/** The contract's limit for one text frame. */
const MAX_FRAME_BYTES = 256 * 1024;
const MAX_WAITING = 200;
/** As over HTTP: busy or limited, with a word on when to come again. */
const RETRY_STATUS = new Set([429, 503]);
const MAX_REFUSALS = 4;
const LONGEST_WAIT_MS = 30_000;
const JITTER_MS = 250;

/** Commands on their way: those waiting to be sent and those waiting for their reply, matched by id. */
export class LiveCommands {
  readonly #commands = new Map<string, Command>();
  #lastId = 0;

  /** A frame with an id of its own, as text. */
  encode(type: string, fields: Record<string, unknown>): { id: string; text: string } {
    this.#lastId += 1;
    const id = String(this.#lastId);
    return { id, text: JSON.stringify({ ...fields, type, id }) };
  }

  /**
   * Takes a command; `send` (undefined while offline) tries to put it on the wire.
   * @throws SocketError when it cannot be sent in time or its reply is lost, ApiError when the backend refuses it.
   */
  add(
    type: string,
    fields: Record<string, unknown>,
    options: CommandOptions,
    send: ((text: string) => boolean) | undefined,
  ): Promise<Frame> {
    const { id, text } = this.encode(type, fields);
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal?.aborted) return reject(signal.reason);
      if (!send && options.offline === 'reject') return reject(new SocketError('offline', `${type}: not connected.`));
      const isTooLarge = text.length > MAX_FRAME_BYTES / 3 && new TextEncoder().encode(text).length > MAX_FRAME_BYTES;
      if (isTooLarge) return reject(new SocketError('too_large', `${type}: a frame may have 256 KiB at most.`));
      if (this.#commands.size >= MAX_WAITING) {
        return reject(new SocketError('too_many_waiting', `${type}: ${MAX_WAITING} commands wait already.`));
      }
      let timer: ReturnType<typeof setTimeout> | undefined;
      const onAbort = () => {
        if (!command.sent) command.settle({ error: signal?.reason });
      };
      const command: Command = {
        id,
        text,
        repeatable: options.repeatable ?? false,
        sent: false,
        isUnderWay: false,
        refusals: 0,
        offlineWaitMs: options.offlineWaitMs ?? 15_000,
        timeoutMs: options.timeoutMs ?? 30_000,
        onReply: options.onReply,
        settle: (outcome) => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', onAbort);
          this.#commands.delete(id);
          if ('reply' in outcome) resolve(outcome.reply);
          else reject(outcome.error);
        },
        arm: (code, ms) => {
          clearTimeout(timer);
          const message = `${type}: ${code === 'offline' ? 'not connected' : 'no reply'} within ${ms} ms.`;
          timer = setTimeout(() => command.settle({ error: new SocketError(code, message, command.sent) }), ms);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#commands.set(id, command);
      command.arm('offline', command.offlineWaitMs);
      if (send) this.#dispatch(command, send);
    });
  }

  /** Puts all that wait on the wire: the new ones and the repeatable ones whose reply was lost. */
  flush(send: (text: string) => boolean): void {
    for (const command of this.#commands.values()) this.#dispatch(command, send);
  }

  /** Takes a `reply` frame. What was refused for now is sent again when the backend said, by `send`. */
  reply(frame: Frame, send: (text: string) => boolean): void {
    const command = this.#commands.get(String(frame['id']));
    if (!command) return;
    if (frame['ok'] === true) {
      command.onReply?.(frame);
      command.settle({ reply: frame });
      return;
    }
    const error = replyError(frame);
    const { status, retryAfterMs = Infinity } = error;
    const isForNow = RETRY_STATUS.has(status) && retryAfterMs <= LONGEST_WAIT_MS && command.refusals < MAX_REFUSALS;
    if (isForNow) this.#holdBack(command, retryAfterMs + fullJitterMs(0, JITTER_MS, JITTER_MS), send);
    else command.settle({ error });
  }

  /** A refusal did nothing, so the command is as if it had not been sent. */
  #holdBack(command: Command, waitMs: number, send: (text: string) => boolean): void {
    command.refusals += 1;
    command.sent = false;
    command.arm('offline', waitMs + command.offlineWaitMs);
    setTimeout(() => {
      if (this.#commands.get(command.id) !== command) return;
      command.isUnderWay = false;
      this.#dispatch(command, send);
    }, waitMs);
  }

  /** The connection is gone: what was sent and must not be repeated fails, the rest waits for the next one. */
  dropped(): void {
    for (const command of this.#commands.values()) {
      command.isUnderWay = false;
      if (command.sent && !command.repeatable) {
        command.settle({
          error: new SocketError('reply_lost', 'The connection was lost before the reply came.', true),
        });
      }
    }
  }

  /** There will be no further connection: everything fails. */
  failAll(error: SocketError): void {
    for (const command of this.#commands.values()) {
      command.settle({ error: new SocketError(error.code, error.message, command.sent) });
    }
  }

  #dispatch(command: Command, send: (text: string) => boolean): void {
    if (command.isUnderWay || !send(command.text)) return;
    command.isUnderWay = true;
    command.sent = true;
    command.arm('timeout', command.timeoutMs);
  }
}

/** The error of a `reply` that is not ok. */
export function replyError(frame: Frame): ApiError {
  const problem = readProblem(frame['problem'], 500);
  return new ApiError(problem ?? plainProblem(500, 'refused', 'The backend refused the command without a reason.'));
}
