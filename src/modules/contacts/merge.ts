import { UniqueConstraintViolationException, type EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { AppError, badRequest, conflict, notFound, type FieldError } from '#src/errors.ts';
import { emitEvents } from '#src/events/outbox.query.ts';
import type { Auth } from '#src/http/access-token.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import { addActivities } from '#src/modules/activities/activity.query.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import {
  ContactImage,
  mergeValues,
  unmergeValues,
  type ChosenField,
  type MergeChoices,
} from '#src/modules/contacts/merge-fields.ts';
import { checkContactRoom } from '#src/modules/billing/room.ts';
import { isMember } from '#src/modules/contacts/contacts.query.ts';
import { moveBack, moveChildren, type Move } from '#src/modules/contacts/merge-moves.query.ts';
import {
  closeLosers,
  denyConsent,
  followConversations,
  hasDecidedSince,
  insertMerge,
  joinConversations,
  lockContacts,
  lockMerge,
  markUndone,
  partConversations,
  reopenLosers,
  saveWinner,
  type ConversationImage,
  type MergeRow,
} from '#src/modules/contacts/merge.query.ts';
import { suppressDenied } from '#src/modules/privacy/suppression.ts';
import type { Runtime } from '#src/runtime.ts';

/** What is asked for: choices are ids of the contacts, or `winner`. */
export interface Merge {
  winnerId: string;
  loserIds: readonly string[];
  fields: Partial<Record<ChosenField, string>>;
  customFields: Record<string, string>;
}

/** Who asks, and how they are named in the audit log. */
export interface Asker {
  auth: Auth;
  actor: Actor;
}

/** What became of a merge: the contacts that are one now, or are several again. */
export interface Merged {
  id: string;
  winnerId: string;
  loserIds: string[];
}

const wrong = (path: string, message: string) =>
  badRequest('validation_failed', `${path}: ${message}`, [{ path, code: 'custom', message }]);

function checkMerge({ winnerId, loserIds, fields, customFields }: Merge): void {
  const ids = new Set([winnerId, ...loserIds]);
  if (ids.size <= loserIds.length) throw wrong('loserIds', 'must name each contact once, and not the winner');
  for (const [place, choices] of Object.entries({ fields, customFields }))
    for (const [name, choice] of Object.entries(choices))
      if (choice !== 'winner' && !ids.has(choice))
        throw wrong(`${place}.${name}`, 'must be winner or the id of one of the contacts');
}

/** Choices by the contact's id. */
const choicesOf = ({ winnerId, fields, customFields }: Merge): MergeChoices => {
  const named = (choices: Record<string, string>) =>
    Object.fromEntries(Object.entries(choices).map(([name, id]) => [name, id === 'winner' ? winnerId : id]));
  return { fields: named(fields), customFields: named(customFields) };
};

/** The contacts by id, each alive and one the caller may see. */
async function lockAlive(em: EntityManager, auth: Auth, ids: readonly string[]): Promise<ContactImage[]> {
  const ownerId = onlyOwner(auth, 'contacts');
  const images = await lockContacts(em, ids);
  return ids.map((id) => {
    const image = images.get(id);
    const isSeen = image && image['deleted_at'] === null && (ownerId === undefined || image.owner_id === ownerId);
    if (!isSeen) throw notFound(`The contact ${id}`);
    return image;
  });
}

const keyOf = ({ config }: Pick<Runtime, 'config'>, { workspaceId }: Auth) => ({
  appSecret: config.APP_SECRET,
  workspaceId,
});

/**
 * Makes contacts one, in one transaction: all that hangs on the losers hangs on the winner afterwards, but for what the winner has already;
 * what the winner does not know it takes from them. Their ids go on to lead to it. Kept for 30 days, to be undone.
 * @throws AppError 404 for a contact the caller does not see
 */
export async function mergeContacts(
  rt: Pick<Runtime, 'orm' | 'config'>,
  { auth, actor }: Asker,
  merge: Merge,
): Promise<Merged> {
  checkMerge(merge);
  const { winnerId, loserIds } = merge;
  return inWorkspaceTx(rt.orm, auth, async (em) => {
    const images = await lockAlive(em, auth, [winnerId, ...loserIds]);
    const [winner, ...losers] = images;
    if (!winner) throw notFound('The contact');
    const after = mergeValues(winner, losers, choicesOf(merge));
    const moves: Move[] = [];
    const joined = new Map<string, ConversationImage>();
    for (const loserId of loserIds) {
      for (const image of await joinConversations(em, winnerId, loserId))
        if (!joined.has(image.id)) joined.set(image.id, image);
      moves.push(...(await moveChildren(em, 'contact', loserId, winnerId)));
    }
    await closeLosers(em, winnerId, loserIds);
    await saveWinner(em, winnerId, after);
    if (after.consent === 'denied') await suppressDenied(em, keyOf(rt, auth), [winnerId], auth.userId);
    const id = newId();
    const before = { winner, losers, conversations: [...joined.values()] };
    await insertMerge(em, { id, winnerId, loserIds, userId: auth.userId, before, after, moves });
    await addActivities(em, [
      {
        type: 'contact.merged',
        contactId: winnerId,
        dealId: null,
        actorId: auth.userId,
        payload: { mergeId: id, mergedIds: loserIds },
      },
    ]);
    const common = { type: 'contact.merged', subjectId: winnerId, actorId: auth.userId } as const;
    const data = { contactId: winnerId, ownerId: after.owner_id };
    await emitEvents(
      em,
      loserIds.map((mergedId) => ({ ...common, data: { ...data, mergedId } })),
    );
    const target = { type: 'contact', id: winnerId };
    await appendAudit(em, actor, { action: 'contact.merged', target, after: { mergeId: id, loserIds } });
    return { id, winnerId, loserIds: [...loserIds] };
  });
}

