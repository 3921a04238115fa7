import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { createBatcher } from '#src/db/batch.ts';
import type { Egress } from '#src/lib/egress.ts';
import type { Ack, Acked, ClaimedItem, Items } from '#src/modules/campaigns/items.query.ts';
import { postItem } from '#src/modules/campaigns/post.ts';
import { renderTemplate } from '#src/modules/templates/template.ts';
import type { SigningKey } from '#src/modules/webhooks/signature.ts';

/** Messages of one channel under way at once. */
const LANES = 16;
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

export interface SendingChannel {
  workspaceId: string;
  id: string;
  url: string;
  key: SigningKey;
}

type Rendered = ClaimedItem & { text: string };

/** Fills in texts; an item whose variables say nothing, with nothing to stand in for them, is skipped. */
function render(claimed: readonly ClaimedItem[]) {
  const ready: Rendered[] = [];
  const skipped: (ClaimedItem & { reason: string })[] = [];
  for (const item of claimed) {
    const { text, unresolved } = renderTemplate({ body: item.template }, item.contact);
    if (unresolved.length > 0 || text.trim() === '') skipped.push({ ...item, reason: 'unresolved_variables' });
    else ready.push({ ...item, text });
  }
  return { ready, skipped };
}

const attemptOf = ({ itemId, attemptId, fence }: ClaimedItem) => ({ itemId, attemptId, fence });

/**
 * Sends what a channel may send now, some at once, until nothing is due, or its turn is over.
 * @returns milliseconds after which it wants to go on, or null where somebody else will wake it
 */
export async function sendChannel(rt: SendResources, channel: SendingChannel): Promise<number | null> {
  const { items, stopping } = rt;
  const { workspaceId, id: channelId } = channel;
  const endsAt = performance.now() + TURN_MS;
  const underWay = new Set<Promise<void>>();
  const note = createNote(rt, workspaceId);
  let againInMs: number | null = 1;
  while (performance.now() < endsAt && !stopping.aborted) {
    if (underWay.size >= LANES) {
      await Promise.race(underWay);
      continue;
    }
    const claim = { channelId, max: LANES - underWay.size, holder: rt.holder, horizonMs: 0 };
    const { items: claimed, againAt } = await items.claim(workspaceId, claim);
    if (claimed.length === 0) {
      const waitMs = againAt === null ? Infinity : Math.max(1, new Date(againAt).getTime() - Date.now());
      // What is under way may leave something to be tried again, or the channel's room.
      againInMs = waitMs <= SOON_MS ? waitMs : null;
      break;
    }
    for (const item of await beginAll(rt, workspaceId, claimed)) {
      const one = sendOne(rt, channel, item, note).finally(() => underWay.delete(one));
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
  claimed: readonly ClaimedItem[],
): Promise<Rendered[]> {
  const { ready, skipped } = render(claimed);
  if (skipped.length > 0) {
    await items.skip(
      workspaceId,
      skipped.map((item) => ({ ...attemptOf(item), reason: item.reason })),
    );
    for (const campaignId of new Set(skipped.map((item) => item.campaignId)))
      await items.settle(workspaceId, campaignId);
  }
  if (ready.length === 0) return [];
  if (stopping.aborted) {
    await items.release(workspaceId, ready.map(attemptOf));
    return [];
  }
  const begun = await items.begin(workspaceId, ready.map(attemptOf));
  return ready.filter(({ itemId }) => begun.has(itemId));
}

async function sendOne(
  rt: SendResources,
  channel: SendingChannel,
  item: Rendered,
  note: (ack: Ack) => Promise<Acked>,
): Promise<void> {
  try {
    const outcome = await postItem(rt.egress, channel, item, rt.leaving);
    await note({ ...attemptOf(item), ...outcome });
    if (outcome.result !== 'sent') await rt.items.settle(channel.workspaceId, item.campaignId);
  } catch (error) {
    // It stays begun: its lease makes it unknown, which is what it is.
    rt.log.error({ err: error, item: item.itemId }, 'The end of a message could not be noted');
  }
}

/** Notes ends, those of one moment in one statement; keeps trying while the database is away, for as long as the attempt is this process's. */
function createNote({ items, leaseMs, log }: SendResources, workspaceId: string): (ack: Ack) => Promise<Acked> {
  const run = createBatcher<Ack, Acked>({
    max: ACKS_AT_ONCE,
    run: async (acks) => {
      const acked = new Map((await items.ack(workspaceId, acks)).map((one) => [one.itemId, one]));
      return acks.map(({ itemId }) => {
        const value = acked.get(itemId);
        return value ? { value } : new Error('There is no such item');
      });
    },
  });
  return async (ack) => {
    const giveUpAt = performance.now() + leaseMs;
    for (let wait = 100; ; wait = Math.min(2000, wait * 2)) {
      try {
        return await run(ack);
      } catch (error) {
        if (performance.now() > giveUpAt) throw error;
        log.warn({ err: error }, 'The end of a message could not be noted yet');
        await sleep(wait);
      }
    }
  };
}
