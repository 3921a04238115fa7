import type { WebSocket } from 'ws';
import { z } from 'zod';
import { AppError } from '#src/errors.ts';
import type { EventFeed } from '#src/events/feed.ts';
import type { FeedEvent } from '#src/events/feed-topic.ts';
import type { Auth } from '#src/http/access-token.ts';
import { maySeeEvent } from '#src/modules/live/event-sight.ts';
import type { Outbound } from '#src/modules/live/outbound.ts';
import type { ResumePoint, StreamEvent } from '#src/streams/cursor.ts';
import type { StreamReader, Watch } from '#src/streams/reader.ts';

const MAX_WATCHES = 200;

/** The topic of all that happens in the workspace. */
export const EVENTS_TOPIC = 'events';

/** The topics one socket follows, each once: a later subscription takes the place of an earlier one, also while that is being opened. */
export interface Follows {
  has(topic: string): boolean;
  /** @throws AppError 429 where there is no room for one topic more */
  checkRoom(): void;
  /** Follows a job. @returns what lets its events go; until it is called they wait */
  job(jobId: string, from: ResumePoint | null, isNew: boolean): Promise<() => void>;
  /**
   * Follows the workspace's events, as far as the caller may see them at each.
   * @param campaignId of one campaign alone, under a topic of its own
   * @returns the place they begin, and what lets them go
   */
  events(from: number | null, campaignId?: string): Promise<{ lastEventId: string; release: () => void }>;
  end(topic: string): void;
  endAll(): void;
}

export interface FollowsResources {
  socket: WebSocket;
  outbound: Outbound;
  reader: StreamReader;
  events: EventFeed;
  /** Who the socket belongs to by now. @throws AppError 401 */
  known: () => Auth;
}

const OfCampaign = z.object({ campaignId: z.string() });

/** Whether an event is one of a campaign, where only those are wanted; that the history is gone is everybody's affair. */
function isAbout({ about, data }: FeedEvent, campaignId: string | undefined): boolean {
  if (campaignId === undefined || about === null) return true;
  return about.type.startsWith('campaign.') && OfCampaign.safeParse(JSON.parse(data)).data?.campaignId === campaignId;
}

export function createFollows({ socket, outbound, reader, events, known }: FollowsResources): Follows {
  /** By topic; `watch` is null while it is being opened. */
  const follows = new Map<string, { watch: Watch | null }>();

  const checkRoom = (): void => {
    if (follows.size < MAX_WATCHES) return;
    throw new AppError(429, 'too_many_subscriptions', `A socket follows at most ${MAX_WATCHES} topics.`);
  };

  /** Takes a topic's place. */
  const begin = (topic: string) => {
    if (!follows.has(topic)) checkRoom();
    follows.get(topic)?.watch?.close();
    const own: { watch: Watch | null } = { watch: null };
    follows.set(topic, own);
    const isCurrent = () => follows.get(topic) === own;
    return {
      isCurrent,
      current: () => own.watch,
      opened(watch: Watch): void {
        if (isCurrent() && socket.readyState === socket.OPEN) own.watch = watch;
        else watch.close();
      },
      over(): void {
        if (isCurrent()) follows.delete(topic);
      },
    };
  };

  return {
    has: (topic) => follows.has(topic),
    checkRoom,
    async job(jobId, from, isNew) {
      const topic = `job:${jobId}`;
      const { workspaceId } = known();
      const place = begin(topic);
      let held: StreamEvent[] | null = [];
      const deliver = (event: StreamEvent): boolean => {
        if (!place.isCurrent()) return true;
        if (!held) return outbound.event(topic, event, place.current);
        held.push(event);
        return true;
      };
      const over = (): void => {
        if (!held) place.over();
      };
      const watch = await reader.watch({ workspaceId, id: jobId }, from, { deliver, over }, isNew);
      place.opened(watch);
      return () => {
        const waiting = held ?? [];
        held = null;
        if (!place.isCurrent()) return;
        for (const event of waiting) outbound.event(topic, event, place.current);
        if (watch.isOver()) follows.delete(topic);
      };
    },
    async events(from, campaignId) {
      const { workspaceId } = known();
      const topic = campaignId === undefined ? EVENTS_TOPIC : `campaign:${campaignId}`;
      const place = begin(topic);
      const deliver = (event: FeedEvent): boolean =>
        !place.isCurrent() ||
        !isAbout(event, campaignId) ||
        !maySeeEvent(known(), event) ||
        outbound.event(topic, event, place.current);
      try {
        const watch = await events.watch(workspaceId, from, { deliver });
        place.opened(watch);
        return { lastEventId: watch.lastEventId, release: () => watch.resume() };
      } catch (error) {
        place.over();
        throw error;
      }
    },
    end(topic) {
      follows.get(topic)?.watch?.close();
      follows.delete(topic);
    },
    endAll() {
      for (const { watch } of follows.values()) watch?.close();
      follows.clear();
    },
  };
}
