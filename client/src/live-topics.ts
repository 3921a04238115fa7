import { compareEventIds } from './event-id.ts';
import type { LiveEvent } from './types.ts';

export interface TopicListener {
  /** The last event that is known already; events up to it are not told. Left out: from now on. */
  lastEventId?: string | undefined;
  onEvent(event: LiveEvent): void;
  /** The backend does not (or no longer) serve this topic to us. */
  onError?: ((error: unknown) => void) | undefined;
}

export interface Subscription {
  readonly topic: string;
  /** The last event that was told. */
  readonly lastEventId: string | undefined;
  close(): void;
}

/** One listener's place in a topic: what was told is not told again. */
export class TopicCursor {
  readonly listener: TopicListener;
  lastEventId: string | undefined;
  /** True while events of an old subscription may still be under way and must not be told. */
  isPaused = false;

  constructor(listener: TopicListener) {
    this.listener = listener;
    this.lastEventId = listener.lastEventId;
  }

  tell(event: LiveEvent): void {
    if (this.isPaused) return;
    // `resync` says that history is gone, and where it goes on; it need not stand in the topic's order.
    if (event.event === 'resync') {
      if (event.id !== '') this.lastEventId = event.id;
    } else {
      if (this.lastEventId !== undefined && compareEventIds(event.id, this.lastEventId) <= 0) return;
      this.lastEventId = event.id;
    }
    this.listener.onEvent(event);
  }
}

/** Who listens to which topic. */
export class LiveTopics {
  readonly #topics = new Map<string, Set<TopicCursor>>();

  names(): string[] {
    return [...this.#topics.keys()];
  }

  has(topic: string): boolean {
    return this.#topics.has(topic);
  }

  cursors(topic: string): TopicCursor[] {
    return [...(this.#topics.get(topic) ?? [])];
  }

  add(topic: string, cursor: TopicCursor): void {
    const cursors = this.#topics.get(topic) ?? new Set();
    cursors.add(cursor);
    this.#topics.set(topic, cursors);
  }

  /** Takes a listener off; true when it was the topic's last. */
  remove(topic: string, cursor: TopicCursor): boolean {
    const cursors = this.#topics.get(topic);
    if (!cursors?.delete(cursor) || cursors.size > 0) return false;
    this.#topics.delete(topic);
    return true;
  }

  /** Where to resume a topic so that no listener misses anything: the lowest place of all. */
  resumeFrom(topic: string): string | undefined {
    let lowest: string | undefined;
    for (const { lastEventId } of this.cursors(topic)) {
      if (lastEventId === undefined) continue;
      if (lowest === undefined || compareEventIds(lastEventId, lowest) < 0) lowest = lastEventId;
    }
    return lowest;
  }

  /** Notes where the backend begins: what those who came without a place resume from, also when they have heard nothing. */
  begin(topic: string, lastEventId: string): void {
    const cursors = this.cursors(topic);
    let highest = lastEventId;
    for (const { lastEventId: id } of cursors) if (id !== undefined && compareEventIds(id, highest) > 0) highest = id;
    for (const cursor of cursors) cursor.lastEventId ??= highest;
  }

  tell(event: LiveEvent): void {
    for (const cursor of this.cursors(event.topic)) cursor.tell(event);
  }

  fail(topic: string, error: unknown): void {
    for (const cursor of this.cursors(topic)) {
      this.remove(topic, cursor);
      cursor.listener.onError?.(error);
    }
  }
}

export class LiveSubscription implements Subscription {
  readonly topic: string;
  readonly cursor: TopicCursor;
  readonly close: () => void;

  constructor(topic: string, cursor: TopicCursor, close: () => void) {
    this.topic = topic;
    this.cursor = cursor;
    this.close = close;
  }

  get lastEventId(): string | undefined {
    return this.cursor.lastEventId;
  }
}
