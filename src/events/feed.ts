import type { Redis } from 'ioredis';
import type { Pool } from 'pg';
import { readFollowed, surveyEvents } from '#src/events/feed.query.ts';
import { createFeedTopic, PAGE, type EventSink, type EventWatch, type FeedTopic } from '#src/events/feed-topic.ts';
import { hintChannel, readHints } from '#src/events/hint.ts';
import type { Metrics } from '#src/lib/metrics.ts';

/** For hints that were lost, and all of them while Redis is away. */
const SURVEY_MS = 2000;
/** How long events are told again; who stopped before that is told to read anew. */
const WINDOW_HOURS = 24;

export interface EventFeed {
  /**
   * Follows a workspace's events. Nothing is delivered before the first `resume`.
   * @param from the position of the client's last event; null for what happens from now on. When what came behind it is no longer kept,
   * the first event is `resync`, with the id to go on from.
   * @throws what Postgres throws, where nobody of this process follows the workspace yet
   */
  watch(workspaceId: string, from: number | null, sink: EventSink): Promise<EventWatch>;
  /** Workspaces being followed, and clients following. */
  counts(): { workspaces: number; watchers: number };
  close(): void;
}

export interface FeedOptions {
  pool: Pool;
  /** Sees all workspaces: for where their events are, not for what is in them. */
  systemPool: Pool;
  /** In subscriber mode; may be shared. */
  subscriber: Redis;
  prefix: string;
  metrics: Pick<Metrics, 'eventReads'>;
  onError: (error: unknown) => void;
}

/** @returns the place named by an event's id, or null where the text is none */
export const parseEventId = (text: string): number | null => (/^\d{1,16}$/.test(text) ? Number(text) : null);

/** Follows events for all clients of this process. The outbox is the history, and the buffer of whoever reads slowly. */
export function createEventFeed(options: FeedOptions): EventFeed {
  const { pool, systemPool, subscriber, prefix, metrics, onError } = options;
  const topics = new Map<string, FeedTopic>();
  let surveyed: number | null = null;
  let floor = 0;
  let surveying: Promise<number> | undefined;

  const look = async (): Promise<number> => {
    const { head, hints, ...found } = await surveyEvents(systemPool, surveyed);
    surveyed = head;
    floor = found.floor;
    if (hints) for (const [workspaceId, position] of hints) topics.get(workspaceId)?.ring(position);
    else for (const topic of topics.values()) topic.ring(head);
    return head;
  };
  /** @returns the position given last; one look at a time serves all who ask. */
  const survey = (): Promise<number> => (surveying ??= look().finally(() => (surveying = undefined)));

  const open = (workspaceId: string): FeedTopic => {
    const topic = createFeedTopic({
      start: survey(),
      readPage(after) {
        metrics.eventReads.inc();
        return readFollowed(pool, { workspaceId, after, limit: PAGE, windowHours: WINDOW_HOURS });
      },
      floor: () => floor,
      onError,
    });
    topics.set(workspaceId, topic);
    return topic;
  };

  const channel = hintChannel(prefix);
  const channelBytes = Buffer.from(channel);
  const hear = (heardOn: Buffer, message: Buffer): void => {
    if (!channelBytes.equals(heardOn)) return;
    try {
      for (const [workspaceId, position] of readHints(message)) topics.get(workspaceId)?.ring(position);
    } catch (error) {
      onError(error);
    }
  };
  const listen = (): void => void subscriber.subscribe(channel).catch(onError);
  subscriber.on('messageBuffer', hear);
  // A subscription asked for while Redis was away is not repeated by the client library.
  subscriber.on('ready', listen);
  if (subscriber.status === 'ready') listen();

  const timer = setInterval(() => {
    if (topics.size === 0) return;
    survey().catch(onError);
    for (const topic of topics.values()) topic.retry();
  }, SURVEY_MS).unref();

  return {
    watch(workspaceId, from, sink) {
      const topic = topics.get(workspaceId) ?? open(workspaceId);
      return topic.watch(from, sink, () => {
        if (topic.watchers() === 0 && topics.get(workspaceId) === topic) topics.delete(workspaceId);
      });
    },
    counts: () => ({
      workspaces: topics.size,
      watchers: [...topics.values()].reduce((sum, topic) => sum + topic.watchers(), 0),
    }),
    close() {
      clearInterval(timer);
      topics.clear();
      subscriber.off('messageBuffer', hear);
      subscriber.off('ready', listen);
    },
  };
}
