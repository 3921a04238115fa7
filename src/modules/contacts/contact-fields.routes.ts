import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, conflict } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { nameText } from '#src/http/fields.ts';
import { ContactField, FIELD_KINDS } from '#src/modules/contacts/contact-field.entity.ts';
import { crud, ownedView } from '#src/modules/crud.ts';
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
    access: { read: 'contacts:read', write: 'contacts:write' },
  } as const;
  const fields = crud(rt, ContactField, { ...resource, body: ContactFieldBody });
  const { update } = crud(rt, ContactField, { ...resource, body: ContactFieldPatch });

  async function checkNew(request: FastifyRequest<{ Body: z.output<typeof ContactFieldBody> }>): Promise<void> {
    if (request.body.kind === 'select' && !request.body.options?.length) {
      const message = 'must have something to choose from';
      throw badRequest('validation_failed', `options ${message}.`, [{ path: 'options', code: 'required', message }]);
    }
    const some = await inWorkspaceTx(rt.orm, authOf(request), (em) =>
      em.find(ContactField, {}, { limit: MAX_FIELDS, fields: ['id'] }),
    );
    if (some.length < MAX_FIELDS) return;
    throw conflict('too_many_fields', `A workspace has at most ${MAX_FIELDS} fields of its own.`);
  }

  return async (app: App): Promise<void> => {
    app.get('/api/contact-fields', fields.list);
    app.post('/api/contact-fields', { ...fields.create, preHandler: checkNew });
    app.get('/api/contact-fields/:id', fields.get);
    app.patch('/api/contact-fields/:id', update);
    app.delete('/api/contact-fields/:id', fields.remove);
  };
}
