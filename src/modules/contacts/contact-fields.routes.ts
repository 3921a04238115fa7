import { UniqueConstraintViolationException, wrap } from '@mikro-orm/postgresql';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, conflict } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { etagOf } from '#src/http/etag.ts';
import { nameText } from '#src/http/fields.ts';
import { actorOf, appendAudit, fieldsOf } from '#src/modules/audit/audit.ts';
import { ContactField, FIELD_KINDS } from '#src/modules/contacts/contact-field.entity.ts';
import { crud, ownedView } from '#src/modules/crud.ts';
import { lockWorkspaceRow } from '#src/modules/workspaces/lock.query.ts';
import type { Runtime } from '#src/runtime.ts';

/** How many a workspace can have. */
export const MAX_FIELDS = 100;

const Key = z.string().regex(/^[a-z][a-z0-9_]{0,39}$/, 'must be like birth_date: small letters, digits and _');
const options = z.array(nameText(60)).max(100).optional();

export const ContactFieldBody = z.strictObject({ key: Key, name: nameText(60), kind: z.enum(FIELD_KINDS), options });
/** What a field is called in contacts, and what it can hold, stay as they are: contacts have values of it. */
export const ContactFieldPatch = z.strictObject({ name: nameText(60), options });
export const ContactFieldView = z
  .object({ ...ownedView, ...ContactFieldBody.shape, options: z.array(z.string()) })
  .meta({ id: 'ContactField' });

/** `/api/contact-fields`. */
export function contactFieldRoutes(rt: Pick<Runtime, 'orm'>) {
  const resource = {
    name: 'contact_field',
    view: ContactFieldView,
    access: { read: 'contacts:read', write: 'contact-fields:manage' },
  } as const;
  const fields = crud(rt, ContactField, { ...resource, body: ContactFieldBody });
  const { update } = crud(rt, ContactField, { ...resource, body: ContactFieldPatch });

  async function create(request: FastifyRequest<{ Body: z.output<typeof ContactFieldBody> }>, reply: FastifyReply) {
    const { body } = request;
    if (body.kind === 'select' && !body.options?.length) {
      const message = 'must have something to choose from';
      throw badRequest('validation_failed', `options ${message}.`, [{ path: 'options', code: 'required', message }]);
    }
    const { workspaceId } = authOf(request);
    const made = await inWorkspaceTx(rt.orm, authOf(request), async (em) => {
      // Two that come at once would both find room for the last one.
      await lockWorkspaceRow(em, workspaceId);
      if ((await em.count(ContactField)) >= MAX_FIELDS)
        throw conflict('too_many_fields', `A workspace has at most ${MAX_FIELDS} fields of its own.`);
      const now = new Date();
      const field = em.create(ContactField, { workspace: workspaceId, createdAt: now, updatedAt: now, ...body });
      await em.flush();
      const target = { type: 'contact_field', id: field.id };
      await appendAudit(em, actorOf(request), { action: 'contact_field.created', target, after: fieldsOf(body) });
      return ContactFieldView.parse(JSON.parse(JSON.stringify(wrap(field).toPOJO())));
    }).catch((error: unknown) => {
      if (!(error instanceof UniqueConstraintViolationException)) throw error;
      throw conflict('contact_field_exists', 'There is a contact_field like it already.');
    });
    return reply.code(201).header('etag', etagOf(made)).send(made);
  }

  return async (app: App): Promise<void> => {
    app.get('/api/contact-fields', fields.list);
    app.post('/api/contact-fields', { ...fields.create, handler: create });
    app.get('/api/contact-fields/:id', fields.get);
    app.patch('/api/contact-fields/:id', update);
    app.delete('/api/contact-fields/:id', fields.remove);
  };
}
