import type { WebSocket } from 'ws';
import type { StreamEvent } from '#src/streams/cursor.ts';
import type { Watch } from '#src/streams/reader.ts';
import { Close } from '#src/modules/live/frames.ts';

const LAGGING_BYTES = 256 * 1024;
const DRAINED_BYTES = 64 * 1024;
const TOO_MUCH_BYTES = 1024 * 1024;
const LAGGING_MS = 30_000;
const FAREWELL_MS = 3000;

/** Writes to one socket without ever holding more than about 1 MiB for it. */
export interface Outbound {
  send(message: object): void;
  /** @returns false when the socket reads too slowly; the watch is then resumed by this object. */
  event(topic: string, event: StreamEvent, watch: () => Watch | null): boolean;
  close(): void;
}

/**
 * A slow socket costs no memory: past 256 KiB its watches pause, and the job's log in Redis is its buffer. Once drained they
 * go on from where they stopped. One that does not drain within 30 s, or has 1 MiB waiting, is closed with 4413 and may resume.
 */
export function createOutbound(socket: WebSocket): Outbound {
  const paused = new Set<() => Watch | null>();
  let timer: NodeJS.Timeout | undefined;

  const cut = (): void => {
    socket.close(Close.tooSlow, 'reads too slowly');
    // The close waits behind what was not read; so would the memory.
    setTimeout(() => socket.terminate(), FAREWELL_MS).unref();
  };
  const drained = (): void => {
    if (paused.size === 0) return;
    if (socket.bufferedAmount > DRAINED_BYTES) return;
    clearTimeout(timer);
    timer = undefined;
    const watches = [...paused];
    paused.clear();
    for (const watch of watches) watch()?.resume();
  };
  const write = (text: string): void => {
    if (socket.readyState !== socket.OPEN) return;
    socket.send(text, drained);
    if (socket.bufferedAmount > TOO_MUCH_BYTES) cut();
  };
  return {
    send: (message) => write(JSON.stringify(message)),
    event(topic, event, watch) {
      write(`{"type":"event","topic":"${topic}","id":"${event.id}","event":"${event.event}","data":${event.data}}`);
      if (socket.bufferedAmount <= LAGGING_BYTES) return true;
      paused.add(watch);
      timer ??= setTimeout(cut, LAGGING_MS);
      return false;
    },
    close: () => clearTimeout(timer),
  };
}
