import type { Egress } from '#src/lib/egress.ts';
import type { ClaimedItem, Deferral } from '#src/modules/campaigns/items.query.ts';
import { postItem, type Outcome } from '#src/modules/campaigns/post.ts';
import { renderTemplate } from '#src/modules/templates/template.ts';
import type { SigningKey } from '#src/modules/webhooks/signature.ts';

/** How the carrying of one message ended: known or not, or put off since nothing happened. */
export type Carried = Outcome | ({ result: 'deferred' } & Pick<Deferral, 'waitMs' | 'code'>);

/** A message that may be sent once it is begun. */
export interface Ready extends ClaimedItem {
  /** As its recipient reads it. */
  text: string;
  /** @param signal aborts when the process must go */
  carry(signal: AbortSignal): Promise<Carried>;
}

/** What was claimed, sorted before any of it is begun. */
export interface Sorted {
  ready: Ready[];
  /** They cannot be sent as they are. */
  skipped: (ClaimedItem & { reason: string })[];
  /** They must not be sent yet. */
  deferred: (ClaimedItem & Pick<Deferral, 'waitMs' | 'code'>)[];
}

/** What messages of a channel go through. */
export interface Carrier {
  /** So far ahead are messages claimed; each waits for its own moment, its `notBefore`. */
  horizonMs: number;
  ackBy: 'campaign_ack' | 'cloud_ack';
  sieve(claimed: readonly ClaimedItem[]): Promise<Sorted>;
}

/** Somebody's gateway. An item whose variables say nothing, with nothing to stand in for them, is skipped. */
export const createGateway = (egress: Pick<Egress, 'request'>, channel: { url: string; key: SigningKey }): Carrier => ({
  horizonMs: 0,
  ackBy: 'campaign_ack',
  async sieve(claimed) {
    const sorted: Sorted = { ready: [], skipped: [], deferred: [] };
    for (const item of claimed) {
      const { text, unresolved } = renderTemplate({ body: item.template }, item.contact);
      if (unresolved.length > 0 || text.trim() === '') sorted.skipped.push({ ...item, reason: 'unresolved_variables' });
      else
        sorted.ready.push({ ...item, text, carry: (signal) => postItem(egress, channel, { ...item, text }, signal) });
    }
    return sorted;
  },
});
