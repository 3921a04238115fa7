import type { ServerResponse } from 'node:http';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Script } from './script.ts';
import type { Seen } from './seen.ts';
import { FAILURES, STREAM_FAILURE, type Ask, type Failure, type Reply, type Wire } from './wire.ts';

/** One answer under way: where it goes, what it says, and whether the client is still there. */
export interface Play {
  res: ServerResponse;
  wire: Wire;
  /** What is answered: the frames of a stream, or one JSON value made of `pieces` contents. */
  answer: Streamed | { pieces: number; whole: () => unknown };
  script: Script;
  seen: Seen;
  /** Called after each content sent. */
  onContent: () => void;
  /** Aborted when the connection is closed, by whomever. */
  closed: AbortSignal;
}

interface Streamed {
  ask: Ask;
  reply: Reply;
}

/** Waits, but not longer than the client. */
export async function pause(ms: number, closed: AbortSignal): Promise<void> {
  if (ms > 0 && !closed.aborted) await sleep(ms, undefined, { signal: closed }).catch(() => undefined);
}

function silence(closed: AbortSignal): Promise<void> {
  if (closed.aborted) return Promise.resolve();
  return new Promise((resolve) => closed.addEventListener('abort', () => resolve(), { once: true }));
}

/** Plays the script: the failure, or the answer with the fault in it. */
export async function play(at: Play): Promise<void> {
  const { res, script, closed, wire, seen } = at;
  await pause(script.headersMs ?? 0, closed);
  if (script.fault === 'hang') await silence(closed);
  if (closed.aborted) return;
  if (script.fault === 'reset' && script.after === 0) return breakOff(at);
  if (script.fault === 'html_502' || script.fault === 'html_200') return playHtml(at);
  const failure = failureOf(at);
  if (failure) {
    const waits = wire.waitHeaders === false ? {} : waitHeaders(script);
    const headers = { 'content-type': 'application/json', 'x-request-id': `req_${seen.id}`, ...waits };
    seen.status = failure.status;
    res.writeHead(failure.status, headers).end(JSON.stringify(wire.failure(failure)));
    return;
  }
  seen.status = 200;
  await ('reply' in at.answer ? playStream(at, at.answer) : playWhole(at, at.answer));
}

/** The failure that is asked for, as this provider has it. */
function failureOf({ wire, script }: Play): Failure | undefined {
  const { fault } = script;
  if (!fault) return undefined;
  const own = wire.failures?.[fault];
  const failure = own === undefined ? FAILURES[fault] : own;
  if (!failure) return undefined;
  return fault.startsWith('rate_limit') ? { ...failure, waitMs: waitMsOf(script) } : failure;
}

const waitMsOf = ({ retryAfterMs }: Script): number => retryAfterMs ?? 2000;

function playHtml({ res, script, seen }: Play): void {
  seen.status = script.fault === 'html_502' ? 502 : 200;
  res.writeHead(seen.status, { 'content-type': 'text/html' }).end('<html><body><h1>Bad gateway</h1></body></html>\n');
}

function waitHeaders(script: Script): Record<string, string> {
  const waitMs = waitMsOf(script);
  if (script.fault === 'rate_limit') return { 'retry-after': String(Math.ceil(waitMs / 1000)) };
  if (script.fault === 'rate_limit_date') return { 'retry-after': new Date(Date.now() + waitMs).toUTCString() };
  if (script.fault === 'rate_limit_ms')
    return { 'retry-after-ms': String(waitMs), 'retry-after': String(Math.ceil(waitMs / 1000)) };
  return {};
}

/** An answer that is not streamed: the faults strike in its one body, and the whole of it is one content. */
async function playWhole(at: Play, { pieces, whole }: { pieces: number; whole: () => unknown }): Promise<void> {
  const { res, wire, script, seen, closed, onContent } = at;
  const { fault } = script;
  await pause((script.firstMs ?? 0) + (script.chunkMs ?? 0) * pieces, closed);
  if (closed.aborted) return;
  const failed = fault === 'error_first' || fault === 'error_after';
  const body = JSON.stringify(failed ? wire.failure(wire.streamFailure ?? STREAM_FAILURE) : whole());
  res.writeHead(200, { 'content-type': 'application/json', 'x-request-id': `req_${seen.id}` });
  res.flushHeaders();
  if (fault === 'role_then_silence') return silence(closed);
  while (script.fault === 'keep_alive' && !closed.aborted) {
    res.write(' ');
    await pause(script.chunkMs || 10, closed);
  }
  const send = sender(at);
  const half = body.slice(0, body.length / 2);
  onContent();
  if (fault === 'truncated' || fault === 'truncated_mid_event') return void res.end(half);
  if (fault === 'reset') return void res.write(half, () => breakOff(at));
  await send(fault === 'silence_after' ? half : body);
  await send('');
  if (fault === 'silence_after') return silence(closed);
  res.end();
}

