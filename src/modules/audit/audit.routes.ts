import { Readable } from 'node:stream';
import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { listEntries } from '#src/modules/audit/audit.query.ts';
import {
  AuditExportQuery,
  AuditListQuery,
  AuditPage,
  toEntryView,
  VerdictView,
} from '#src/modules/audit/audit.schemas.ts';
import { verifyChain } from '#src/modules/audit/chain.ts';
import { CONTENT_TYPES, exportEntries } from '#src/modules/audit/export.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['audit'], security: [{ bearer: [] }] };
const config = { access: 'audit:read' as const };
const Cursor = z.tuple([z.int().positive()]);

/** `/api/audit`: who did what in the workspace. Nothing here can change an entry. */
export function auditRoutes(rt: Pick<Runtime, 'pool' | 'auditAnchor'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/audit', {
      config,
      schema: {
        ...schema,
        summary: 'Entries, newest first',
        querystring: AuditListQuery,
        response: { 200: AuditPage },
      },
      handler: async (request) => {
        const { limit, cursor, ...filter } = request.query;
        const [before] = cursor === undefined ? [] : decodeCursor(cursor, Cursor);
        const rows = await listEntries(rt.pool, authOf(request).workspaceId, { ...filter, before, limit: limit + 1 });
        return toPage(rows, limit, (row) => [row.seq], toEntryView);
      },
    });

    app.get('/api/audit/verify', {
      config,
      schema: { ...schema, summary: 'Whether every entry is as it was written', response: { 200: VerdictView } },
      handler: (request) => verifyChain(rt, authOf(request).workspaceId),
    });

    app.get('/api/audit/export', {
      config,
      schema: { ...schema, summary: 'The entries as a file, oldest first', querystring: AuditExportQuery },
      handler: async (request, reply) => {
        const { format } = request.query;
        reply.header('content-type', CONTENT_TYPES[format]);
        reply.header('content-disposition', `attachment; filename="audit.${format}"`);
        return reply.send(Readable.from(exportEntries(rt.pool, authOf(request).workspaceId, request.query)));
      },
    });
  };
}
