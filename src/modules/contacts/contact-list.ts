import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { Auth } from '#src/http/access-token.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { listBin } from '#src/modules/contacts/bin.ts';
import { findContactPage, type ListedContact } from '#src/modules/contacts/contact-list.query.ts';
import { presentContact } from '#src/modules/contacts/contact.row.ts';
import { SORTS, type ContactQuery, type SortName } from '#src/modules/contacts/contacts.schemas.ts';

const Microseconds = z.int().min(0);
const KEYS: Record<SortName, z.ZodType<number | string | null>> = {
  createdAt: Microseconds,
  lastInboundAt: Microseconds.nullable(),
  leadScore: z.int32(),
  name: z
    .string()
    .max(4000)
    .refine((text) => text.isWellFormed() && !text.includes('\0')),
};

/** What of a list its cursors belong to. */
const hashOf = (asked: object): string =>
  createHash('sha256').update(JSON.stringify(asked)).digest('base64url').slice(0, 12);

/** A page of the contacts the caller may see, or of the bin. @throws AppError 400 for a cursor of another list, 403 as `listBin` */
export async function listContacts(orm: Orm, auth: Auth, { deleted, ...query }: ContactQuery) {
  if (deleted === 'true') return listBin(orm, auth, query);
  const { limit, cursor, sort, ...filters } = query;
  const isDescending = sort.startsWith('-');
  const name = SORTS.find((one) => sort.endsWith(one)) ?? 'createdAt';
  const hash = hashOf([sort, Object.entries(filters).toSorted(([a], [b]) => (a < b ? -1 : 1))]);
  const place = cursor === undefined ? null : decodeCursor(cursor, z.tuple([z.literal(hash), KEYS[name], z.uuid()]));
  const rows = await inWorkspaceTx(orm, auth, (em) =>
    findContactPage(em, {
      filters,
      onlyOwner: onlyOwner(auth, 'contacts'),
      sort: { name, isDescending },
      after: place && [place[1], place[2]],
      limit: limit + 1,
    }),
  );
  return toPage<ListedContact, ReturnType<typeof presentContact>>(
    rows,
    limit,
    (row) => [hash, row.sort_key, row.id],
    presentContact,
  );
}
