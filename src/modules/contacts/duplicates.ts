import type { EntityManager } from '@mikro-orm/postgresql';
import { findDuplicates, scanContacts, type DuplicatePair } from '#src/modules/contacts/duplicates.query.ts';

/** Contacts looked at by one statement, and by one request: who has few duplicates gets short pages, not long waits. */
const SCAN = 1000;
const MAX_SCAN = 20_000;
/** A page may be short; nobody waits longer for one than for a statement. */
const PATIENCE_MS = 5000;
const LAST = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

interface Found {
  pairs: DuplicatePair[];
  /** What the next page begins behind; null at the end. */
  next: { a: string; b: string } | null;
}

/** The next pairs behind one, of no more than `maxScan` contacts. */
export async function nextPairs(
  em: EntityManager,
  start: { a: string; b: string },
  {
    limit,
    ownerId,
    scan = SCAN,
    maxScan = MAX_SCAN,
  }: { limit: number; ownerId: string | null; scan?: number; maxScan?: number },
): Promise<Found> {
  const pairs: DuplicatePair[] = [];
  let after = start;
  const until = performance.now() + PATIENCE_MS;
  for (let seen = 0; seen < maxScan && (seen === 0 || performance.now() < until); seen += scan) {
    const ids = await scanContacts(em, { from: after.a, ownerId, limit: scan });
    const wanted = limit - pairs.length + 1;
    pairs.push(...(await findDuplicates(em, ids, { after, ownerId, limit: wanted })));
    const shown = pairs.slice(0, limit);
    if (pairs.length > limit) return { pairs: shown, next: shown.at(-1) ?? null };
    const last = ids.at(-1);
    if (last === undefined || ids.length < scan) return { pairs, next: null };
    after = { a: last, b: LAST };
  }
  return { pairs, next: after };
}
