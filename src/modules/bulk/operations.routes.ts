import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams } from '#src/http/fields.ts';
import { decodeCursor, pageOf, PageQuery, toPage } from '#src/http/page.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { ProblemView } from '#src/http/problem-view.ts';
import { cancelOperation } from '#src/modules/bulk/cancel.ts';
import { findOperation, listOperations, type OperationRow } from '#src/modules/bulk/operations.query.ts';
import type { Runtime } from '#src/runtime.ts';

export const OperationView = z
  .object({
    id: z.uuid(),
    kind: z.string(),
    status: z.enum(['queued', 'active', 'completed', 'failed', 'cancelled']),
    userId: z.uuid(),
    done: z.int(),
    total: z.int().nullable(),
    counts: z.record(z.string(), z.int()),
    problem: ProblemView.nullable(),
    createdAt: z.iso.datetime(),
    finishedAt: z.iso.datetime().nullable(),
  })
  .meta({ id: 'Operation' });

/** An operation as clients see it. */
export const toOperationView = (row: OperationRow): z.input<typeof OperationView> => ({
  id: row.id,
  kind: row.kind,
  status: row.status,
  userId: row.user_id,
  done: row.done,
  total: row.total,
  counts: row.counts,
  problem: row.problem === null ? null : ProblemView.parse(row.problem),
  createdAt: new Date(row.created_at).toISOString(),
  finishedAt: row.finished_at && new Date(row.finished_at).toISOString(),
});

const operationPath = (id: string): string => `/api/operations/${id}`;

/** What a route answers with that has asked for an operation: 202, and where to look. */
export const OperationAccepted = z.object({
  operationId: z.uuid(),
  status: z.literal('queued'),
  links: z.object({ self: z.string() }),
});
export const toAccepted = (id: string): z.input<typeof OperationAccepted> => ({
  operationId: id,
  status: 'queued',
  links: { self: operationPath(id) },
});

const schema = { tags: ['operations'], security: [{ bearer: [] }] };

/** `/api/operations`: how far work over many rows is, and an end to it. Members who see only their own contacts see only their own operations. */
export function operationRoutes({ orm }: Pick<Runtime, 'orm'>) {
  const find = async (auth: Auth, id: string): Promise<OperationRow> => {
    const row = await inWorkspaceTx(orm, auth, (em) => findOperation(em, id));
    if (!row || (onlyOwner(auth, 'contacts') ?? row.user_id) !== row.user_id) throw notFound('The operation');
    return row;
  };
  return async (app: App): Promise<void> => {
    app.get('/api/operations', {
      config: { access: 'contacts:read' },
      schema: { ...schema, querystring: PageQuery, response: { 200: pageOf(OperationView) } },
      handler: async (request) => {
        const { limit, cursor } = request.query;
        const auth = authOf(request);
        const before = cursor === undefined ? null : decodeCursor(cursor, z.tuple([z.uuid()]))[0];
        const asked = { userId: onlyOwner(auth, 'contacts') ?? null, before, limit: limit + 1 };
        const rows = await inWorkspaceTx(orm, auth, (em) => listOperations(em, asked));
        return toPage(rows, limit, (row) => [row.id], toOperationView);
      },
    });

    app.get('/api/operations/:id', {
      config: { access: 'contacts:read' },
      schema: { ...schema, params: IdParams, response: { 200: OperationView } },
      handler: async (request) => toOperationView(await find(authOf(request), request.params.id)),
    });

    app.post('/api/operations/:id/cancel', {
      config: { access: 'contacts:write' },
      schema: { ...schema, params: IdParams, response: { 202: OperationView } },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const row = await find(auth, request.params.id);
        await inWorkspaceTx(orm, auth, (em) => cancelOperation(em, auth, row));
        return reply.code(202).send(toOperationView(await find(auth, row.id)));
      },
    });
  };
}
