import type { FastifyReply, FastifyRequest } from 'fastify';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { ifMatchOf } from '#src/http/etag.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import { listContacts } from '#src/modules/contacts/contact-list.ts';
import { lookUpContacts } from '#src/modules/contacts/contact-lookup.ts';
import {
  ContactBody,
  ContactPage,
  ContactPatch,
  ContactQuery,
  ContactView,
  LookupBody,
  LookupView,
} from '#src/modules/contacts/contacts.schemas.ts';
import {
  changeContact,
  contactEtag,
  createContact,
  deleteContact,
  readContact,
  restoreContact,
  type Doer,
} from '#src/modules/contacts/contacts.service.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['contacts'], security: [{ bearer: [] }] };
const read = { access: 'contacts:read' } as const;
const write = { access: 'contacts:write' } as const;
const ONE = '/api/contacts/:id';

const doerOf = (request: FastifyRequest): Doer => ({ auth: authOf(request), actor: actorOf(request) });
const withEtag = (reply: FastifyReply, view: ContactView) => reply.header('etag', contactEtag(view));

/** `/api/contacts`: the people a workspace talks to. */
export function contactRoutes(rt: Pick<Runtime, 'orm' | 'config'>) {
  const { orm } = rt;
  return async (app: App): Promise<void> => {
    app.get('/api/contacts', {
      config: read,
      schema: {
        ...schema,
        summary: 'Contacts by filters, words and sort',
        querystring: ContactQuery,
        response: { 200: ContactPage },
      },
      handler: (request) => listContacts(orm, authOf(request), request.query),
    });

    app.post('/api/contacts', {
      config: write,
      schema: { ...schema, summary: 'Make a contact', body: ContactBody, response: { 201: ContactView } },
      handler: async (request, reply) => {
        const made = await createContact(rt, doerOf(request), request.body);
        return withEtag(reply.code(201), made).send(made);
      },
    });

    app.post('/api/contacts/lookup', {
      config: read,
      schema: { ...schema, summary: 'Whose phone numbers these are', body: LookupBody, response: { 200: LookupView } },
      handler: (request) => lookUpContacts(orm, authOf(request), request.body.phones),
    });

    app.get(ONE, {
      config: read,
      schema: {
        ...schema,
        summary: 'A contact; an id that was merged leads to the contact it went into',
        params: IdParams,
        response: { 200: ContactView },
      },
      handler: async (request, reply) => {
        const found = await readContact(orm, authOf(request), request.params.id);
        return withEtag(reply, found).send(found);
      },
    });

    app.patch(ONE, {
      config: write,
      schema: { ...schema, summary: 'Change it', params: IdParams, body: ContactPatch, response: { 200: ContactView } },
      handler: async (request, reply) => {
        const change = { patch: request.body, ifMatch: ifMatchOf(request) };
        const changed = await changeContact(rt, doerOf(request), request.params.id, change);
        return withEtag(reply, changed).send(changed);
      },
    });

    app.delete(ONE, {
      config: write,
      schema: { ...schema, summary: 'Put it into the bin', params: IdParams, response: { 200: DeletedView } },
      handler: async (request) => {
        await deleteContact(orm, doerOf(request), request.params.id, ifMatchOf(request));
        return { id: request.params.id, deleted: true as const };
      },
    });

    app.post(`${ONE}/restore`, {
      config: write,
      schema: { ...schema, summary: 'Take it out of the bin', params: IdParams, response: { 200: ContactView } },
      handler: async (request, reply) => {
        const restored = await restoreContact(rt, doerOf(request), request.params.id);
        return withEtag(reply, restored).send(restored);
      },
    });
  };
}
