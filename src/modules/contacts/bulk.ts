import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { AppError } from '#src/errors.ts';
import { emitEvents } from '#src/events/outbox.query.ts';
import { IdText } from '#src/http/fields.ts';
import { dealsOfKept, type DealsOf } from '#src/modules/activities/activity-sight.ts';
import { addActivities } from '#src/modules/activities/activity.query.ts';
import { defineOperation } from '#src/modules/bulk/operation.ts';
import {
  archiveContacts,
  assignContacts,
  binContacts,
  findFullContacts,
  idsCondition,
  isMemberHere,
  labelContacts,
  takeContacts,
  unarchiveContacts,
  unlabelContacts,
  type ChangedContact,
} from '#src/modules/contacts/bulk.query.ts';
import { MAX_LABELS } from '#src/modules/contacts/contacts.schemas.ts';
import { compileFilter, type Condition } from '#src/modules/segments/compile-filter.query.ts';
import { loadFilterFields } from '#src/modules/segments/filter-fields.query.ts';
import { SegmentFilter } from '#src/modules/segments/segment-filter.ts';

/** A step's worth: some tenths of a second. */
const STEP = 1000;

const LabelIds = z.array(IdText).min(1).max(20);
/** What can be done with many contacts. */
export const CHANGES = [
  z.strictObject({ action: z.literal('addLabels'), labelIds: LabelIds }),
  z.strictObject({ action: z.literal('removeLabels'), labelIds: LabelIds }),
  z.strictObject({ action: z.literal('setOwner'), ownerId: IdText.nullable() }),
  z.strictObject({ action: z.literal('archive') }),
  z.strictObject({ action: z.literal('unarchive') }),
  z.strictObject({ action: z.literal('delete') }),
] as const;
export const ContactChange = z.discriminatedUnion('action', CHANGES);
export type ContactChange = z.output<typeof ContactChange>;

export const Selection = z.union([z.strictObject({ filter: SegmentFilter }), z.strictObject({ ids: z.array(IdText) })]);
export type Selection = z.output<typeof Selection>;

export const BulkInput = z.strictObject({
  selection: Selection,
  change: ContactChange,
  /** Whose contacts alone, for those who see only their own. */
  onlyOwnerId: IdText.nullable(),
  /** Whose deals alone count in the filter, by the same rule. Operations from before it have none. */
  onlyDealsOf: IdText.nullable().default(null),
  /** What days of the filter are counted from: the same in every step. */
  now: z.iso.datetime(),
});
export type BulkInput = z.output<typeof BulkInput>;
export const BulkState = z.strictObject({ after: IdText.nullable(), upTo: IdText });

export const BULK_KIND = 'contacts.bulk';

/** What of a contact each action changes, as events name it. */
const CHANGED = {
  addLabels: 'labels',
  removeLabels: 'labels',
  setOwner: 'ownerId',
  archive: 'isArchived',
  unarchive: 'isArchived',
} as const;

/** The condition of a selection. @throws AppError 403 where it asks for deals and none may be seen, 422 that names a label or field there is not (any more) */
export async function conditionOf(
  em: EntityManager,
  selection: Selection,
  deals: DealsOf,
  now: string,
): Promise<Condition> {
  if ('ids' in selection) return idsCondition(selection.ids);
  const { filter } = selection;
  return compileFilter(filter, await loadFilterFields(em, filter, deals, new Date(now)));
}

const PLAIN = { archive: archiveContacts, unarchive: unarchiveContacts, delete: binContacts } as const;

/** @returns those that were not so already */
async function apply(em: EntityManager, ids: readonly string[], change: ContactChange): Promise<ChangedContact[]> {
  if (change.action === 'addLabels') return labelContacts(em, ids, change.labelIds);
  if (change.action === 'removeLabels') return unlabelContacts(em, ids, change.labelIds);
  if (change.action !== 'setOwner') return PLAIN[change.action](em, ids);
  if (change.ownerId !== null && !(await isMemberHere(em, change.ownerId)))
    throw new AppError(409, 'owner_gone', 'Who was to look after them is no longer a member.');
  return assignContacts(em, ids, change.ownerId);
}

async function tell(
  em: EntityManager,
  rows: readonly ChangedContact[],
  { action }: ContactChange,
  operation: { id: string; userId: string },
): Promise<void> {
  const actorId = operation.userId;
  const changed = action === 'delete' ? null : [CHANGED[action]];
  const payload = { operationId: operation.id, ...(changed && { changed }) };
  const type = changed === null ? 'contact.deleted' : 'contact.updated';
  await addActivities(
    em,
    rows.map(({ id }) => ({ type, contactId: id, dealId: null, actorId, payload })),
  );
  await emitEvents(
    em,
    rows.map(({ id, owner_id: ownerId }) => {
      const event = { subjectId: id, actorId };
      const data = { contactId: id, ownerId };
      return changed === null
        ? { ...event, type: 'contact.deleted' as const, data }
        : { ...event, type: 'contact.updated' as const, data: { ...data, changed } };
    }),
  );
}

/** One change of many contacts, a thousand to a step, in the order of their ids. */
export const contactsBulk = defineOperation({
  name: BULK_KIND,
  input: BulkInput,
  state: BulkState,
  async step(em, operation) {
    const { input, state, counts, done } = operation;
    const { selection, change, onlyOwnerId: ownerId } = input;
    const where = await conditionOf(em, selection, dealsOfKept(input.onlyDealsOf), input.now);
    const ids = await takeContacts(em, where, { ...state, ownerId, limit: STEP });
    const full =
      change.action === 'addLabels' ? new Set(await findFullContacts(em, ids, change.labelIds, MAX_LABELS)) : undefined;
    const fit = full === undefined ? ids : ids.filter((id) => !full.has(id));
    const changed = fit.length === 0 ? [] : await apply(em, fit, change);
    await tell(em, changed, change, operation);
    const isOver = ids.length < STEP;
    const seen = done + ids.length;
    const missing: Record<string, number> =
      isOver && 'ids' in selection ? { missing: new Set(selection.ids).size - seen } : {};
    return {
      state: { ...state, after: ids.at(-1) ?? state.after },
      done: seen,
      counts: {
        changed: (counts['changed'] ?? 0) + changed.length,
        unchanged: (counts['unchanged'] ?? 0) + fit.length - changed.length,
        ...(full && { tooManyLabels: (counts['tooManyLabels'] ?? 0) + full.size }),
        ...missing,
      },
      isOver,
    };
  },
});
