import { setImmediate as loopTurn } from 'node:timers/promises';
import type { FollowedEvent, FollowedPage } from '#src/events/feed.query.ts';
import type { StreamEvent } from '#src/streams/cursor.ts';
import type { Watch } from '#src/streams/reader.ts';

/** Events of one answer of the database. */
export const PAGE = 200;
/** After so many deliveries whatever else the process has to do gets its turn. */
const DELIVERIES_PER_TURN = 1000;

/** An event as clients see it; `about` is what decides who may see it, null for `resync`, which is everybody's. */
export interface FeedEvent extends StreamEvent {
  about: Pick<FollowedEvent, 'type' | 'actorId'> | null;
}

/** Where a workspace's events go. */
export interface EventSink {
  /** @returns false when the client reads too slowly: nothing more comes until `Watch.resume`. */
  deliver(event: FeedEvent): boolean;
  /** All there is so far was delivered. Called again after each time the client has lagged. */
  caughtUp?(): void;
}

export interface EventWatch extends Watch {
  /** Where it begins: what a client that hears nothing resumes from. */
  lastEventId: string;
}

interface Watcher {
  sink: EventSink;
  position: number;
  /** It was somewhere else before: whether the history reaches back to there is not known yet. */
  isUnproven: boolean;
  /** `live` gets what is read behind the topic's position, `behind` what was before it, `paused` nothing. */
  mode: 'paused' | 'behind' | 'live';
}

export interface FeedTopicOptions {
  /** Where the topic begins. */
  start: Promise<number>;
  readPage: (after: number) => Promise<FollowedPage>;
  /** Events up to here may be gone. */
  floor: () => number;
  onError: (error: unknown) => void;
}

/** One workspace's events in this process. */
export interface FeedTopic {
  /** @throws what the topic's start throws */
  watch(from: number | null, sink: EventSink, onClose: () => void): Promise<EventWatch>;
  /** There is an event at a position; those up to it are read unless they were. */
  ring(position: number): void;
  /** Reads again what could not be read. */
  retry(): void;
  watchers(): number;
}

const toFeedEvent = ({ id, position, type, actorId, data, occurredAt }: FollowedEvent): FeedEvent => ({
  id: String(position),
  event: type,
  data: JSON.stringify({ ...(typeof data === 'object' ? data : {}), id, occurredAt, actorId }),
  about: { type, actorId },
});

function deliver(watcher: Watcher, event: FeedEvent, position: number): void {
  watcher.position = position;
  if (!watcher.sink.deliver(event)) watcher.mode = 'paused';
}

function goLive(watcher: Watcher): void {
  watcher.mode = 'live';
  watcher.sink.caughtUp?.();
}

/** Hands events in order to those of the watchers that are in a mode and have not had them. */
async function handOut(
  events: FollowedEvent[],
  watchers: Iterable<Watcher>,
  mode: Watcher['mode'],
  reached: (position: number) => void = () => undefined,
): Promise<void> {
  let deliveries = 0;
  for (const one of events) {
    const { position } = one;
    const event = toFeedEvent(one);
    reached(position);
    for (const watcher of watchers) {
      if (watcher.mode !== mode || watcher.position >= position) continue;
      deliver(watcher, event, position);
      deliveries += 1;
    }
    if (deliveries < DELIVERIES_PER_TURN) continue;
    deliveries = 0;
    await loopTurn();
  }
}

/** One query is under way at a time, whose answer goes to everybody it is news to; whoever lags only keeps their place. */
export function createFeedTopic({ start, readPage, floor, onError }: FeedTopicOptions): FeedTopic {
  const watchers = new Set<Watcher>();
  /** Everything up to here was read, and delivered to whoever is live. */
  let edge = Infinity;
  /** Up to here there may be something to read. */
  let wanted = 0;
  let isReading = false;
  const started = start.then((position) => void (edge = position));

  const readNew = async (): Promise<void> => {
    const { head, events } = await readPage(edge);
    await handOut(events, watchers, 'live', (position) => (edge = position));
    if (events.length === PAGE) wanted = Math.max(wanted, head);
    else edge = Math.max(edge, head);
  };

  /** Whether events behind a watcher's place are gone, or it never was a place here. */
  const isLost = (watcher: Watcher, head: number, next: FollowedEvent | undefined): boolean =>
    watcher.position < floor() || watcher.position > head || next?.isPast === true;

  /** Brings those who are behind a page on: whoever is furthest behind, and the others as far as the page reaches. */
  const readOld = async (behind: Watcher[]): Promise<void> => {
    const { head, events } = await readPage(Math.min(...behind.map(({ position }) => position)));
    const isWhole = events.length < PAGE;
    for (const watcher of behind) {
      const next = events.find(({ position }) => position > watcher.position);
      if (!watcher.isUnproven || (!isWhole && !next)) continue;
      watcher.isUnproven = false;
      if (!isLost(watcher, head, next)) continue;
      deliver(watcher, { id: String(head), event: 'resync', data: '{}', about: null }, head);
    }
    await handOut(events, behind, 'behind');
    for (const watcher of behind) {
      if (watcher.mode !== 'behind' || watcher.isUnproven) continue;
      if (isWhole || watcher.position >= edge) goLive(watcher);
    }
  };

  /** Reads in turns what is new and what some have missed, so that neither waits for the other. */
  const read = async (): Promise<void> => {
    if (isReading) return;
    isReading = true;
    try {
      while (watchers.size > 0) {
        if (wanted > edge) await readNew();
        const behind = [...watchers].filter(({ mode }) => mode === 'behind');
        if (behind.length > 0) await readOld(behind);
        else if (wanted <= edge) break;
      }
    } catch (error) {
      onError(error);
    } finally {
      isReading = false;
    }
  };

  return {
    async watch(from, sink, onClose) {
      const watcher: Watcher = { sink, position: from ?? 0, isUnproven: from !== null, mode: 'paused' };
      let isClosed = false;
      const close = (): void => {
        isClosed = true;
        watcher.mode = 'paused';
        watchers.delete(watcher);
        onClose();
      };
      watchers.add(watcher);
      await started.catch((error: unknown) => {
        close();
        throw error;
      });
      if (from === null) watcher.position = edge;
      return {
        lastEventId: String(watcher.position),
        isOver: () => isClosed,
        resume() {
          if (isClosed || watcher.mode !== 'paused') return;
          if (!watcher.isUnproven && watcher.position >= edge) return goLive(watcher);
          watcher.mode = 'behind';
          void read();
        },
        close,
      };
    },
    ring(position) {
      wanted = Math.max(wanted, position);
      void read();
    },
    retry: () => void read(),
    watchers: () => watchers.size,
  };
}
