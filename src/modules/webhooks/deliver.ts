import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Metrics } from '#src/lib/metrics.ts';
import { attemptDelivery, givenBack, type AttemptResources } from '#src/modules/webhooks/attempt.ts';
import { LEASE_MS, type Done, type Step, type Stepped } from '#src/modules/webhooks/step.query.ts';

/** So long does one run go on with the deliveries of one endpoint; then those of others have their turn. */
const TURN_MS = 5000;
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
 * may be under way at once, or its turn is over. The end of each is noted together with the question for the next.
 * @returns milliseconds after which it wants to go on, or null
 */
export async function deliver(
  rt: DeliverResources,
  woken: { workspaceId: string; jobId: string },
): Promise<number | null> {
  const { workspaceId } = woken;
  const endsAt = performance.now() + TURN_MS;
  let { taken } = await rt.step({ workspaceId, wake: woken.jobId, take: !rt.stopping.aborted });
  while (taken) {
    const done = await attempt(rt, taken);
    rt.metrics.deliveries.inc({ outcome: done.error === null ? done.status : outcomeOf(done) });
    const isMyTurn = performance.now() < endsAt && !rt.stopping.aborted;
    const next: Stepped = await note(rt, { workspaceId, done, take: isMyTurn });
    if (!next.isNoted) rt.metrics.refusals.inc({ kind: 'delivery' });
    if (!isMyTurn) return NEXT_TURN_MS;
    taken = next.taken;
  }
  return null;
}

const outcomeOf = ({ status }: Done): string => (status === 'pending' ? 'retried' : status);

async function attempt(rt: DeliverResources, taken: NonNullable<Stepped['taken']>): Promise<Done> {
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

/** Notes the end of an attempt; keeps trying while the database is away, for as long as the attempt is this process's. */
async function note(rt: DeliverResources, step: Step): Promise<Stepped> {
  const giveUpAt = performance.now() + LEASE_MS;
  for (let wait = 100; ; wait = Math.min(2000, wait * 2)) {
    try {
      return await rt.step(step);
    } catch (error) {
      if (performance.now() > giveUpAt) throw error;
      rt.log.warn({ err: error }, 'A delivery could not be noted yet');
      await sleep(wait);
    }
  }
}
