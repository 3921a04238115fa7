import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { decodeCursor, encodeCursor, pageOf, PageQuery } from '#src/http/page.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { presentContact } from '#src/modules/contacts/contact.row.ts';
import { findContactRows } from '#src/modules/contacts/contacts.query.ts';
import { ContactView } from '#src/modules/contacts/contacts.schemas.ts';
import {
  DUPLICATE_REASONS,
  findDuplicates,
  scanContacts,
  type DuplicatePair,
} from '#src/modules/contacts/duplicates.query.ts';
import { inTime } from '#src/modules/segments/search.query.ts';
import type { Runtime } from '#src/runtime.ts';

/** Contacts looked at by one statement, and by one request: who has few duplicates gets short pages, not long waits. */
const SCAN = 1000;
const MAX_SCAN = 20_000;
const FIRST = { a: '00000000-0000-0000-0000-000000000000', b: '00000000-0000-0000-0000-000000000000' };
const LAST = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

export const DuplicateView = z
  .object({ contacts: z.tuple([ContactView, ContactView]), reasons: z.array(z.enum(DUPLICATE_REASONS)) })
  .meta({ id: 'ContactDuplicate' });

interface Found {
  pairs: DuplicatePair[];
  /** What the next page begins behind; null at the end. */
  next: { a: string; b: string } | null;
}

/** The next pairs behind one. */
async function nextPairs(
  em: EntityManager,
  start: { a: string; b: string },
  { limit, ownerId }: { limit: number; ownerId: string | null },
): Promise<Found> {
  const pairs: DuplicatePair[] = [];
  let after = start;
  for (let seen = 0; seen < MAX_SCAN; seen += SCAN) {
    const ids = await scanContacts(em, { from: after.a, ownerId, limit: SCAN });
    const wanted = limit - pairs.length + 1;
    pairs.push(...(await findDuplicates(em, ids, { after, ownerId, limit: wanted })));
    const shown = pairs.slice(0, limit);
    if (pairs.length > limit) return { pairs: shown, next: shown.at(-1) ?? null };
    const last = ids.at(-1);
    if (last === undefined || ids.length < SCAN) return { pairs, next: null };
    after = { a: last, b: LAST };
  }
  return { pairs, next: after };
}

/** `GET /api/contacts/duplicates`: pairs of contacts that may be one person. A page may be short, or empty, and not be the last. */
export function duplicateRoutes({ orm }: Pick<Runtime, 'orm'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/contacts/duplicates', {
      config: { access: 'contacts:read' },
      schema: {
        tags: ['contacts'],
        security: [{ bearer: [] }],
        querystring: PageQuery,
        response: { 200: pageOf(DuplicateView) },
      },
      handler: (request) => {
        const auth = authOf(request);
        const { limit, cursor } = request.query;
        const [a, b] = cursor === undefined ? [FIRST.a, FIRST.b] : decodeCursor(cursor, z.tuple([z.guid(), z.guid()]));
        const ownerId = onlyOwner(auth, 'contacts');
        return inWorkspaceTx(orm, auth, async (em) => {
          const asked = { limit, ownerId: ownerId ?? null };
          const { pairs, next } = await inTime(em, () => nextPairs(em, { a, b }, asked));
          const rows = await findContactRows(em, [...new Set(pairs.flatMap((pair) => [pair.a, pair.b]))], ownerId);
          const views = new Map(rows.map((row) => [row.id, presentContact(row)]));
          const data = pairs.flatMap((pair) => {
            const [first, second] = [views.get(pair.a), views.get(pair.b)];
            return first && second
              ? [{ contacts: [first, second] as [ContactView, ContactView], reasons: pair.reasons }]
              : [];
          });
          const nextCursor = next && encodeCursor([next.a, next.b]);
          return { data, page: { nextCursor, hasMore: nextCursor !== null } };
        });
      },
    });
  };
}
