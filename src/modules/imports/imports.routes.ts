import { Readable } from 'node:stream';
import multipart from '@fastify/multipart';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { AppError, badRequest, conflict } from '#src/errors.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams, IdText } from '#src/http/fields.ts';
import { decodeCursor, PageQuery, toPage } from '#src/http/page.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { IMPORT_KIND } from '#src/modules/imports/import.operation.ts';
import { cancelOperation } from '#src/modules/bulk/cancel.ts';
import { OperationAccepted, toAccepted } from '#src/modules/bulk/operations.routes.ts';
import { listImports, listRows } from '#src/modules/imports/imports.query.ts';
import {
  ImportList,
  ImportView,
  RowList,
  RowsQuery,
  StartBody,
  toImportView,
  toRowView,
  UploadedView,
} from '#src/modules/imports/imports.schemas.ts';
import { beginImport, importOf, rejectedCsv, uploadFile } from '#src/modules/imports/imports.service.ts';
import { MAX_BYTES } from '#src/modules/imports/upload.ts';
import type { Runtime } from '#src/runtime.ts';

/** What files come as; browsers call a CSV what the machine's programs call it. */
const TYPES = [
  'text/csv',
  'text/plain',
  'text/tab-separated-values',
  'application/csv',
  'application/vnd.ms-excel',
  'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  'application/octet-stream',
];
const MAX_NAME = 200;

const schema = { tags: ['imports'], security: [{ bearer: [] }] };
const reading = { access: 'contacts:read' } as const;
const writing = { access: 'contacts:write' } as const;
const UploadQuery = z.strictObject({ fileName: z.string().max(MAX_NAME).optional() });
const nameOf = (text: string | undefined): string | null =>
  text
    ?.replaceAll(/\p{Cc}/gu, ' ')
    .trim()
    .slice(0, MAX_NAME)
    .toWellFormed() || null;

/** The file of an upload, alone or in a form. */
async function fileOf(request: FastifyRequest<{ Querystring: z.output<typeof UploadQuery> }>) {
  const named = request.query.fileName;
  if (request.body instanceof Readable) return { body: request.body, name: nameOf(named) };
  if (!request.isMultipart())
    throw new AppError(
      415,
      'unsupported_media_type',
      `Send the file as multipart/form-data, or as ${TYPES.join(', ')}.`,
    );
  const part = await request.file().catch((error: unknown) => {
    if (error instanceof AppError) throw error;
    throw badRequest('invalid_upload', 'The form could not be read.');
  });
  if (!part) throw badRequest('invalid_upload', 'The form has no file.');
  return { body: part.file, name: nameOf(named ?? part.filename) };
}

/** `/api/imports`: files of contacts, and what became of their rows. */
export function importRoutes(rt: Pick<Runtime, 'orm' | 'pool'>) {
  return async (app: App): Promise<void> => {
    // For these routes alone: nowhere else is a body anything but JSON.
    await app.register(multipart, { limits: { files: 1, fields: 10, parts: 11, fileSize: MAX_BYTES + 1 } });
    app.addContentTypeParser(TYPES, (_request, payload, done) => done(null, payload));

    app.post('/api/imports', {
      config: { ...writing, idempotency: 'none' },
      // The file is counted as it is read; this is what a form around it may add.
      bodyLimit: MAX_BYTES + 65_536,
      schema: {
        ...schema,
        summary:
          'Upload a file of contacts: CSV in any usual encoding, or .xlsx; as the body, or as the file of a form',
        consumes: ['multipart/form-data', ...TYPES],
        querystring: UploadQuery,
        response: { 201: UploadedView },
      },
      handler: async (request, reply) => {
        const { body, name } = await fileOf(request);
        const row = await uploadFile(rt, authOf(request), body, name);
        return reply
          .code(201)
          .header('location', `/api/imports/${row.id}`)
          .send({ ...toImportView(row), preview: row.preview });
      },
    });

    app.get('/api/imports', {
      config: reading,
      schema: {
        ...schema,
        summary: 'Imports, the newest first',
        querystring: PageQuery,
        response: { 200: ImportList },
      },
      handler: async (request) => {
        const auth = authOf(request);
        const { limit, cursor } = request.query;
        const before = cursor === undefined ? null : decodeCursor(cursor, z.tuple([IdText]))[0];
        const asked = { userId: onlyOwner(auth, 'contacts') ?? null, before, limit: limit + 1 };
        const rows = await inWorkspaceTx(rt.orm, auth, (em) => listImports(em, asked));
        return toPage(rows, limit, (row) => [row.id], toImportView);
      },
    });

    app.get('/api/imports/:id', {
      config: reading,
      schema: {
        ...schema,
        summary: 'What an import is, and how far',
        params: IdParams,
        response: { 200: UploadedView },
      },
      handler: (request) => {
        const auth = authOf(request);
        return inWorkspaceTx(rt.orm, auth, async (em) => {
          const row = await importOf(em, auth, request.params.id);
          return { ...toImportView(row), preview: row.preview };
        });
      },
    });

    app.post('/api/imports/:id/start', {
      config: writing,
      schema: {
        ...schema,
        summary: 'Make contacts of its rows, or, with `dryRun`, say what would become of them',
        params: IdParams,
        body: StartBody,
        response: { 202: OperationAccepted },
      },
      handler: async (request, reply) =>
        reply.code(202).send(toAccepted(await beginImport(rt, request, request.params.id, request.body))),
    });

    app.post('/api/imports/:id/cancel', {
      config: writing,
      schema: {
        ...schema,
        summary: 'End it: what was done stays, the rest is not done',
        params: IdParams,
        response: { 202: ImportView },
      },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const row = await inWorkspaceTx(rt.orm, auth, async (em) => {
          const {
            id,
            operation_id: operationId,
            operation_status: status,
            user_id,
          } = await importOf(em, auth, request.params.id);
          if (operationId === null || status === null)
            throw conflict('import_not_started', 'The import was not started.');
          await cancelOperation(em, auth, { id: operationId, user_id, status, kind: IMPORT_KIND });
          return importOf(em, auth, id);
        });
        return reply.code(202).send(toImportView(row));
      },
    });

    app.get('/api/imports/:id/rows', {
      config: reading,
      schema: {
        ...schema,
        summary: 'What became of each row, in the order of the file',
        params: IdParams,
        querystring: RowsQuery,
        response: { 200: RowList },
      },
      handler: (request) => {
        const auth = authOf(request);
        const { limit, cursor, status = null } = request.query;
        const after = cursor === undefined ? 0 : decodeCursor(cursor, z.tuple([z.int32()]))[0];
        return inWorkspaceTx(rt.orm, auth, async (em) => {
          const { id, columns } = await importOf(em, auth, request.params.id);
          const rows = await listRows(em, id, { status, after, limit: limit + 1 });
          return toPage(rows, limit, ({ rowNo }) => [rowNo], toRowView(columns));
        });
      },
    });

    app.get('/api/imports/:id/rejected.csv', {
      config: reading,
      schema: {
        ...schema,
        summary: 'The rows that were refused, as they stood in the file, and why',
        params: IdParams,
      },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const row = await inWorkspaceTx(rt.orm, auth, (em) => importOf(em, auth, request.params.id));
        reply.header('content-type', 'text/csv; charset=utf-8');
        reply.header('content-disposition', 'attachment; filename="rejected.csv"');
        return reply.send(Readable.from(rejectedCsv(rt, auth, row)));
      },
    });
  };
}
