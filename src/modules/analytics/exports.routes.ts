import { Readable } from 'node:stream';
import { z } from 'zod';
import { conflict, notFound } from '#src/errors.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams } from '#src/http/fields.ts';
import { may } from '#src/http/permissions.ts';
import { ProblemView } from '#src/http/problem-view.ts';
import { newId } from '#src/lib/ids.ts';
import { PeriodQuery } from '#src/modules/analytics/analytics.schemas.ts';
import { periodOf, whoseOf } from '#src/modules/analytics/analytics.service.ts';
import { mustHaveFeature } from '#src/modules/billing/room.ts';
import { findExport, insertExport, readChunk, type ExportRow } from '#src/modules/analytics/exports.query.ts';
import { actorOf, appendAudit } from '#src/modules/audit/audit.ts';
import type { Runtime } from '#src/runtime.ts';

/** Files are kept for three days, and so many of a workspace at once. */
const KEEP_MS = 259_200_000;
const MAX_KEPT = 100;

const CONTENT_TYPES = { ndjson: 'application/x-ndjson; charset=utf-8', csv: 'text/csv; charset=utf-8' } as const;

const ExportBody = PeriodQuery.extend({
  report: z.enum(['ai', 'team', 'calls']),
  format: z.enum(['csv', 'ndjson']).default('csv'),
});

const ExportView = z
  .object({
    id: z.uuid(),
    report: ExportBody.shape.report,
    format: z.enum(['csv', 'ndjson']),
    from: z.iso.datetime(),
    to: z.iso.datetime(),
    scope: z.enum(['workspace', 'own']),
    status: z.enum(['queued', 'active', 'completed', 'failed']),
    rows: z.number().nullable(),
    sizeBytes: z.number().nullable(),
    /** Where the file is, once it is completed. */
    downloadUrl: z.string().nullable(),
    problem: ProblemView.nullable(),
    createdAt: z.iso.datetime(),
    finishedAt: z.iso.datetime().nullable(),
    /** From then on there is no such export. */
    expiresAt: z.iso.datetime(),
  })
  .meta({ id: 'AnalyticsExport' });

const pathOf = (id: string): string => `/api/analytics/exports/${id}`;

const toView = (row: ExportRow): z.input<typeof ExportView> => ({
  id: row.id,
  report: row.report,
  format: row.format,
  from: new Date(row.starts_at).toISOString(),
  to: new Date(row.ends_at).toISOString(),
  scope: row.only_user_id === null ? 'workspace' : 'own',
  status: row.status,
  rows: row.row_count,
  sizeBytes: row.size_bytes,
  downloadUrl: row.status === 'completed' ? `${pathOf(row.id)}/download` : null,
  problem: row.problem === null ? null : ProblemView.parse(row.problem),
  createdAt: new Date(row.created_at).toISOString(),
  finishedAt: row.finished_at && new Date(row.finished_at).toISOString(),
  expiresAt: new Date(row.expires_at).toISOString(),
});

/** @throws AppError 404 also for an export the caller may not see: one of everybody's figures takes `usage:all`, any other is its maker's. */
async function exportOf({ pool }: Pick<Runtime, 'pool'>, auth: Auth, id: string): Promise<ExportRow> {
  const row = await findExport(pool, auth.workspaceId, id);
  const isSeen = row && (may(auth, 'usage:all') || (row.only_user_id !== null && row.user_id === auth.userId));
  if (!isSeen) throw notFound('The export');
  return row;
}

async function* contentOf(
  pool: Runtime['pool'],
  workspaceId: string,
  { id, attempt, size_bytes: sizeBytes }: ExportRow,
): AsyncGenerator<Buffer> {
  let leftBytes = sizeBytes ?? 0;
  for (let at = 0; leftBytes > 0; at += 1) {
    const content = await readChunk(pool, { workspaceId, id, attempt }, at);
    // Cuts the connection: its reader would take an end for the file's, or wait for the rest.
    if (!content) throw new Error('The export went while it was read');
    leftBytes -= content.length;
    yield content;
  }
}

const schema = { tags: ['analytics'], security: [{ bearer: [] }] };
const config = { access: 'analytics:read' as const };

/** `/api/analytics/export` and `/api/analytics/exports`: figures as files, which a worker writes into Postgres, so that any process has them. */
export function exportRoutes(rt: Pick<Runtime, 'pool' | 'orm'>) {
  return async (app: App): Promise<void> => {
    app.post('/api/analytics/export', {
      config,
      schema: {
        ...schema,
        summary: 'Has a file written: calls by day and model, what members had done by day, or every single call',
        body: ExportBody,
        response: { 202: ExportView },
      },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const { report, format, ...asked } = request.body;
        const { starts, ends } = await periodOf(rt, auth.workspaceId, asked);
        const id = newId();
        const onlyUserId = whoseOf(auth).userId ?? null;
        const made = { id, userId: auth.userId, onlyUserId, report, format, starts, ends, keepMs: KEEP_MS };
        const row = await inWorkspaceTx(rt.orm, { workspaceId: auth.workspaceId }, async (em) => {
          await mustHaveFeature(em, 'analyticsExport');
          const row = await insertExport(em, made, MAX_KEPT);
          if (!row)
            throw conflict(
              'too_many_exports',
              `A workspace keeps ${MAX_KEPT} exports at most; old ones go by themselves.`,
            );
          const after = { report, format, from: starts.toISOString(), to: ends.toISOString() };
          await appendAudit(em, actorOf(request), {
            action: 'analytics.exported',
            target: { type: 'analytics_export', id },
            after,
          });
          return row;
        });
        return reply.code(202).header('location', pathOf(id)).send(toView(row));
      },
    });

    app.get('/api/analytics/exports/:id', {
      config,
      schema: { ...schema, summary: 'How far an export is', params: IdParams, response: { 200: ExportView } },
      handler: async (request) => toView(await exportOf(rt, authOf(request), request.params.id)),
    });

    app.get('/api/analytics/exports/:id/download', {
      config,
      schema: { ...schema, summary: 'The file of a completed export', params: IdParams },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const row = await exportOf(rt, auth, request.params.id);
        if (row.status !== 'completed') throw conflict('export_not_ready', `The export is ${row.status}.`);
        reply.header('content-type', CONTENT_TYPES[row.format]);
        reply.header('content-disposition', `attachment; filename="analytics-${row.report}.${row.format}"`);
        reply.header('content-length', row.size_bytes ?? 0);
        return reply.send(Readable.from(contentOf(rt.pool, auth.workspaceId, row)));
      },
    });
  };
}
