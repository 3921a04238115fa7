import type { KeyObject } from 'node:crypto';
import type { Redis } from 'ioredis';
import { createCursor, type Cursor, type EndedJob, type ResumePoint, type StreamEvent } from '#src/streams/cursor.ts';
import {
  createFrameBox,
  formatPosition,
  parsePosition,
  streamChannel,
  streamKey,
  type FrameBox,
} from '#src/streams/frame.ts';

const PAGE = 200;
const SILENCE_MS = 10_000;
const SILENCE_WITHOUT_REDIS_MS = 1500;
const PATROL_MS = 1000;

/** Where a job's events go. */
export interface Sink {
  /** @returns false when the client reads too slowly: nothing more comes until `Watch.resume`. */
  deliver(event: StreamEvent): boolean;
  /** The last event was delivered. */
  over(): void;
}

export interface Watch {
  /** Goes on after `deliver` had returned false: what was missed is read from the log, which is the client's buffer. */
  resume(): void;
  /** The last event was delivered. */
  isOver(): boolean;
  close(): void;
}

export interface WatchedJob {
  workspaceId: string;
  id: string;
}

export interface StreamReader {
  /**
   * Follows a job. Resolves when live frames are being heard.
   * @param from the client's last event, null for all. With `isNew` the job is only just being accepted: the log is empty.
   */
  watch(job: WatchedJob, from: ResumePoint | null, sink: Sink, isNew?: boolean): Promise<Watch>;
  /** Jobs being followed, and clients following. */
  counts(): { jobs: number; watchers: number };
  close(): void;
}

export interface ReaderOptions {
  /** For commands; must fail fast. */
  redis: Redis;
  /** In subscriber mode, this reader's own. */
  subscriber: Redis;
  prefix: string;
  master: KeyObject;
  /** The jobs among these that are over. */
  findEnded(jobs: WatchedJob[]): Promise<(EndedJob & { id: string })[]>;
  /** Asks the worker for all text again. */
  requestResync(jobId: string): void;
  onError: (error: unknown) => void;
}

interface Watcher {
  sink: Sink;
  cursor: Cursor;
  /** `held`: live frames are only noted, because a replay is under way or the client lags. */
  mode: 'live' | 'replaying' | 'lagging' | 'closed';
  hasMissed: boolean;
}

interface Topic {
  job: WatchedJob;
  box: FrameBox;
  watchers: Set<Watcher>;
  heardAt: number;
  /** Resolves when Redis has confirmed the subscription, or failed to. */
  subscribed: Promise<unknown>;
}

// A function, because the compiler would otherwise think that a mode just set cannot have changed meanwhile.
const isReplaying = (watcher: Watcher): boolean => watcher.mode === 'replaying';

