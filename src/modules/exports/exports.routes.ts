import { Readable } from 'node:stream';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { AppError, conflict, notFound } from '#src/errors.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams, IdText } from '#src/http/fields.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { ProblemView } from '#src/http/problem-view.ts';
import { newId } from '#src/lib/ids.ts';
import { dealsOf } from '#src/modules/activities/activity-sight.ts';
import { actorOf, appendAudit } from '#src/modules/audit/audit.ts';
import { insertOperation } from '#src/modules/bulk/operations.query.ts';
import { conditionOf, type Selection } from '#src/modules/contacts/bulk.ts';
import { lastContactId } from '#src/modules/contacts/bulk.query.ts';
import { CUSTOM, EXPORT_FIELDS, isExportField } from '#src/modules/exports/export-text.ts';
import { EXPORT_KIND, type ExportInput } from '#src/modules/exports/export.operation.ts';
import { findExport, insertExport, readExportChunk, type ExportRow } from '#src/modules/exports/exports.query.ts';
import { readPlace } from '#src/modules/imports/contact-fields.query.ts';
import { AskedFilter } from '#src/modules/segments/segment-filter.ts';
import { Segment } from '#src/modules/segments/segment.entity.ts';
import type { Runtime } from '#src/runtime.ts';

const MAX_KEPT = 50;
const NOBODY = '00000000-0000-0000-0000-000000000000';
const CONTENT_TYPES = { ndjson: 'application/x-ndjson; charset=utf-8', csv: 'text/csv; charset=utf-8' } as const;

const ExportBody = z
  .strictObject({
    /** Everybody where none of the three is given. */
    filter: AskedFilter.optional(),
    segmentId: IdText.optional(),
    ids: z.array(IdText).min(1).max(1000).optional(),
    /** `name`, `phone`, … or `custom:<key>`; all of them where it is not given. */
    fields: z.array(z.string().min(1).max(47)).min(1).max(120).optional(),
    format: z.enum(['csv', 'ndjson']).default('csv'),
  })
  .refine(
    ({ filter, segmentId, ids }) => [filter, segmentId, ids].filter((one) => one !== undefined).length <= 1,
    'takes one of filter, segmentId and ids',
  );
type ExportBody = z.output<typeof ExportBody>;

const ExportView = z
  .object({
    id: z.uuid(),
    userId: z.uuid(),
    format: z.enum(['csv', 'ndjson']),
    status: z.enum(['queued', 'active', 'completed', 'failed', 'cancelled']),
    done: z.int(),
    rows: z.int().nullable(),
    sizeBytes: z.int().nullable(),
    /** Its progress as that of any operation: `/api/operations/{operationId}`. */
    operationId: z.uuid(),
    /** Where the file is, once it is completed. */
    downloadUrl: z.string().nullable(),
    problem: ProblemView.nullable(),
    createdAt: z.iso.datetime(),
    finishedAt: z.iso.datetime().nullable(),
    /** From then on there is no such export. */
    expiresAt: z.iso.datetime(),
  })
  .meta({ id: 'ContactExport' });

const pathOf = (id: string): string => `/api/exports/${id}`;

const toView = (row: ExportRow): z.input<typeof ExportView> => ({
  id: row.id,
  userId: row.user_id,
  format: row.format,
  status: row.operation_status ?? 'failed',
  done: row.done ?? 0,
  rows: row.row_count,
  sizeBytes: row.size_bytes,
  operationId: row.id,
  downloadUrl: row.operation_status === 'completed' ? `${pathOf(row.id)}/download` : null,
  problem: row.problem === null ? null : ProblemView.parse(row.problem),
  createdAt: new Date(row.created_at).toISOString(),
  finishedAt: row.finished_at && new Date(row.finished_at).toISOString(),
  expiresAt: new Date(row.expires_at).toISOString(),
});

/** @throws AppError 404 also for an export of others, to those who see only their own contacts */
async function exportOf(em: EntityManager, auth: Auth, id: string): Promise<ExportRow> {
  const row = await findExport(em, id);
  if (!row || (onlyOwner(auth, 'contacts') ?? row.user_id) !== row.user_id) throw notFound('The export');
  return row;
}

async function selectionOf(em: EntityManager, { filter, segmentId, ids }: ExportBody): Promise<Selection> {
  if (ids) return { ids };
  if (segmentId === undefined) return { filter: filter ?? { and: [] } };
  const segment = await em.findOne(Segment, { id: segmentId });
  if (!segment) throw notFound('The segment');
  return { filter: segment.filter };
}

