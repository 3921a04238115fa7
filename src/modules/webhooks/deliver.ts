import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Metrics } from '#src/lib/metrics.ts';
import { attemptDelivery, givenBack, type AttemptResources } from '#src/modules/webhooks/attempt.ts';
import { LEASE_MS, type Done, type Step, type Stepped, type Taken } from '#src/modules/webhooks/step.query.ts';

/** So long does one run go on with the deliveries of one endpoint; then those of others have their turn. */
const TURN_MS = 5000;
/** So long may one attempt begin after another that was taken with it: the last must end, and be noted, within the lease. */
const BURST_MS = 5000;
/** Behind the others that wait. */
const NEXT_TURN_MS = 1;

export interface DeliverResources extends AttemptResources {
  step: (step: Step) => Promise<Stepped>;
  log: Logger;
  metrics: Metrics;
  /** Aborts when nothing more may be begun. */
  stopping: AbortSignal;
  /** Aborts when what is under way must be given back. */
  leaving: AbortSignal;
}

/**
 * Delivers to the endpoint of the delivery that was woken for whatever is due there, one after the other, until nothing is, or no more
 * may be under way at once, or its turn is over. The end of the last that was taken is noted together with the question for the next.
 * @returns milliseconds after which it wants to go on, or null
 */
export async function deliver(
  rt: DeliverResources,
  woken: { workspaceId: string; jobId: string },
): Promise<number | null> {
  const { workspaceId } = woken;
  const endsAt = performance.now() + TURN_MS;
  let { taken } = await rt.step({ workspaceId, wake: woken.jobId, take: !rt.stopping.aborted });
  while (taken.length > 0) {
    const { last, notes } = await deliverTaken(rt, taken);
    const isMyTurn = performance.now() < endsAt && !rt.stopping.aborted;
    const [next] = await Promise.all([note(rt, { workspaceId, done: last, take: isMyTurn }), ...notes]);
    if (!isMyTurn) return NEXT_TURN_MS;
    taken = next.taken;
  }
  return null;
}

/**
 * Makes deliveries that were taken together, in their order. After a failure, or when it has taken long, those behind are given back: the
 * endpoint's breaker must see the failure first, and nobody else may take what is still being made.
 * @returns the last that was made, still to be noted, and what is being noted
 */
async function deliverTaken(
  rt: DeliverResources,
  taken: readonly Taken[],
): Promise<{ last: Done; notes: Promise<Stepped>[] }> {
  const takenAt = performance.now();
  const notes: Promise<Stepped>[] = [];
  for (const [at, one] of taken.entries()) {
    const done = await attempt(rt, one);
    rt.metrics.deliveries.inc({ outcome: outcomeOf(done) });
    const behind = taken.slice(at + 1);
    const mayGoOn = done.effect === 'up' && !rt.stopping.aborted && performance.now() - takenAt < BURST_MS;
    if (behind.length > 0 && mayGoOn) {
      notes.push(note(rt, { workspaceId: one.workspaceId, done, take: false }));
      continue;
    }
    const back = behind.map((other) =>
      note(rt, { workspaceId: other.workspaceId, done: givenBack(other), take: false }),
    );
    return { last: done, notes: [...notes, ...back] };
  }
  throw new Error('Nothing was taken');
}

const outcomeOf = ({ status, error }: Done): string =>
  status === 'pending' ? (error === null ? 'given_back' : 'retried') : status;

async function attempt(rt: DeliverResources, taken: Taken): Promise<Done> {
  try {
    return await attemptDelivery(rt, taken, rt.leaving);
  } catch (error) {
    rt.log.error(
      { err: error, delivery: taken.id, workspaceId: taken.workspaceId },
      'A delivery could not be attempted',
    );
    return { ...givenBack(taken), delayMs: 5000 };
  }
}

/**
 * Notes the end of an attempt; keeps trying while the database is away, for as long as the attempt is this process's. Then it is left to
 * its lease: the delivery is made once more.
 */
async function note(rt: DeliverResources, step: Step): Promise<Stepped> {
  const giveUpAt = performance.now() + LEASE_MS;
  for (let wait = 100; ; wait = Math.min(2000, wait * 2)) {
    try {
      const stepped = await rt.step(step);
      if (!stepped.isNoted) rt.metrics.refusals.inc({ kind: 'delivery' });
      return stepped;
    } catch (error) {
      rt.log.warn({ err: error }, 'A delivery could not be noted yet');
      if (performance.now() > giveUpAt) return { isNoted: false, taken: [] };
      await sleep(wait);
    }
  }
}