const Before = z.object({
  winner: ContactImage,
  losers: z.array(ContactImage),
  conversations: z.array(z.looseObject({ id: z.string() })).default([]),
});

/** Puts the contacts back as they were. @returns what stands against it */
async function putBack(em: EntityManager, merge: MergeRow, now: ContactImage): Promise<FieldError[]> {
  const { winner, losers, conversations } = Before.parse(merge.before);
  const isDecided = await hasDecidedSince(em, merge.winner_id, merge.id);
  const { values, changed } = unmergeValues(winner, merge.after, now, isDecided);
  const errors = changed.map((field) => ({
    path: `winner.${field}`,
    code: 'changed',
    message: 'was changed since the merge',
  }));
  for (const [table, count] of await moveBack(em, merge.moves)) {
    const message = `${count} that the merge moved were moved on or deleted since`;
    errors.push({ path: table, code: 'changed', message });
  }
  await partConversations(em, merge.id, conversations);
  const moved = merge.moves.filter(({ table }) => table === 'conversation').flatMap(({ keys }) => keys);
  await followConversations(
    em,
    moved.map((key) => key['id']),
  );
  // The images do not know of members who left since.
  if (values.owner_id !== null && !(await isMember(em, values.owner_id))) values.owner_id = null;
  await saveWinner(em, merge.winner_id, values);
  const back = await reopenLosers(em, merge.winner_id, merge.loser_ids);
  // Which of them it was who said no since, nobody knows.
  if (isDecided && now.consent === 'denied') await denyConsent(em, back);
  for (const { id } of losers)
    if (!back.includes(id))
      errors.push({ path: `contacts.${id}`, code: 'changed', message: 'is no longer merged into it' });
  return errors;
}

const changedSince = (errors?: FieldError[]) =>
  new AppError(
    409,
    'merge_changed',
    'What the merge made was changed since, so it cannot be undone.',
    errors ? { errors } : {},
  );

/**
 * Makes several contacts again of what a merge made one: everything that it moved goes back, and what came since stays with the winner.
 * @throws AppError 403 `plan_limit`, 409 `merge_changed` that names what was changed since, with nothing undone; 404 after 30 days
 */
export async function undoMerge(
  rt: Pick<Runtime, 'orm' | 'config'>,
  { auth, actor }: Asker,
  id: string,
): Promise<Merged> {
  const undo = inWorkspaceTx(rt.orm, auth, async (em) => {
    const merge = await lockMerge(em, id);
    if (!merge) throw notFound('The merge');
    const { winner_id: winnerId, loser_ids: loserIds } = merge;
    const images = await lockContacts(em, [winnerId, ...loserIds]);
    const winner = images.get(winnerId);
    const ownerId = onlyOwner(auth, 'contacts');
    if (!winner || (ownerId !== undefined && winner.owner_id !== ownerId)) throw notFound('The merge');
    if (merge.undone_at !== null) throw conflict('merge_undone', 'The merge was undone already.');
    if (winner['deleted_at'] !== null)
      throw changedSince([{ path: 'winner', code: 'changed', message: 'was deleted or merged itself since' }]);
    await checkContactRoom(em, loserIds.length);
    const errors = await putBack(em, merge, winner);
    if (errors.length > 0) throw changedSince(errors.slice(0, 20));
    await markUndone(em, id);
    const actorId = auth.userId;
    // As one, they may have agreed with all their numbers.
    await suppressDenied(em, keyOf(rt, auth), [winnerId, ...loserIds], actorId);
    const back = [...(await lockContacts(em, loserIds)).values()];
    const payload = { mergeId: id, winnerId };
    await addActivities(
      em,
      back.map((loser) => ({ type: 'contact.restored', contactId: loser.id, dealId: null, actorId, payload })),
    );
    await emitEvents(
      em,
      back.map((loser) => ({
        type: 'contact.restored' as const,
        data: { contactId: loser.id, ownerId: loser.owner_id },
        subjectId: loser.id,
        actorId,
      })),
    );
    const target = { type: 'contact', id: winnerId };
    await appendAudit(em, actor, { action: 'contact.merge_undone', target, after: { mergeId: id, loserIds } });
    return { id, winnerId, loserIds };
  });
  return undo.catch((error: unknown) => {
    // Somebody took what one of them was known by.
    throw error instanceof UniqueConstraintViolationException ? changedSince() : error;
  });
}
