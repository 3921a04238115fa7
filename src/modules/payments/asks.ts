import type { EntityManager } from '@mikro-orm/postgresql';
import { appendAudit } from '#src/modules/audit/audit.ts';
import { readAsks, takeAsk, type StoredAsk } from '#src/modules/payments/asks.query.ts';

/** An answer may be so long under way, and clocks may differ so much: what is known of earlier says nothing of what was asked. */
const UNDER_WAY_MS = 60_000;

/**
 * Names in the log who asked for what is so now, where the process that asked for them could not. What is not so although it was asked for
 * long before came to nothing. In the transaction that takes over what a provider tells.
 * @param one.at when that was so, by the provider's clock
 * @param one.outcome what the log says of an ask that was done; null: it was not
 */
export async function nameAskers(
  em: EntityManager,
  one: { type: 'subscription' | 'invoice'; id: string; at: Date; outcome: (ask: StoredAsk) => object | null },
): Promise<void> {
  const { type, id, at, outcome } = one;
  for (const ask of await readAsks(em, id)) {
    const after = outcome(ask);
    const isOver = after !== null || new Date(ask.askedAt).getTime() < at.getTime() - UNDER_WAY_MS;
    if (!isOver || !(await takeAsk(em, ask, ask)) || after === null) continue;
    const { kind, id: actorId, requestId, action } = ask;
    await appendAudit(
      em,
      { kind, id: actorId, requestId, ip: null, userAgent: null },
      { action, target: { type, id }, after },
    );
  }
}
