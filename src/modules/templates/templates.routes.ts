import { UniqueConstraintViolationException, type EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, conflict, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { etagOf, ifMatchOf, mustMatch } from '#src/http/etag.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { decodeCursor, pageOf, PageQuery, toPage } from '#src/http/page.ts';
import { mustHave, onlyOwner } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import { actorOf, appendAudit, fieldsOf } from '#src/modules/audit/audit.ts';
import { findContactId } from '#src/modules/messages/messages.query.ts';
import { parseTemplate, renderTemplate, variablesOf } from '#src/modules/templates/template.ts';
import {
  deleteTemplate,
  fieldKeys,
  findTemplate,
  findTemplateContacts,
  findVersion,
  insertTemplate,
  insertVersion,
  listTemplates,
  listVersions,
  namesTaken,
  updateTemplate,
  type NewVersion,
  type TemplateRow,
  type VersionRow,
} from '#src/modules/templates/templates.query.ts';
import {
  DuplicateBody,
  PreviewBody,
  PreviewView,
  TemplateBody,
  TemplatePatch,
  TemplateView,
  VersionView,
} from '#src/modules/templates/templates.schemas.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['templates'], security: [{ bearer: [] }] };
const read = { access: 'messages:read' as const };
const write = { access: 'messages:write' as const };
const MAX_NAME = 100;

const toView = (row: TemplateRow): z.output<typeof TemplateView> => ({
  id: row.id,
  name: row.name,
  category: row.category,
  language: row.language,
  version: row.version,
  body: row.body,
  variables: row.variables,
  createdAt: new Date(row.created_at).toISOString(),
  updatedAt: new Date(row.updated_at).toISOString(),
});

const toVersionView = (row: VersionRow): z.output<typeof VersionView> => ({
  version: row.version,
  body: row.body,
  variables: row.variables,
  createdBy: row.created_by,
  createdAt: new Date(row.created_at).toISOString(),
});

/** @throws AppError 400 that says what is wrong with the text, and where */
async function checkedVersion(em: EntityManager, body: string, createdBy: string): Promise<NewVersion> {
  const parsed = parseTemplate(body, await fieldKeys(em));
  if ('segments' in parsed) return { body, variables: variablesOf(parsed.segments), createdBy };
  const { code, message, line, column, position } = parsed.fault;
  const detail = `${message} (line ${line}, column ${column}, position ${position})`;
  throw badRequest('validation_failed', `body ${detail}.`, [{ path: 'body', code, message: detail }]);
}

async function find(em: EntityManager, id: string, isLocked = false): Promise<TemplateRow> {
  const row = await findTemplate(em, id, isLocked);
  if (!row) throw notFound('The template');
  return row;
}

/**
 * The same, to be changed: by who made it, or who sees all contacts, to whom it is sent.
 * @throws AppError 404, 403 that names `contacts:all`
 */
async function take(em: EntityManager, auth: Auth, id: string): Promise<TemplateRow> {
  const row = await find(em, id, true);
  if ((await findVersion(em, id, 1))?.created_by !== auth.userId) mustHave(auth, 'contacts:all');
  return row;
}

function freeName(name: string, taken: ReadonlySet<string>): string {
  for (let number = 2; ; number += 1) {
    const end = ` (${number})`;
    const free = name.slice(0, MAX_NAME - end.length).toWellFormed() + end;
    if (!taken.has(free.toLowerCase())) return free;
  }
}

/** `/api/templates`, and the same at the place where the first clients look for them. */
export function templateRoutes({ orm }: Pick<Runtime, 'orm'>) {
  const inTx = <Result>(auth: Auth, work: (em: EntityManager) => Promise<Result>): Promise<Result> =>
    inWorkspaceTx(orm, auth, work).catch((error: unknown) => {
      if (!(error instanceof UniqueConstraintViolationException)) throw error;
      throw conflict('template_exists', 'There is a template of this name and language already.');
    });
  const mount = (app: App, root: string): void => {
    addReading(app, root, inTx);
    addChanging(app, root, inTx);
    addUsing(app, root, inTx);
  };
  return async (app: App): Promise<void> => {
    for (const root of ['/api/templates', '/api/messages/templates']) mount(app, root);
  };
}

type InTx = <Result>(auth: Auth, work: (em: EntityManager) => Promise<Result>) => Promise<Result>;

function addReading(app: App, root: string, inTx: InTx): void {
  app.get(root, {
    config: read,
    schema: { ...schema, querystring: PageQuery, response: { 200: pageOf(TemplateView) } },
    handler: async (request) => {
      const { limit, cursor } = request.query;
      const before = cursor === undefined ? null : decodeCursor(cursor, z.tuple([z.uuid()]))[0];
      const rows = await inTx(authOf(request), (em) => listTemplates(em, before, limit + 1));
      return toPage(rows, limit, (row) => [row.id], toView);
    },
  });

  app.get(`${root}/:id`, {
    config: read,
    schema: { ...schema, params: IdParams, response: { 200: TemplateView } },
    handler: async (request, reply) => {
      const view = toView(await inTx(authOf(request), (em) => find(em, request.params.id)));
      return reply.header('etag', etagOf(view)).send(view);
    },
  });

  app.get(`${root}/:id/versions`, {
    config: read,
    schema: { ...schema, params: IdParams, querystring: PageQuery, response: { 200: pageOf(VersionView) } },
    handler: async (request) => {
      const { limit, cursor } = request.query;
      const before = cursor === undefined ? null : decodeCursor(cursor, z.tuple([z.int32()]))[0];
      const rows = await inTx(authOf(request), async (em) => {
        const { id } = await find(em, request.params.id);
        return listVersions(em, id, before, limit + 1);
      });
      return toPage(rows, limit, (row) => [row.version], toVersionView);
    },
  });
}

function addChanging(app: App, root: string, inTx: InTx): void {
  app.post(root, {
    config: write,
    schema: { ...schema, body: TemplateBody, response: { 201: TemplateView } },
    handler: async (request, reply) => {
      const auth = authOf(request);
      const view = await inTx(auth, async (em) => {
        const { body, ...rest } = request.body;
        const version = await checkedVersion(em, body, auth.userId);
        const id = newId();
        await insertTemplate(em, { id, ...rest });
        await insertVersion(em, id, 1, version);
        const target = { type: 'template', id };
        await appendAudit(em, actorOf(request), { action: 'template.created', target, after: fieldsOf(request.body) });
        return toView(await find(em, id));
      });
      return reply.code(201).header('etag', etagOf(view)).send(view);
    },
  });

  app.patch(`${root}/:id`, {
    config: write,
    schema: {
      ...schema,
      summary: 'Changes a template; another body is a new version',
      params: IdParams,
      body: TemplatePatch,
      response: { 200: TemplateView },
    },
    handler: async (request, reply) => {
      const auth = authOf(request);
      const view = await inTx(auth, async (em) => {
        const row = await take(em, auth, request.params.id);
        mustMatch(ifMatchOf(request), etagOf(toView(row)));
        const { body, name = row.name, category = row.category, language = row.language } = request.body;
        let { version } = row;
        if (body !== undefined && body !== row.body) {
          version += 1;
          await insertVersion(em, row.id, version, await checkedVersion(em, body, auth.userId));
        }
        await updateTemplate(em, { id: row.id, name, category, language, version });
        const target = { type: 'template', id: row.id };
        const after = { ...fieldsOf(request.body), version };
        await appendAudit(em, actorOf(request), { action: 'template.changed', target, after });
        return toView(await find(em, row.id));
      });
      return reply.header('etag', etagOf(view)).send(view);
    },
  });

  app.delete(`${root}/:id`, {
    config: write,
    schema: { ...schema, params: IdParams, response: { 200: DeletedView } },
    handler: (request) => {
      const auth = authOf(request);
      return inTx(auth, async (em) => {
        const row = await take(em, auth, request.params.id);
        mustMatch(ifMatchOf(request), etagOf(toView(row)));
        await deleteTemplate(em, row.id);
        const target = { type: 'template', id: row.id };
        await appendAudit(em, actorOf(request), { action: 'template.deleted', target });
        return { id: row.id, deleted: true as const };
      });
    },
  });
}

function addUsing(app: App, root: string, inTx: InTx): void {
  app.post(`${root}/:id/duplicate`, {
    config: write,
    schema: { ...schema, params: IdParams, body: DuplicateBody, response: { 201: TemplateView } },
    handler: async (request, reply) => {
      const auth = authOf(request);
      const view = await inTx(auth, async (em) => {
        const { name, category, language, body, variables } = await find(em, request.params.id);
        const copy = request.body?.name ?? freeName(name, await namesTaken(em, language));
        const id = newId();
        await insertTemplate(em, { id, name: copy, category, language });
        await insertVersion(em, id, 1, { body, variables, createdBy: auth.userId });
        const target = { type: 'template', id };
        const after = { copyOf: request.params.id };
        await appendAudit(em, actorOf(request), { action: 'template.created', target, after });
        return toView(await find(em, id));
      });
      return reply.code(201).header('etag', etagOf(view)).send(view);
    },
  });

  app.post(`${root}/:id/preview`, {
    config: read,
    schema: {
      ...schema,
      summary: 'The text as a contact would get it, and which variables had no value',
      params: IdParams,
      body: PreviewBody,
      response: { 200: PreviewView },
    },
    handler: (request) => {
      const auth = authOf(request);
      // A text may name all that is known of them.
      mustHave(auth, 'contacts:read');
      return inTx(auth, async (em) => {
        const row = await find(em, request.params.id);
        const { contactId, version = row.version } = request.body;
        const found = version === row.version ? row : await findVersion(em, row.id, version);
        if (!found) throw notFound('The version');
        const id = await findContactId(em, contactId, onlyOwner(auth, 'contacts'));
        const contact = id === undefined ? undefined : (await findTemplateContacts(em, [id])).get(id);
        if (!contact) throw notFound('The contact');
        const rendered = renderTemplate(found, contact);
        return { version, ...rendered, isSendable: rendered.unresolved.length === 0 };
      });
    },
  });
}
