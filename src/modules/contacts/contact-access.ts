import type { EntityManager } from '@mikro-orm/postgresql';
import type { FastifyRequest } from 'fastify';
import { AppError, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { authOf } from '#src/http/auth.ts';
import { mustHave, onlyOwner } from '#src/http/permissions.ts';
import type { ContactRow } from '#src/modules/contacts/contact.row.ts';
import { findContactRows, lockContact, winnerOf } from '#src/modules/contacts/contacts.query.ts';

/**
 * Before a route that changes what is everybody's (a label, a segment): who sees some contacts alone would change the others with it.
 * @throws AppError 403 that names `contacts:all`
 */
export async function mustSeeAll(request: FastifyRequest): Promise<void> {
  mustHave(authOf(request), 'contacts:all');
}

/**
 * The contact an id of a request leads to, through merges.
 * @throws AppError 404 where there is none, it is in the bin, or the caller may not see it
 */
export async function seenContact(em: EntityManager, auth: Auth, id: string): Promise<ContactRow> {
  const owner = onlyOwner(auth, 'contacts');
  const [row] = await findContactRows(em, [id], owner);
  if (row) return row;
  const winner = await winnerOf(em, id);
  const [other] = winner === id ? [] : await findContactRows(em, [winner], owner);
  if (!other) throw notFound('The contact');
  return other;
}

/** The same, to be changed: nobody else changes it until the transaction ends. */
export async function lockedContact(em: EntityManager, auth: Auth, id: string): Promise<ContactRow> {
  const seen = await seenContact(em, auth, id);
  if (!(await lockContact(em, seen.id))) throw notFound('The contact');
  return seenContact(em, auth, seen.id);
}

/** 409 for what is another contact's already; that contact is named to who may see it. */
export async function taken(
  em: EntityManager,
  auth: Auth,
  kind: string,
  contactId: string | null | undefined,
): Promise<AppError> {
  const rows = contactId ? await findContactRows(em, [contactId], onlyOwner(auth, 'contacts')) : [];
  const what = kind === 'phone' ? 'phone number' : 'identity';
  const detail = `Another contact has this ${what}${rows[0] ? `: ${rows[0].id}` : ''}.`;
  const errors = rows.map((row) => ({ path: kind, code: `${kind}_taken`, message: `is of the contact ${row.id}` }));
  return new AppError(
    409,
    kind === 'phone' ? 'phone_taken' : 'identity_taken',
    detail,
    errors.length ? { errors } : {},
  );
}
