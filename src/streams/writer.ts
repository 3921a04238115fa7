import type { KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Emission, Emitted } from '#src/streams/emit.ts';
import { createFrameBox, streamChannel, streamKey, type Frame } from '#src/streams/frame.ts';

const WINDOW_MS = 30;
const MAX_WINDOW_MS = 120;
const SLOW_EMIT_MS = 10;
const FLUSH_CHARS = 1024;
const LIVE_MS = 10 * 60_000;
const ENDED_MS = 120_000;
const MAX_FRAMES = 4096;
const MAX_BYTES = 512 * 1024;
/** Beyond this many frames an ended log is replaced by one snapshot: it is kept only for late readers. */
const KEEP_FRAMES = 64;
const END_PATIENCE_MS = 3000;

export interface StreamWriter {
  started(provider: string, model: string): void;
  /** Never waits: text is gathered and sent in the background, however slow Redis is. */
  text(delta: string): void;
  restarted(reason: string): void;
  /** A reader lost frames: sends all text since the last restart again, as one frame. */
  resync(): void;
  /** All text since the last restart. */
  shownText(): string;
  /** Sends what is left and the end. Gives up after 3 s without Redis: readers then find the end in Postgres. */
  ended(status: 'completed' | 'failed' | 'cancelled', view: unknown): Promise<void>;
  /** Sends what is left, when the attempt hands over without an end. */
  flushed(): Promise<void>;
}

export interface WriterOptions {
  emit: (emission: Emission) => Promise<Emitted>;
  prefix: string;
  master: KeyObject;
  jobId: string;
  attempt: number;
  /** A later attempt writes: this one has lost its lease and must stop. */
  onFenced: () => void;
}

/**
 * The output of one attempt, as entries `<attempt>-<seq>` of the job's log. The first text leaves at once, later text every
 * 30 ms or 1 KiB (a slow Redis widens the window up to 120 ms); one call is under way at a time, so order is kept and a slow
 * Redis makes larger frames, never a slower reading of the provider.
 */
export function createStreamWriter(options: WriterOptions): StreamWriter {
  const { emit, prefix, jobId, attempt, onFenced } = options;
  const key = streamKey(prefix, jobId);
  const channel = streamChannel(prefix, jobId);
  const box = createFrameBox(options.master, jobId);

  let seq = 0;
  let index = 0;
  let shown = '';
  let pending = '';
  let frames: Frame[] = [];
  let sentFrames = 0;
  let sentBytes = 0;
  let windowMs = WINDOW_MS;
  let lastDeltaAt = -Infinity;
  let sentText = '';
  let timer: NodeJS.Timeout | undefined;
  let isFenced = false;
  let giveUpAt = Infinity;
  let pumping: Promise<void> | null = null;

  const takePending = (): void => {
    if (pending === '') return;
    const last = frames.at(-1);
    if (last?.type === 'delta') last.text += pending;
    else {
      frames.push({ type: 'delta', index, text: pending });
      index += 1;
    }
    pending = '';
  };

  /** Seals the frames that wait as entries of one emission. */
  const take = (): Emission => {
    const entries: Emission['entries'] = [];
    let trimBefore: string | undefined;
    let lifeMs = LIVE_MS;
    const add = (frame: Frame): void => {
      seq += 1;
      const id = `${attempt}-${seq}`;
      const sealed = box.seal(frame, id);
      entries.push({ id, frame: sealed });
      if (frame.type === 'snapshot') {
        trimBefore = id;
        sentFrames = sentBytes = 0;
      }
      if (frame.type === 'ended') lifeMs = ENDED_MS;
      sentFrames += 1;
      sentBytes += sealed.length;
    };
    for (const frame of frames) {
      if (frame.type === 'delta') {
        if (sentFrames >= MAX_FRAMES || sentBytes >= MAX_BYTES) {
          add({ type: 'snapshot', index: frame.index, text: sentText });
        }
        sentText += frame.text;
        lastDeltaAt = performance.now();
      } else if (frame.type === 'restarted') sentText = '';
      add(frame);
    }
    frames = [];
    return { key, channel, entries, lifeMs, trimBefore };
  };

  const send = async (emission: Emission): Promise<void> => {
    for (let wait = 50; ; wait = Math.min(1000, wait * 2)) {
      const startedAt = performance.now();
      try {
        if ((await emit(emission)) === 'fenced') {
          isFenced = true;
          onFenced();
        }
        const isSlow = performance.now() - startedAt > SLOW_EMIT_MS;
        windowMs = isSlow ? Math.min(MAX_WINDOW_MS, windowMs * 2) : Math.max(WINDOW_MS, windowMs / 2);
        return;
      } catch {
        // The same frames under the same ids again: order is kept, and what had arrived counts as repeated.
        if (performance.now() > giveUpAt) {
          isFenced = true;
          return;
        }
        await sleep(wait);
      }
    }
  };

  const pump = async (): Promise<void> => {
    while (frames.length > 0) {
      if (isFenced) break;
      await send(take());
    }
    pumping = null;
  };

  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    takePending();
    if (!pumping && frames.length > 0 && !isFenced) pumping = pump();
  };

  const push = (frame: Frame): void => {
    takePending();
    frames.push(frame);
    flush();
  };

  const finish = async (): Promise<void> => {
    giveUpAt = performance.now() + END_PATIENCE_MS;
    flush();
    for (let under = pumping; under; under = pumping) await under;
  };

  return {
    started: (provider, model) => push({ type: 'started', provider, model }),
    text(delta) {
      shown += delta;
      pending += delta;
      const dueMs = lastDeltaAt + windowMs - performance.now();
      if (dueMs <= 0 || pending.length >= FLUSH_CHARS) flush();
      else timer ??= setTimeout(flush, dueMs);
    },
    restarted(reason) {
      pending = '';
      shown = '';
      index = 0;
      // Text not yet sent need not be sent to be voided.
      frames = frames.filter((frame) => frame.type !== 'delta');
      push({ type: 'restarted', reason });
    },
    resync() {
      takePending();
      push({ type: 'snapshot', index, text: shown });
    },
    shownText: () => shown,
    async ended(status, view) {
      if (sentFrames > KEEP_FRAMES) this.resync();
      push({ type: 'ended', status, view });
      await finish();
    },
    flushed: finish,
  };
}
