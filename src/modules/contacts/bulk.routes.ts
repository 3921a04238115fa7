import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { AppError, badRequest } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdText } from '#src/http/fields.ts';
import { mustHave, onlyOwner } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import { dealsOf } from '#src/modules/activities/activity-sight.ts';
import { actorOf, appendAudit } from '#src/modules/audit/audit.ts';
import { OperationAccepted, toAccepted } from '#src/modules/bulk/operations.routes.ts';
import { insertOperation } from '#src/modules/bulk/operations.query.ts';
import {
  BULK_KIND,
  CHANGES,
  conditionOf,
  ContactChange,
  type BulkInput,
  type Selection,
} from '#src/modules/contacts/bulk.ts';
import { findLabelIds, isMemberHere, lastContactId } from '#src/modules/contacts/bulk.query.ts';
import { AskedFilter } from '#src/modules/segments/segment-filter.ts';
import type { Runtime } from '#src/runtime.ts';

const NOBODY = '00000000-0000-0000-0000-000000000000';

const whom = {
  filter: AskedFilter.optional(),
  ids: z.array(IdText).min(1).max(1000).optional(),
};
const [labels, unlabels, owner, archive, unarchive, remove] = CHANGES;
/** A change, and whom it is for: a filter or ids. */
export const ContactBulkBody = z
  .discriminatedUnion('action', [
    labels.extend(whom),
    unlabels.extend(whom),
    owner.extend(whom),
    archive.extend(whom),
    unarchive.extend(whom),
    remove.extend(whom),
  ])
  .refine(({ filter, ids }) => (filter === undefined) !== (ids === undefined), 'takes either filter or ids');

function selectionOf({ filter, ids }: z.output<typeof ContactBulkBody>): Selection {
  return filter === undefined ? { ids: ids ?? [] } : { filter };
}

const wrong = (path: string, message: string) =>
  badRequest('validation_failed', `${path} ${message}.`, [{ path, code: 'custom', message }]);

/** @param self who sees their own contacts alone gives them to nobody else */
async function checkChange(em: EntityManager, change: ContactChange, self: string | undefined): Promise<void> {
  if ('labelIds' in change) {
    const found = new Set(await findLabelIds(em, change.labelIds));
    const errors = change.labelIds.flatMap((id, index) =>
      found.has(id) ? [] : [{ path: `labelIds[${index}]`, code: 'unknown_label', message: `there is no label ${id}` }],
    );
    const [first] = errors;
    if (first) throw new AppError(422, 'unknown_reference', `${first.path}: ${first.message}.`, { errors });
  }
  if (!('ownerId' in change)) return;
  const { ownerId } = change;
  if (self !== undefined && ownerId !== self) throw wrong('ownerId', 'must be yourself');
  if (ownerId !== null && !(await isMemberHere(em, ownerId)))
    throw wrong('ownerId', 'must be a member of the workspace');
}

/** `POST /api/contacts/bulk`: one change of many contacts. */
export function contactBulkRoutes({ orm }: Pick<Runtime, 'orm'>) {
  return async (app: App): Promise<void> => {
    app.post('/api/contacts/bulk', {
      config: { access: 'contacts:write' },
      schema: {
        tags: ['contacts'],
        security: [{ bearer: [] }],
        body: ContactBulkBody,
        response: { 202: OperationAccepted },
      },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const { filter: _filter, ids, ...asked } = request.body;
        const change = ContactChange.parse(asked);
        const selection = selectionOf(request.body);
        const onlyOwnerId = onlyOwner(auth, 'contacts');
        const onlyDealsOf = onlyOwner(auth, 'deals') ?? null;
        const now = new Date().toISOString();
        const id = newId();
        // How many a filter is true of is told in the end.
        if (ids === undefined) mustHave(auth, 'contacts:read');
        await inWorkspaceTx(orm, auth, async (em) => {
          await conditionOf(em, selection, dealsOf(auth), now);
          await checkChange(em, change, onlyOwnerId);
          const input: BulkInput = { selection, change, onlyOwnerId: onlyOwnerId ?? null, onlyDealsOf, now };
          const state = { after: null, upTo: (await lastContactId(em)) ?? NOBODY };
          const total = ids && { total: new Set(ids).size };
          await insertOperation(em, { id, userId: auth.userId, kind: BULK_KIND, input, state, ...total });
          const after = { ...change, operationId: id, contacts: ids?.length ?? 'filter' };
          await appendAudit(em, actorOf(request), { action: `contacts.${change.action}`, after });
        });
        return reply.code(202).send(toAccepted(id));
      },
    });
  };
}
