import type { Client, Pool, PoolClient } from 'pg';
import type { Logger } from 'pino';
import type { Metrics } from '#src/lib/metrics.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { inSavepoint, inTransaction } from '#src/db/transaction.query.ts';
import {
  enrolConsumer,
  findLags,
  forgetSetAside,
  listenForEvents,
  lockCursor,
  moveCursor,
  placeEvents,
  readEvents,
  setAside,
  takeSetAside,
  type StoredEvent,
} from '#src/events/relay.query.ts';

const BATCH = 500;
/** For what a lost notification left. */
const TICK_MS = 1000;
const LAG_EVERY_MS = 5000;
/** How often one event may fail before it is set aside, so that those behind it go on. */
const TRIES = 5;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 10_000;
const ASIDE_RETRY_MS = 10_000;

type After = (() => Promise<void>) | void;

/** Somebody to whom every event is handed, in order, at least once. */
export interface Consumer {
  name: string;
  /**
   * Handles events in the transaction that moves the consumer's cursor: what is written through `tx` happens exactly once, anything else
   * may happen again. The transaction sees all workspaces. What it throws is tried again; the events behind wait meanwhile.
   * @returns what to do once it is committed, which may be lost; it must not be needed
   */
  handle(tx: PoolClient, events: readonly StoredEvent[]): Promise<After>;
}

export interface EventRelayResources {
  /** As `wh_system`, with a connection for each consumer and one more. */
  pool: Pool;
  consumers: readonly Consumer[];
  log: Logger;
  metrics: Metrics;
}

export interface EventRelay {
  /** Gives all committed events their places. @returns how many */
  place(): Promise<number>;
  /** Hands a consumer what is next for it. @returns how many events; 0 when there are none */
  consume(consumer: Consumer): Promise<number>;
  /**
   * Works until the signal aborts, each consumer on its own, so that one that is stuck or slow holds up no other.
   * @param listener a connection that is told of new events
   */
  run: (signal: AbortSignal, listener: Client) => Promise<void>;
}

