import {
  LockMode,
  UniqueConstraintViolationException,
  wrap,
  type EntityClass,
  type EntityManager,
  type Ref,
} from '@mikro-orm/postgresql';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { conflict, notFound } from '#src/errors.ts';
import { authOf } from '#src/http/auth.ts';
import { etagOf, ifMatchOf, mustMatch } from '#src/http/etag.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { decodeCursor, pageOf, PageQuery, toPage } from '#src/http/page.ts';
import type { Permission } from '#src/http/permissions.ts';
import { actorOf, appendAudit, fieldsOf } from '#src/modules/audit/audit.ts';
import type { Workspace } from '#src/modules/workspaces/workspace.entity.ts';
import type { Runtime } from '#src/runtime.ts';

/** What `owned` gives every row of a workspace. */
interface OwnedRow {
  workspace: Ref<Workspace>;
  id: string;
  createdAt: Date;
  updatedAt: Date;
}

/** A plain resource. There is no fifth field: what differs otherwise is a verb written by hand beside these. */
export interface Resource<Body extends z.ZodObject, View extends z.ZodType<{ id: string }>> {
  /** As in problems and the audit log: `label`. */
  name: string;
  /** Without defaults, which a PATCH would write: they belong to the database. */
  body: Body;
  view: View;
  access: { read: Permission; write: Permission };
}

/** The fields every view carries. */
export const ownedView = { id: z.uuid(), createdAt: z.iso.datetime(), updatedAt: z.iso.datetime() };

/**
 * The five verbs of a plain resource, to be mounted each by its own line: `app.get('/api/labels', labels.list)`. Every change is in the
 * audit log, by the names of its fields; an own name that is taken is a 409; PATCH heeds `If-Match`.
 * @param entity a class whose properties begin with `owned`
 */
export function crud<Body extends z.ZodObject, View extends z.ZodType<{ id: string }>>(
  { orm }: Pick<Runtime, 'orm'>,
  entity: EntityClass<OwnedRow>,
  { name, body, view, access }: Resource<Body, View>,
) {
  const schema = { tags: [name], security: [{ bearer: [] }] };
  const read = { access: access.read };
  const write = { access: access.write };
  const present = (row: OwnedRow) => view.parse(JSON.parse(JSON.stringify(wrap(row).toPOJO())));
  const inTx = <Result>(request: FastifyRequest, work: (em: EntityManager) => Promise<Result>): Promise<Result> =>
    inWorkspaceTx(orm, authOf(request), work).catch((error: unknown) => {
      if (!(error instanceof UniqueConstraintViolationException)) throw error;
      throw conflict(`${name}_exists`, `There is a ${name} like it already.`);
    });
  const find = async (em: EntityManager, id: string, lockMode?: LockMode): Promise<OwnedRow> => {
    const row = await em.findOne(entity, { id }, lockMode === undefined ? {} : { lockMode });
    if (!row) throw notFound(`The ${name}`);
    return row;
  };
  const audit = (em: EntityManager, request: FastifyRequest, verb: string, id: string, change: object) =>
    appendAudit(em, actorOf(request), { action: `${name}.${verb}`, target: { type: name, id }, ...change });

  return {
    list: {
      config: read,
      schema: { ...schema, querystring: PageQuery, response: { 200: pageOf(view) } },
      handler: async (request: FastifyRequest<{ Querystring: z.output<typeof PageQuery> }>) => {
        const { limit, cursor } = request.query;
        const where = cursor === undefined ? {} : { id: { $gt: decodeCursor(cursor, z.tuple([z.uuid()]))[0] } };
        const rows = await inTx(request, (em) => em.find(entity, where, { orderBy: { id: 'asc' }, limit: limit + 1 }));
        return toPage(rows, limit, (row) => [row.id], present);
      },
    },
    get: {
      config: read,
      schema: { ...schema, params: IdParams, response: { 200: view } },
      handler: async (request: FastifyRequest<{ Params: { id: string } }>, reply: FastifyReply) => {
        const found = await inTx(request, async (em) => present(await find(em, request.params.id)));
        return reply.header('etag', etagOf(found)).send(found);
      },
    },
    create: {
      config: write,
      schema: { ...schema, body, response: { 201: view } },
      handler: async (request: FastifyRequest<{ Body: z.output<Body> }>, reply: FastifyReply) => {
        const { workspaceId } = authOf(request);
        const made = await inTx(request, async (em) => {
          const now = new Date();
          const row = em.create(entity, { workspace: workspaceId, createdAt: now, updatedAt: now });
          Object.assign(row, request.body);
          await em.flush();
          await audit(em, request, 'created', row.id, { after: fieldsOf(request.body) });
          return present(row);
        });
        return reply.code(201).header('etag', etagOf(made)).send(made);
      },
    },
    update: {
      config: write,
      schema: { ...schema, params: IdParams, body: body.partial(), response: { 200: view } },
      handler: async (
        request: FastifyRequest<{ Params: { id: string }; Body: Partial<z.output<Body>> }>,
        reply: FastifyReply,
      ) => {
        const changed = await inTx(request, async (em) => {
          const row = await find(em, request.params.id, LockMode.PESSIMISTIC_WRITE);
          const before = present(row);
          mustMatch(ifMatchOf(request), etagOf(before));
          Object.assign(row, request.body);
          await em.flush();
          await audit(em, request, 'changed', row.id, { after: fieldsOf(request.body) });
          return present(row);
        });
        return reply.header('etag', etagOf(changed)).send(changed);
      },
    },
    remove: {
      config: write,
      schema: { ...schema, params: IdParams, response: { 200: DeletedView } },
      handler: (request: FastifyRequest<{ Params: { id: string } }>) =>
        inTx(request, async (em) => {
          const row = await find(em, request.params.id, LockMode.PESSIMISTIC_WRITE);
          const before = present(row);
          mustMatch(ifMatchOf(request), etagOf(before));
          em.remove(row);
          await em.flush();
          await audit(em, request, 'deleted', row.id, {});
          return { id: row.id, deleted: true as const };
        }),
    },
  };
}