async function playStream(at: Play, { ask, reply }: Streamed): Promise<void> {
  const { res, wire, script, seen, closed } = at;
  res.writeHead(200, { 'content-type': wire.streamType, 'x-request-id': `req_${seen.id}` });
  res.flushHeaders();
  const send = sender(at);
  if (script.fault === 'error_first') return void res.end(wire.failureFrame(wire.streamFailure ?? STREAM_FAILURE));
  for (const frame of wire.opening(reply)) await send(frame);
  if (script.fault === 'role_then_silence') return silence(closed);
  while (script.fault === 'keep_alive' && !closed.aborted) {
    await send(wire.keepAlive(reply));
    await pause(script.chunkMs || 10, closed);
  }
  await pause(script.firstMs ?? 0, closed);
  if (await playContents(at, wire.contents(reply), send)) return;
  for (const frame of wire.closing(reply, ask)) await send(frame);
  await send('');
  res.end();
}

/** Sends the contents; true where a fault or the client ended the stream there. */
async function playContents(
  at: Play,
  contents: readonly string[],
  send: (frame: string) => Promise<void> | void,
): Promise<boolean> {
  const { script, seen, closed, onContent } = at;
  const strikes = ['truncated', 'truncated_mid_event', 'reset', 'error_after', 'silence_after'].includes(
    script.fault ?? '',
  );
  const stopAt = strikes ? (script.after ?? 1) : Infinity;
  for (const frame of contents) {
    if (closed.aborted) return true;
    if (seen.contents >= stopAt) break;
    if (seen.contents > 0 && script.chunkMs) await pause(script.chunkMs, closed);
    const sending = send(frame);
    if (sending) await sending;
    onContent();
  }
  if (strikes) await strike(at, contents[0] ?? '');
  return strikes || closed.aborted;
}

async function strike(at: Play, frame: string): Promise<void> {
  const { res, wire, script, closed } = at;
  if (script.fault === 'silence_after') return silence(closed);
  if (script.fault === 'truncated') return void res.end();
  if (script.fault === 'truncated_mid_event') return void res.end(frame.slice(0, frame.length - 10));
  if (script.fault === 'error_after') return void res.end(wire.failureFrame(wire.streamFailure ?? STREAM_FAILURE));
  // What was written must leave first, or the client would see the reset without the content.
  await setImmediate();
  breakOff(at);
}

function breakOff({ res, seen }: Play): void {
  seen.cut = true;
  res.socket?.destroy();
}

/** How frames become TCP segments under the faults of framing. An empty frame sends what was kept back. */
function sender({ res, script, closed }: Play): (frame: string) => Promise<void> | void {
  const plain = (frame: string | Uint8Array): Promise<void> | void => {
    if (frame.length > 0 && !closed.aborted && !res.write(frame)) return drained(res, closed);
  };
  if (script.fault === 'crlf') return (frame) => plain(frame.replaceAll('\n', '\r\n'));
  if (script.fault === 'merged_events') {
    let kept: string[] = [];
    return (frame) => {
      if (frame) kept.push(frame);
      if (frame && kept.length < 5) return;
      const joined = kept.join('');
      kept = [];
      return plain(joined);
    };
  }
  if (script.fault === 'byte_chunks' || script.fault === 'split_multibyte') {
    res.socket?.setNoDelay(true);
    const cutsAt = script.fault === 'byte_chunks' ? () => true : (byte: number) => (byte & 0xc0) === 0x80;
    return async (frame) => {
      for (const piece of cut(Buffer.from(frame), cutsAt)) {
        await plain(piece);
        await setImmediate();
      }
    };
  }
  return plain;
}

/** Cuts bytes before each one that `cutsAt` names. */
function cut(bytes: Buffer, cutsAt: (byte: number) => boolean): Buffer[] {
  const made: Buffer[] = [];
  let from = 0;
  for (let at = 1; at <= bytes.length; at++) {
    const byte = bytes[at];
    if (byte !== undefined && !cutsAt(byte)) continue;
    made.push(bytes.subarray(from, at));
    from = at;
  }
  return made;
}

async function drained(res: ServerResponse, closed: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  res.once('drain', resolve);
  closed.addEventListener('abort', () => resolve(), { once: true });
  await promise;
}
