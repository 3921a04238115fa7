import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { decodeCursor, encodeCursor, pageOf, PageQuery } from '#src/http/page.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { presentContact } from '#src/modules/contacts/contact.row.ts';
import { findContactRows } from '#src/modules/contacts/contacts.query.ts';
import { ContactView } from '#src/modules/contacts/contacts.schemas.ts';
import { DUPLICATE_REASONS } from '#src/modules/contacts/duplicates.query.ts';
import { nextPairs } from '#src/modules/contacts/duplicates.ts';
import { inTime } from '#src/modules/segments/search.query.ts';
import type { Runtime } from '#src/runtime.ts';

const FIRST = { a: '00000000-0000-0000-0000-000000000000', b: '00000000-0000-0000-0000-000000000000' };

export const DuplicateView = z
  .object({ contacts: z.tuple([ContactView, ContactView]), reasons: z.array(z.enum(DUPLICATE_REASONS)) })
  .meta({ id: 'ContactDuplicate' });

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
