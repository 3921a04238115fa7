import { EventBus, matchesPattern } from './event-bus.ts';
import type { LiveSocket } from './live-socket.ts';
import type { Subscription } from './live-topics.ts';
import type { MatchingEventType, WorkspaceEvent } from './types.ts';
import { isObject } from './wire.ts';

export type WorkspaceEventListener<Pattern extends string> = (
  event: WorkspaceEvent<MatchingEventType<Pattern>>,
) => unknown;

const TOPIC = 'events';
const RESYNC = 'resync';

/** Looks only at the type: what an event of it says is the backend's word. */
function isEventOf<Pattern extends string>(
  pattern: Pattern,
  payload: unknown,
): payload is WorkspaceEvent<MatchingEventType<Pattern>> {
  return isObject(payload) && typeof payload['event'] === 'string' && matchesPattern(pattern, payload['event']);
}

/**
 * What happens in the workspace, as far as whoever is signed in may see it: each event once, in order, across reconnects. It follows while
 * anybody listens.
 */
export class WorkspaceEvents {
  readonly #live: () => LiveSocket;
  readonly #report: (error: unknown) => void;
  readonly #bus: EventBus;
  #subscription: Subscription | undefined;
  #lastEventId: string | undefined;
  #listeners = 0;

  constructor(live: () => LiveSocket, report: (error: unknown) => void) {
    this.#live = live;
    this.#report = report;
    this.#bus = new EventBus({ historySize: 0, onError: report });
  }

  /** The place to resume from; keep it to go on after a restart. Undefined until the backend has told where it begins. */
  get lastEventId(): string | undefined {
    return this.#subscription?.lastEventId ?? this.#lastEventId;
  }

  /** Begins behind an event that was heard before; to be called before the first `on`. */
  resumeFrom(lastEventId: string): void {
    this.#lastEventId = lastEventId;
  }

  /**
   * Listens to the events whose type fits `pattern` (`*` is one segment, `**` any number). Returns the way to stop.
   * A backend newer than this client may tell of types it does not know, also to listeners of `**`.
   * @throws TypeError where there is no WebSocket.
   */
  on<Pattern extends string>(pattern: Pattern, listener: WorkspaceEventListener<Pattern>): () => void {
    this.#subscription ??= this.#subscribe();
    const stop = this.#bus.on(pattern, (payload) => (isEventOf(pattern, payload) ? listener(payload) : undefined));
    let isListening = true;
    this.#listeners += 1;
    return () => {
      stop();
      if (isListening) this.#listeners -= 1;
      isListening = false;
      if (this.#listeners === 0) this.#end();
    };
  }

  /**
   * Listens to gaps: what came after the last event heard is not told any more (after a day away). Read anew what you show; events go on
   * from here. Hears them only while somebody listens to events.
   */
  onResync(listener: (lastEventId: string) => unknown): () => void {
    return this.#bus.on(RESYNC, (id) => listener(String(id)));
  }

  /** Somebody else has signed in: begins anew, with the present, for those who listen. */
  restart(): void {
    this.#end();
    this.#lastEventId = undefined;
    if (this.#listeners > 0) this.#subscription = this.#subscribe();
  }

  #end(): void {
    this.#lastEventId = this.lastEventId;
    this.#subscription?.close();
    this.#subscription = undefined;
  }

  #subscribe(): Subscription {
    return this.#live().subscribe(TOPIC, {
      lastEventId: this.#lastEventId,
      onEvent: ({ id, event, data }) => {
        if (event === RESYNC) this.#bus.emit(RESYNC, id);
        else this.#bus.emit(event, { event, data });
      },
      onError: (error) => {
        this.#end();
        this.#report(error);
      },
    });
  }
}
