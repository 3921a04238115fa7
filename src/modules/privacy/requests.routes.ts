import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { notFound } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams, IdText } from '#src/http/fields.ts';
import { decodeCursor, pageOf, PageQuery, toPage } from '#src/http/page.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import { actorOf, appendAudit } from '#src/modules/audit/audit.ts';
import { OperationAccepted, toAccepted } from '#src/modules/bulk/operations.routes.ts';
import { insertOperation } from '#src/modules/bulk/operations.query.ts';
import { closeContact, lockPerson } from '#src/modules/privacy/consent.query.ts';
import { ERASE_KIND, ERASE_START } from '#src/modules/privacy/erase.ts';
import { exportPerson } from '#src/modules/privacy/export.ts';
import { phonesOf } from '#src/modules/privacy/needles.ts';
import {
  findOpenRequest,
  findRequest,
  insertRequest,
  listRequests,
  type RequestRow,
} from '#src/modules/privacy/requests.query.ts';
import { STORES } from '#src/modules/privacy/stores.ts';
import { addressHash } from '#src/modules/privacy/suppression.ts';
import { insertSuppressions } from '#src/modules/privacy/suppression.query.ts';
import type { Runtime } from '#src/runtime.ts';

const PrivacyRequestBody = z.strictObject({ kind: z.enum(['erasure']).default('erasure'), contactId: IdText });
const PrivacyRequestView = z
  .object({
    /** Also the id of its operation. */
    id: z.uuid(),
    kind: z.enum(['erasure']),
    contactId: z.uuid(),
    requestedBy: z.uuid().nullable(),
    status: z.enum(['queued', 'active', 'completed', 'failed', 'cancelled']),
    createdAt: z.iso.datetime(),
    completedAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'PrivacyRequest' });
const ReceiptView = z
  .object({
    requestId: z.uuid(),
    contactId: z.uuid(),
    completedAt: z.iso.datetime().nullable(),
    /** Of each store: rows changed or dropped, and whether it is done with. */
    stores: z.array(z.object({ store: z.string(), count: z.int(), ok: z.boolean() })),
  })
  .meta({ id: 'PrivacyReceipt' });

const present = (row: RequestRow): z.output<typeof PrivacyRequestView> => ({
  id: row.id,
  kind: row.kind,
  contactId: row.contact_id,
  requestedBy: row.requested_by,
  status: row.status,
  createdAt: row.created_at,
  completedAt: row.completed_at,
});

const schema = { tags: ['privacy'], security: [{ bearer: [] }] };

/** What people may ask for: to know what is kept of them, and to be forgotten (Lei 13.709, art. 18). */
export function privacyRoutes({ orm, config: { APP_SECRET: appSecret } }: Pick<Runtime, 'orm' | 'config'>) {
  /** Asks for a person to be forgotten. @returns the id of the request that is under way */
  const forget = (request: FastifyRequest, askedId: string): Promise<string> => {
    const auth = authOf(request);
    const { userId, workspaceId } = auth;
    return inWorkspaceTx(orm, auth, async (em) => {
      const contact = await lockPerson(em, askedId, { onlyOf: onlyOwner(auth, 'contacts'), alsoInBin: true });
      if (!contact) throw notFound('The contact');
      const contactId = contact.id;
      const open = await findOpenRequest(em, contactId);
      if (open && ['queued', 'active'].includes(open.status)) return open.id;
      const id = newId();
      const hashes = phonesOf(contact.known, contact.phone).map((phone) => addressHash(appSecret, workspaceId, phone));
      await insertSuppressions(em, hashes, { reason: 'erasure', source: 'erasure', createdBy: userId });
      await insertRequest(em, { id, contactId, userId });
      await closeContact(em, contactId);
      const asked = { id, userId, kind: ERASE_KIND, input: { contactId }, state: ERASE_START };
      await insertOperation(em, { ...asked, total: STORES.length });
      const target = { type: 'contact', id: contactId };
      await appendAudit(em, actorOf(request), { action: 'contact.erasure_requested', target });
      return id;
    });
  };

  return async (app: App): Promise<void> => {
    app.get('/api/contacts/:id/export', {
      config: { access: 'contacts:export' },
      schema: { ...schema, summary: 'All that is known of a contact, as one JSON document', params: IdParams },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const id = await inWorkspaceTx(orm, auth, async (em) => {
          const how = { onlyOf: onlyOwner(auth, 'contacts'), alsoInBin: true };
          const contact = await lockPerson(em, request.params.id, how);
          if (!contact) throw notFound('The contact');
          const target = { type: 'contact', id: contact.id };
          await appendAudit(em, actorOf(request), { action: 'contact.exported', target });
          return contact.id;
        });
        reply.header('content-type', 'application/json; charset=utf-8');
        reply.header('content-disposition', `attachment; filename="contact-${id}.json"`);
        return reply.send(Readable.from(exportPerson(orm, auth, id)));
      },
    });

    app.post('/api/contacts/:id/erasure', {
      config: { access: 'contacts:erase' },
      schema: {
        ...schema,
        summary: 'Forget a contact; asked again while it is under way, it is the same request',
        params: IdParams,
        response: { 202: OperationAccepted },
      },
      handler: async (request, reply) => reply.code(202).send(toAccepted(await forget(request, request.params.id))),
    });

    app.post('/api/privacy/requests', {
      config: { access: 'contacts:erase' },
      schema: {
        ...schema,
        summary: 'The same, by the contact it is for',
        body: PrivacyRequestBody,
        response: { 202: OperationAccepted },
      },
      handler: async (request, reply) =>
        reply.code(202).send(toAccepted(await forget(request, request.body.contactId))),
    });

    app.get('/api/privacy/requests', {
      config: { access: 'contacts:erase' },
      schema: {
        ...schema,
        summary: 'What was asked for, the newest first',
        querystring: PageQuery,
        response: { 200: pageOf(PrivacyRequestView) },
      },
      handler: async (request) => {
        const { limit, cursor } = request.query;
        const before = cursor === undefined ? null : decodeCursor(cursor, z.tuple([z.uuid()]))[0];
        const rows = await inWorkspaceTx(orm, authOf(request), (em) => listRequests(em, before, limit + 1));
        return toPage(rows, limit, ({ id }) => [id], present);
      },
    });

    app.get('/api/privacy/requests/:id/receipt', {
      config: { access: 'contacts:erase' },
      schema: { ...schema, summary: 'What was done, store by store', params: IdParams, response: { 200: ReceiptView } },
      handler: async (request) => {
        const row = await inWorkspaceTx(orm, authOf(request), (em) => findRequest(em, request.params.id));
        if (!row) throw notFound('The request');
        const { id: requestId, contact_id: contactId, completed_at: completedAt, receipt: stores } = row;
        return { requestId, contactId, completedAt, stores };
      },
    });
  };
}
