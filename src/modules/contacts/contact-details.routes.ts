import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, notFound } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { ifMatchOf, mustMatch } from '#src/http/etag.ts';
import { DeletedView, IdParams, IdText } from '#src/http/fields.ts';
import { PageQuery } from '#src/http/page.ts';
import type { Orm } from '#src/db/orm.ts';
import { insertActivity } from '#src/modules/activities/activities.query.ts';
import { ActivityView, readTimeline, TimelinePage } from '#src/modules/activities/timeline.ts';
import { actorOf, appendAudit } from '#src/modules/audit/audit.ts';
import { lockedContact, seenContact } from '#src/modules/contacts/contact-access.ts';
import { addLabels, labelIds, removeLabels } from '#src/modules/contacts/contact-labels.query.ts';
import { presentContact } from '#src/modules/contacts/contact.row.ts';
import { ContactView, LabelsBody, MAX_LABELS, NoteBody } from '#src/modules/contacts/contacts.schemas.ts';
import { touchContact } from '#src/modules/contacts/contacts.query.ts';
import { contactEtag, inContactTx, tellContact, type Doer } from '#src/modules/contacts/contacts.service.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['contacts'], security: [{ bearer: [] }] };
const read = { access: 'contacts:read' } as const;
const write = { access: 'contacts:write' } as const;
const ONE = '/api/contacts/:id';
const LabelParams = IdParams.extend({ labelId: IdText });

/** What is done to a contact's labels. */
type LabelChange = { names: string[]; isReplacing: boolean } | { removedId: string };

/** @throws AppError 404, 412, 400 for more labels than a contact can have */
function changeLabels(
  orm: Orm,
  doer: Doer,
  contactId: string,
  { ifMatch, ...change }: LabelChange & { ifMatch: string | undefined },
): Promise<ContactView> {
  const { auth } = doer;
  return inContactTx(orm, auth, async (em) => {
    const before = await lockedContact(em, auth, contactId);
    const { id, owner_id: ownerId } = before;
    mustMatch(ifMatch, contactEtag(before));
    const wanted = 'names' in change ? await labelIds(em, change.names) : [];
    const pairs = wanted.map((labelId) => ({ contactId: id, labelId }));
    let removed: string[] = [];
    if ('removedId' in change) {
      removed = await removeLabels(em, id, { id: change.removedId });
      if (removed.length === 0) throw notFound('The label of this contact');
    } else if (change.isReplacing) removed = await removeLabels(em, id, { butIds: wanted });
    const added = (await addLabels(em, pairs, 'manual')).map(({ labelId }) => labelId);
    if (added.length + removed.length === 0) return presentContact(await seenContact(em, auth, id));
    await touchContact(em, id);
    const row = await seenContact(em, auth, id);
    // A merge may have left more than anybody can give: taking one away always works.
    if (added.length > 0 && row.labels.length > MAX_LABELS) {
      const message = `must not be more than ${MAX_LABELS} with those it has`;
      throw badRequest('validation_failed', `labels ${message}.`, [{ path: 'labels', code: 'too_big', message }]);
    }
    const told = { verb: 'updated' as const, changed: ['labels'], payload: { added, removed } };
    await tellContact(em, doer, { id, ownerId }, told);
    return presentContact(row);
  });
}

/** `/api/contacts/:id/…`: labels, notes and the timeline of a contact. */
export function contactDetailRoutes({ orm, pool }: Pick<Runtime, 'orm' | 'pool'>) {
  return async (app: App): Promise<void> => {
    for (const [method, summary] of [
      ['PUT', 'Give it these labels and no others; those that are not there are made'],
      ['POST', 'Give it these labels too; those that are not there are made'],
    ] as const) {
      app.route({
        method,
        url: `${ONE}/labels`,
        config: write,
        schema: { ...schema, summary, params: IdParams, body: LabelsBody, response: { 200: ContactView } },
        handler: async (request, reply) => {
          const doer = { auth: authOf(request), actor: actorOf(request) };
          const change = { names: request.body.labels, isReplacing: method === 'PUT', ifMatch: ifMatchOf(request) };
          const changed = await changeLabels(orm, doer, request.params.id, change);
          return reply.header('etag', contactEtag(changed)).send(changed);
        },
      });
    }

    app.delete(`${ONE}/labels/:labelId`, {
      config: write,
      schema: { ...schema, summary: 'Take a label from it', params: LabelParams, response: { 200: DeletedView } },
      handler: async (request) => {
        const doer = { auth: authOf(request), actor: actorOf(request) };
        await changeLabels(orm, doer, request.params.id, {
          removedId: request.params.labelId,
          ifMatch: ifMatchOf(request),
        });
        return { id: request.params.labelId, deleted: true as const };
      },
    });

    app.get(`${ONE}/timeline`, {
      config: read,
      schema: {
        ...schema,
        summary: 'What happened with it, the latest first',
        params: IdParams,
        querystring: PageQuery,
        response: { 200: TimelinePage },
      },
      handler: async (request) => {
        const auth = authOf(request);
        const { id: contactId } = await inWorkspaceTx(orm, auth, (em) => seenContact(em, auth, request.params.id));
        return readTimeline(pool, auth, { contactId, dealId: undefined }, request.query);
      },
    });

    app.post(`${ONE}/notes`, {
      config: write,
      schema: { ...schema, summary: 'Write a note', params: IdParams, body: NoteBody, response: { 201: ActivityView } },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const note = await inWorkspaceTx(orm, auth, async (em) => {
          const { id } = await lockedContact(em, auth, request.params.id);
          await appendAudit(em, actorOf(request), { action: 'contact.noted', target: { type: 'contact', id } });
          const activity = { type: 'note.added', contactId: id, dealId: null, actorId: auth.userId };
          return insertActivity(em, { ...activity, payload: request.body });
        });
        return reply.code(201).send(note);
      },
    });
  };
}
