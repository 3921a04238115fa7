import type { FastifyReply } from 'fastify';
import { AppError } from '#src/errors.ts';
import type { Access } from '#src/http/access.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { StreamEvent } from '#src/streams/cursor.ts';
import type { Sink, Watch } from '#src/streams/reader.ts';

const KEEP_ALIVE_MS = 15_000;
const STALLED_MS = 30_000;

/** A reply that has become an event stream (WHATWG "Server-sent events"). */
export interface EventStream {
  sink: Sink;
  send(event: StreamEvent): void;
  /** To be called with the watch that fills the sink; it is closed when the client goes. */
  attach(watch: Watch): void;
}

/** Who reads a stream, for as long as they may. */
export interface Listener {
  auth: Auth;
  /** Whether they may still, as who they are by then. */
  stillMay: (now: Auth) => boolean;
}

/**
 * Takes the reply over. It ends within two seconds of its reader's session, key or right to read. A client that reads too slowly pauses its watch, and is cut after 30 s; it may resume by Last-Event-ID.
 * @param rt `closing` ends the stream, so that a server that closes does not wait for the job; its client resumes in the same way.
 */
export function openEventStream(
  reply: FastifyReply,
  { closing, access }: { closing: AbortSignal; access: Pick<Access, 'follow'> },
  { auth, stillMay }: Listener,
): EventStream {
  const { raw } = reply;
  let watch: Watch | null = null;
  let isGone = false;
  reply.hijack();
  // What hooks have set would be lost by writing the raw response.
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value);
  raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  raw.flushHeaders();
  const keepAlive = setInterval(() => raw.write(': keep-alive\n\n'), KEEP_ALIVE_MS);
  let stalled: NodeJS.Timeout | undefined;
  raw.on('drain', () => {
    clearTimeout(stalled);
    stalled = undefined;
    watch?.resume();
  });
  raw.on('error', () => undefined);
  const end = (): void => void raw.end();
  if (closing.aborted) end();
  closing.addEventListener('abort', end);
  const unfollow = access.follow(auth, (now) => {
    if (now instanceof AppError || !stillMay(now)) end();
  });
  raw.on('close', () => {
    isGone = true;
    closing.removeEventListener('abort', end);
    unfollow();
    clearInterval(keepAlive);
    clearTimeout(stalled);
    watch?.close();
  });
  const send = (event: StreamEvent): boolean => {
    const isTaken = raw.write(`id: ${event.id}\nevent: ${event.event}\ndata: ${event.data}\n\n`);
    if (!isTaken) stalled ??= setTimeout(() => raw.destroy(), STALLED_MS);
    return isTaken;
  };
  return {
    sink: { deliver: send, over: () => raw.end() },
    send,
    attach(given) {
      watch = given;
      if (isGone) given.close();
    },
  };
}