/** Carries events from the outbox to their consumers. It should run once; running twice costs time, and nothing else. */
export function createEventRelay({ pool, consumers, log, metrics }: EventRelayResources): EventRelay {
  const place = async (): Promise<number> => {
    let total = 0;
    for (;;) {
      const placed = await placeEvents(pool, BATCH);
      total += placed;
      if (placed < BATCH) return total;
    }
  };

  const finishUp = async (consumer: Consumer, after: After): Promise<void> => {
    await after?.().catch((error: unknown) => log.debug({ err: error, consumer: consumer.name }, 'Left to a sweep'));
  };

  const handOver = async (consumer: Consumer, limit: number): Promise<number> => {
    const { count, after } = await inTransaction(pool, async (tx): Promise<{ count: number; after: After }> => {
      const events = await readEvents(tx, await lockCursor(tx, consumer.name), limit);
      const last = events.at(-1);
      if (!last) return { count: 0, after: undefined };
      const later = await consumer.handle(tx, events);
      await moveCursor(tx, consumer.name, last.position);
      return { count: events.length, after: later };
    });
    metrics.eventsHandled.inc({ consumer: consumer.name }, count);
    await finishUp(consumer, after);
    return count;
  };

  /** Tries the next event for the last time. Only where the database is there all along can the event be at fault. */
  const skip = async (consumer: Consumer): Promise<void> => {
    const after = await inTransaction(pool, async (tx): Promise<After> => {
      const [event] = await readEvents(tx, await lockCursor(tx, consumer.name), 1);
      if (!event) return undefined;
      const later = await inSavepoint(tx, () => consumer.handle(tx, [event])).catch(async (error: unknown) => {
        await setAside(tx, consumer.name, event.position, ASIDE_RETRY_MS);
        log.error({ err: error, consumer: consumer.name, event: event.id, type: event.type }, 'An event was set aside');
      });
      await moveCursor(tx, consumer.name, event.position);
      return later;
    });
    await finishUp(consumer, after);
  };

  const retryAside = async (consumer: Consumer): Promise<boolean> => {
    const { found, after } = await inTransaction(pool, async (tx): Promise<{ found: boolean; after: After }> => {
      const event = await takeSetAside(tx, consumer.name);
      if (!event) return { found: false, after: undefined };
      try {
        const later = await inSavepoint(tx, () => consumer.handle(tx, [event]));
        await forgetSetAside(tx, consumer.name, event.position);
        return { found: true, after: later };
      } catch (error) {
        log.warn({ err: error, consumer: consumer.name, event: event.id }, 'An event stays set aside');
        await setAside(tx, consumer.name, event.position, ASIDE_RETRY_MS);
        return { found: true, after: undefined };
      }
    });
    await finishUp(consumer, after);
    return found;
  };

  /** One consumer's work until it is idle. After a failure events go one by one, so that the one at fault is found. */
  const drain = async (consumer: Consumer, failures: { count: number }): Promise<void> => {
    try {
      while ((await handOver(consumer, failures.count > 0 ? 1 : BATCH)) > 0) failures.count = 0;
      while (await retryAside(consumer));
    } catch (error) {
      failures.count += 1;
      log.warn({ err: error, consumer: consumer.name, failures: failures.count }, 'A consumer of events failed');
      if (failures.count <= TRIES) return;
      await skip(consumer);
      failures.count = 1;
    }
  };

  const run = async (signal: AbortSignal, listener: Client): Promise<void> => {
    await Promise.all(consumers.map(({ name }) => enrolConsumer(pool, name)));
    const bells = [createBell(), ...consumers.map(() => createBell())];
    const [placeBell = createBell(), ...consumerBells] = bells;
    const ring = (): void => placeBell.ring();
    listener.on('notification', ring);
    signal.addEventListener('abort', () => bells.forEach((bell) => bell.ring()), { once: true });
    await listenForEvents(listener);
    let lagAt = 0;
    const placing = async (): Promise<void> => {
      while (!signal.aborted) {
        const placed = await place().catch((error: unknown) => log.warn({ err: error }, 'Events could not be placed'));
        if (placed) consumerBells.forEach((bell) => bell.ring());
        if (performance.now() - lagAt > LAG_EVERY_MS) {
          lagAt = performance.now();
          await reportLags().catch((error: unknown) => log.debug({ err: error }, 'No lag could be read'));
        }
        await placeBell.wait(TICK_MS);
      }
    };
    const consuming = async (consumer: Consumer, bell: Bell): Promise<void> => {
      const failures = { count: 0 };
      while (!signal.aborted) {
        await drain(consumer, failures).catch((error: unknown) =>
          log.warn({ err: error }, 'A consumer is tried again'),
        );
        if (failures.count === 0) await bell.wait(TICK_MS);
        // Not cut short by new events: they would use up the tries at once.
        else await pause(Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** failures.count), signal);
      }
    };
    await Promise.all([
      placing(),
      ...consumers.map((consumer, at) => consuming(consumer, consumerBells[at] ?? createBell())),
    ]);
    listener.off('notification', ring);
  };

  const reportLags = async (): Promise<void> => {
    for (const { consumer, events, seconds, aside } of await findLags(pool)) {
      metrics.eventLag.set({ consumer }, events);
      metrics.eventLagSeconds.set({ consumer }, seconds);
      metrics.eventsAside.set({ consumer }, aside);
    }
  };
  return { place, consume: (consumer) => handOver(consumer, BATCH), run };
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  sleep(ms, undefined, { signal }).catch(() => undefined);

interface Bell {
  /** Ends the wait, or the next one if nobody waits. */
  ring(): void;
  wait(ms: number): Promise<void>;
}

function createBell(): Bell {
  let isRung = false;
  let wake: (() => void) | undefined;
  return {
    ring() {
      isRung = true;
      wake?.();
    },
    async wait(ms) {
      if (!isRung) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const timer = setTimeout(resolve, ms);
        wake = resolve;
        await promise;
        clearTimeout(timer);
        wake = undefined;
      }
      isRung = false;
    },
  };
}