/** @throws AppError 422 that names each field there is not */
async function fieldsOf(em: EntityManager, asked: readonly string[] | undefined): Promise<string[]> {
  const custom = (await readPlace(em)).fields.map(({ key }) => `${CUSTOM}${key}`);
  const errors = (asked ?? []).flatMap((field, at) =>
    isExportField(field) || custom.includes(field)
      ? []
      : [{ path: `fields[${at}]`, code: 'unknown_field', message: `there is no field ${field}` }],
  );
  const [first] = errors;
  if (first)
    throw new AppError(422, 'unknown_reference', `${first.path}: ${first.message}.`, { errors: errors.slice(0, 20) });
  return [...new Set(asked ?? [...EXPORT_FIELDS, ...custom])];
}

async function begin({ orm }: Pick<Runtime, 'orm'>, request: FastifyRequest, body: ExportBody): Promise<ExportRow> {
  const auth = authOf(request);
  const id = newId();
  return inWorkspaceTx(orm, auth, async (em) => {
    const selection = await selectionOf(em, body);
    const now = new Date().toISOString();
    const onlyDealsOf = onlyOwner(auth, 'deals') ?? null;
    await conditionOf(em, selection, dealsOf(auth), now);
    const fields = await fieldsOf(em, body.fields);
    const { format } = body;
    if (!(await insertExport(em, { id, userId: auth.userId, format }, MAX_KEPT)))
      throw conflict('too_many_exports', `A workspace keeps ${MAX_KEPT} exports at most; old ones go by themselves.`);
    const onlyOwnerId = onlyOwner(auth, 'contacts') ?? null;
    const input: ExportInput = { selection, fields, format, onlyOwnerId, onlyDealsOf, now };
    const state = { after: null, upTo: (await lastContactId(em)) ?? NOBODY, chunks: 0, bytes: 0 };
    await insertOperation(em, { id, userId: auth.userId, kind: EXPORT_KIND, input, state });
    const row = await exportOf(em, auth, id);
    const whom = body.ids
      ? { contacts: body.ids.length }
      : { segmentId: body.segmentId ?? null, isFiltered: !!body.filter };
    const after = { format, fields, ...whom };
    await appendAudit(em, actorOf(request), {
      action: 'contacts.exported',
      target: { type: 'contact_export', id },
      after,
    });
    return row;
  });
}

async function* contentOf(
  pool: Runtime['pool'],
  workspaceId: string,
  { id, size_bytes: sizeBytes }: ExportRow,
): AsyncGenerator<Buffer> {
  let leftBytes = sizeBytes ?? 0;
  for (let at = 0; leftBytes > 0; at += 1) {
    const content = await readExportChunk(pool, workspaceId, id, at);
    // Cuts the connection: its reader would take an end for the file's, or wait for the rest.
    if (!content) throw new Error('The export went while it was read');
    leftBytes -= content.length;
    yield content;
  }
}

const schema = { tags: ['exports'], security: [{ bearer: [] }] };
const config = { access: 'contacts:export' as const };

/** `/api/exports`: contacts as files, which a worker writes into Postgres, so that any process has them. */
export function contactExportRoutes(rt: Pick<Runtime, 'pool' | 'orm'>) {
  return async (app: App): Promise<void> => {
    app.post('/api/exports', {
      config,
      schema: {
        ...schema,
        summary: 'Have a file of contacts written',
        body: ExportBody,
        response: { 202: ExportView },
      },
      handler: async (request, reply) => {
        const row = await begin(rt, request, request.body);
        return reply.code(202).header('location', pathOf(row.id)).send(toView(row));
      },
    });

    app.get('/api/exports/:id', {
      config,
      schema: { ...schema, summary: 'How far an export is', params: IdParams, response: { 200: ExportView } },
      handler: (request) => {
        const auth = authOf(request);
        return inWorkspaceTx(rt.orm, auth, async (em) => toView(await exportOf(em, auth, request.params.id)));
      },
    });

    app.get('/api/exports/:id/download', {
      config,
      schema: { ...schema, summary: 'The file of a completed export', params: IdParams },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const row = await inWorkspaceTx(rt.orm, auth, (em) => exportOf(em, auth, request.params.id));
        if (row.operation_status !== 'completed')
          throw conflict('export_not_ready', `The export is ${row.operation_status ?? 'gone'}.`);
        reply.header('content-type', CONTENT_TYPES[row.format]);
        reply.header('content-disposition', `attachment; filename="contacts.${row.format}"`);
        reply.header('content-length', row.size_bytes ?? 0);
        return reply.send(Readable.from(contentOf(rt.pool, auth.workspaceId, row)));
      },
    });
  };
}
