import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams, IdText } from '#src/http/fields.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import { CHOSEN_FIELDS } from '#src/modules/contacts/merge-fields.ts';
import { mergeContacts, undoMerge } from '#src/modules/contacts/merge.ts';
import type { Runtime } from '#src/runtime.ts';

const Choice = z.union([z.literal('winner'), IdText]);

export const MergeBody = z.strictObject({
  winnerId: IdText,
  loserIds: z.array(IdText).min(1).max(10),
  /** Whose value to keep, where not the winner's or else the first there is. */
  fields: z.partialRecord(z.enum(CHOSEN_FIELDS), Choice).default({}),
  customFields: z.record(z.string().min(1).max(40), Choice).default({}),
});
export const MergeView = z
  .object({ id: z.uuid(), winnerId: z.uuid(), loserIds: z.array(z.uuid()) })
  .meta({ id: 'ContactMerge' });

const schema = { tags: ['contacts'], security: [{ bearer: [] }] };

/** `/api/contacts/merge` and its undo. */
export function mergeRoutes(rt: Pick<Runtime, 'orm' | 'config'>) {
  return async (app: App): Promise<void> => {
    app.post('/api/contacts/merge', {
      config: { access: 'contacts:write' },
      schema: { ...schema, body: MergeBody, response: { 200: MergeView } },
      handler: (request) => mergeContacts(rt, { auth: authOf(request), actor: actorOf(request) }, request.body),
    });

    app.post('/api/contacts/merges/:id/undo', {
      config: { access: 'contacts:write' },
      schema: { ...schema, params: IdParams, response: { 200: MergeView } },
      handler: (request) => undoMerge(rt, { auth: authOf(request), actor: actorOf(request) }, request.params.id),
    });
  };
}