/** Reads the logs of jobs for all clients of this process over two Redis connections, whatever their number. */
export function createStreamReader(options: ReaderOptions): StreamReader {
  const { redis, subscriber, prefix, master } = options;
  const topics = new Map<string, Topic>();

  const drop = (topic: Topic, watcher: Watcher): void => {
    watcher.mode = 'closed';
    if (!topic.watchers.delete(watcher) || topic.watchers.size > 0) return;
    topics.delete(topic.job.id);
    void subscriber.unsubscribe(streamChannel(prefix, topic.job.id)).catch(() => undefined);
  };

  const deliver = (topic: Topic, watcher: Watcher, events: StreamEvent[]): void => {
    let isTaken = true;
    for (const event of events) isTaken = watcher.sink.deliver(event);
    if (watcher.cursor.isOver()) {
      drop(topic, watcher);
      watcher.sink.over();
    } else if (!isTaken) watcher.mode = 'lagging';
  };

  const deliverEnded = async (topic: Topic, watcher: Watcher): Promise<boolean> => {
    const [ended] = await options.findEnded([topic.job]);
    if (ended && watcher.mode !== 'closed') deliver(topic, watcher, watcher.cursor.takeEnded(ended));
    return ended !== undefined;
  };

  /** Reads one page after the cursor. @returns the entries it had. */
  const replayPage = async (topic: Topic, watcher: Watcher): Promise<number> => {
    const after = `(${formatPosition(watcher.cursor.position())}`;
    const entries = await redis.xrangeBuffer(streamKey(prefix, topic.job.id), after, '+', 'COUNT', PAGE);
    for (const [idBytes, fields] of entries) {
      const id = idBytes.toString();
      const position = parsePosition(id);
      const bytes = fields[1];
      if (watcher.mode !== 'replaying' || !position || !bytes) return 0;
      const events = watcher.cursor.take(position, topic.box.open(bytes, id), true);
      if (events === 'row') {
        await deliverEnded(topic, watcher);
        return 0;
      }
      if (events !== 'gap') deliver(topic, watcher, events);
    }
    return entries.length;
  };

  const replay = async (topic: Topic, watcher: Watcher, isFirst = false): Promise<void> => {
    if (watcher.mode === 'replaying') {
      watcher.hasMissed = true;
      return;
    }
    if (watcher.mode === 'closed') return;
    watcher.mode = 'replaying';
    try {
      let total = 0;
      do {
        watcher.hasMissed = false;
        for (let count = PAGE; count === PAGE && isReplaying(watcher); total += count) {
          count = await replayPage(topic, watcher);
        }
      } while (watcher.hasMissed && isReplaying(watcher));
      if (isFirst && total === 0 && isReplaying(watcher)) await deliverEnded(topic, watcher);
      if (isReplaying(watcher) && watcher.cursor.isLost()) options.requestResync(topic.job.id);
    } catch (error) {
      // Redis is away: the patrol asks Postgres, and its return replays again.
      options.onError(error);
    }
    if (isReplaying(watcher)) {
      watcher.mode = 'live';
      if (watcher.hasMissed) await replay(topic, watcher);
    }
  };

  const hear = (channel: string, message: Buffer): void => {
    const topic = topics.get(channel.slice(channel.indexOf('{j:') + 3, -1));
    const split = message.indexOf('|');
    if (!topic || split < 0) return;
    topic.heardAt = performance.now();
    const id = message.toString('latin1', 0, split);
    const position = parsePosition(id);
    if (!position) return;
    const frame = topic.box.open(message.subarray(split + 1), id);
    for (const watcher of topic.watchers) {
      if (watcher.mode !== 'live') {
        watcher.hasMissed = true;
        continue;
      }
      const events = watcher.cursor.take(position, frame, false);
      if (events === 'gap') void replay(topic, watcher);
      else if (events === 'row') void deliverEnded(topic, watcher).catch(options.onError);
      else deliver(topic, watcher, events);
    }
  };

  subscriber.on('messageBuffer', (channel: Buffer, message: Buffer) => {
    try {
      hear(channel.toString(), message);
    } catch (error) {
      options.onError(error);
    }
  });
  const replayAll = (): void => {
    for (const topic of topics.values()) {
      for (const watcher of topic.watchers) if (watcher.mode === 'live') void replay(topic, watcher);
    }
  };
  // A subscription asked for while Redis was away is not repeated by the client library.
  const subscribeAll = (): void => {
    const channels = [...topics.keys()].map((id) => streamChannel(prefix, id));
    if (channels.length === 0) return;
    void subscriber.subscribe(...channels).then(replayAll, options.onError);
  };
  redis.on('ready', replayAll);
  subscriber.on('ready', subscribeAll);

  // Nothing heard for a while: the end may have been told only to Postgres (Redis was away, or a cancel met a waiting job).
  const patrol = async (): Promise<void> => {
    const patienceMs = redis.status === 'ready' ? SILENCE_MS : SILENCE_WITHOUT_REDIS_MS;
    const now = performance.now();
    const silent = [...topics.values()].filter((topic) => now - topic.heardAt > patienceMs);
    if (silent.length === 0) return;
    for (const topic of silent) topic.heardAt = now;
    for (const ended of await options.findEnded(silent.map((topic) => topic.job))) {
      const topic = topics.get(ended.id);
      for (const watcher of topic?.watchers ?? []) {
        if (topic && watcher.mode !== 'lagging') deliver(topic, watcher, watcher.cursor.takeEnded(ended));
      }
    }
  };
  const timer = setInterval(() => void patrol().catch(options.onError), PATROL_MS).unref();

  return {
    async watch(job, from, sink, isNew = false) {
      let topic = topics.get(job.id);
      const watcher: Watcher = { sink, cursor: createCursor(job.id, from), mode: 'live', hasMissed: false };
      if (!topic) {
        const subscribed = subscriber.subscribe(streamChannel(prefix, job.id)).catch(options.onError);
        const box = createFrameBox(master, job.id);
        topic = { job, box, watchers: new Set(), heardAt: performance.now(), subscribed };
        topics.set(job.id, topic);
      }
      const followed = topic;
      followed.watchers.add(watcher);
      await followed.subscribed;
      if (!isNew) await replay(followed, watcher, true);
      return {
        resume() {
          if (watcher.mode !== 'lagging') return;
          watcher.mode = 'live';
          void replay(followed, watcher);
        },
        isOver: () => watcher.cursor.isOver(),
        close: () => drop(followed, watcher),
      };
    },
    counts: () => ({
      jobs: topics.size,
      watchers: [...topics.values()].reduce((sum, topic) => sum + topic.watchers.size, 0),
    }),
    close() {
      clearInterval(timer);
      redis.off('ready', replayAll);
      subscriber.off('ready', subscribeAll);
    },
  };
}
