import { z } from 'zod';
import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { mustHave, onlyOwner } from '#src/http/permissions.ts';
import { findBinned } from '#src/modules/contacts/bin.query.ts';
import { presentContact } from '#src/modules/contacts/contact.row.ts';
import type { ContactQuery } from '#src/modules/contacts/contacts.schemas.ts';

const Place = z.tuple([z.literal('bin'), z.int().min(0), z.uuid()]);

/**
 * A page of the contacts the caller may take out of the bin, the last that went into it first.
 * @throws AppError 403 for who may not, 400 for a filter or a sort beside it, and for a cursor of another list
 */
export async function listBin(
  orm: Orm,
  auth: Auth,
  { limit, cursor, sort, archived, ...filters }: Omit<ContactQuery, 'deleted'>,
) {
  mustHave(auth, 'contacts:write');
  const [other] = [
    ...Object.keys(filters),
    ...(archived === 'false' ? [] : ['archived']),
    ...(sort === '-createdAt' ? [] : ['sort']),
  ];
  if (other !== undefined) {
    const message = 'cannot be asked of the bin';
    throw badRequest('validation_failed', `query.${other} ${message}.`, [
      { path: `query.${other}`, code: 'not_with_deleted', message },
    ]);
  }
  const place = cursor === undefined ? null : decodeCursor(cursor, Place);
  const asked = {
    ownerId: onlyOwner(auth, 'contacts'),
    after: place && ([place[1], place[2]] as const),
    limit: limit + 1,
  };
  const rows = await inWorkspaceTx(orm, auth, (em) => findBinned(em, asked));
  return toPage(rows, limit, (row) => ['bin', row.binned_us, row.id], presentContact);
}
