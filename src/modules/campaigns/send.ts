import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { createBatcher } from '#src/db/batch.ts';
import type { Egress } from '#src/lib/egress.ts';
import { createGateway, type Carrier, type Ready } from '#src/modules/campaigns/carrier.ts';
import type { Ack, Acked, Attempt, ClaimedItem, Items } from '#src/modules/campaigns/items.query.ts';
import type { SigningKey } from '#src/modules/webhooks/signature.ts';

/** Messages of one channel under way at once; more are claimed when half have ended, since a claim of eight costs hardly more than one of one. */
const LANES = 16;
const REFILL_AT = LANES / 2;
/** So long does one run go on with a channel; then others have their turn. */
const TURN_MS = 5000;
/** A channel that may send again so soon keeps its worker's entry; others are woken when it is time. */
const SOON_MS = 2000;
const ACKS_AT_ONCE = 200;

export interface SendResources {
  items: Items;
  egress: Pick<Egress, 'request'>;
  leaseMs: number;
  /** What stands in the log of attempts. */
  holder: string;
  log: Logger;
  /** Aborts when nothing more may be begun. */
  stopping: AbortSignal;
  /** Aborts when what is under way must be given up. */
  leaving: AbortSignal;
}

/** A gateway by its address and key, or whatever else carries messages. */
export type SendingChannel = { workspaceId: string; id: string } & (
  | { url: string; key: SigningKey }
  | { carrier: Carrier }
);

const attemptOf = ({ itemId, attemptId, fence }: Attempt): Attempt => ({ itemId, attemptId, fence });

/**
 * Sends what a channel may send now, some at once, until nothing is due, or its turn is over.
 * @returns milliseconds after which it wants to go on, or null where somebody else will wake it
 */
export async function sendChannel(rt: SendResources, channel: SendingChannel): Promise<number | null> {
  const { items, stopping } = rt;
  const { workspaceId, id: channelId } = channel;
  const endsAt = performance.now() + TURN_MS;
  const underWay = new Set<Promise<void>>();
  const carrier = 'carrier' in channel ? channel.carrier : createGateway(rt.egress, channel);
  const note = createNote(rt, workspaceId, carrier);
  let againInMs: number | null = 1;
  while (performance.now() < endsAt && !stopping.aborted) {
    if (underWay.size > REFILL_AT) {
      await Promise.race(underWay);
      continue;
    }
    const claim = { channelId, max: LANES - underWay.size, holder: rt.holder, horizonMs: carrier.horizonMs };
    const { items: claimed, againAt } = await items.claim(workspaceId, claim);
    if (claimed.length === 0) {
      const waitMs = againAt === null ? Infinity : Math.max(1, new Date(againAt).getTime() - Date.now());
      // What is under way may leave something to be tried again, or the channel's room.
      againInMs = waitMs <= SOON_MS ? waitMs : null;
      break;
    }
    for (const item of await beginAll(rt, workspaceId, carrier, claimed)) {
      const one = sendOne(rt, workspaceId, item, note).finally(() => underWay.delete(one));
      underWay.add(one);
    }
  }
  await Promise.all(underWay);
  return againInMs;
}

/** @returns those that may be sent now */
async function beginAll(
  { items, stopping }: SendResources,
  workspaceId: string,
  carrier: Carrier,
  claimed: readonly ClaimedItem[],
): Promise<Ready[]> {
  const { ready, skipped, deferred } = await carrier.sieve(claimed);
  if (skipped.length > 0) {
    await items.skip(
      workspaceId,
      skipped.map((item) => ({ ...attemptOf(item), reason: item.reason })),
    );
    for (const campaignId of new Set(skipped.map((item) => item.campaignId)))
      await items.settle(workspaceId, campaignId);
  }
  if (deferred.length > 0) {
    const wait = deferred.map((item) => ({ ...attemptOf(item), waitMs: item.waitMs, code: item.code }));
    await items.defer(workspaceId, wait);
  }
  if (ready.length === 0) return [];
  if (stopping.aborted) {
    await items.release(workspaceId, ready.map(attemptOf));
    return [];
  }
  const begun = await items.begin(
    workspaceId,
    ready.map((item) => ({ ...attemptOf(item), text: item.text })),
  );
  const refused = ready.filter(({ itemId }) => !begun.has(itemId));
  // As by a pause: whoever has it go on need not wait for leases to end.
  if (refused.length > 0) await items.release(workspaceId, refused.map(attemptOf));
  return ready.filter(({ itemId }) => begun.has(itemId));
}

async function sendOne(rt: SendResources, workspaceId: string, item: Ready, note: Note): Promise<void> {
  try {
    const end = await item.carry(rt.leaving);
    if (end.result === 'deferred') {
      const { waitMs, code } = end;
      await persist(rt, () => rt.items.defer(workspaceId, [{ ...attemptOf(item), waitMs, code }]));
    } else {
      await note({ ...attemptOf(item), ...end });
      if (end.result !== 'sent') await rt.items.settle(workspaceId, item.campaignId);
    }
  } catch (error) {
    // It stays begun: its lease makes it unknown, which is what it is.
    rt.log.error({ err: error, item: item.itemId }, 'The end of a message could not be noted');
  }
}

type Note = (ack: Ack) => Promise<Acked>;

/** Notes ends, those of one moment in one statement. */
function createNote(rt: SendResources, workspaceId: string, { ackBy }: Carrier): Note {
  const run = createBatcher<Ack, Acked>({
    max: ACKS_AT_ONCE,
    run: async (acks) => {
      const acked = new Map((await rt.items.ack(workspaceId, acks, ackBy)).map((one) => [one.itemId, one]));
      return acks.map(({ itemId }) => {
        const value = acked.get(itemId);
        return value ? { value } : new Error('There is no such item');
      });
    },
  });
  return (ack) => persist(rt, () => run(ack));
}

/** Keeps trying while the database is away, for as long as the attempt is this process's. */
async function persist<Result>(
  { leaseMs, log }: Pick<SendResources, 'leaseMs' | 'log'>,
  work: () => Promise<Result>,
): Promise<Result> {
  const giveUpAt = performance.now() + leaseMs;
  for (let wait = 100; ; wait = Math.min(2000, wait * 2)) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() > giveUpAt) throw error;
      log.warn({ err: error }, 'The end of a message could not be noted yet');
      await sleep(wait);
    }
  }
}
