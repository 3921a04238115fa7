import type { Readable } from 'node:stream';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { FastifyRequest } from 'fastify';
import { AppError, badRequest, conflict, notFound, type FieldError } from '#src/errors.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { Auth } from '#src/http/access-token.ts';
import { authOf } from '#src/http/auth.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { csvLine } from '#src/lib/csv.ts';
import { newId } from '#src/lib/ids.ts';
import { createLimit, QueueFullError } from '#src/lib/limit.ts';
import { actorOf, appendAudit } from '#src/modules/audit/audit.ts';
import { insertOperation } from '#src/modules/bulk/operations.query.ts';
import { DEFAULT_COUNTRY, isCountry } from '#src/modules/contacts/phone.ts';
import { customKeyOf, type CustomField } from '#src/modules/imports/columns.ts';
import { readPlace } from '#src/modules/imports/contact-fields.query.ts';
import { IMPORT_KIND, type ImportInput, type ImportState } from '#src/modules/imports/import.operation.ts';
import { deleteChunks } from '#src/modules/imports/import-files.query.ts';
import { decimalMarkOf } from '#src/modules/imports/number-text.ts';
import { columnName, mappingOf, type StartBody } from '#src/modules/imports/imports.schemas.ts';
import {
  deleteImport,
  findImport,
  insertImport,
  listRows,
  saveUpload,
  startImport,
  type ImportRow,
} from '#src/modules/imports/imports.query.ts';
import { receiveFile } from '#src/modules/imports/upload.ts';
import type { Runtime } from '#src/runtime.ts';

/** Of a workspace, of files that are not imported yet. */
const MAX_WAITING = { files: 100, bytes: 1_073_741_824 };
/** Reading a file takes the processor; the API has other things to do. */
const UPLOADS_AT_ONCE = 3;
const MAX_UPLOADS_WAITING = 20;
/** Of a workspace, with those that wait: a file may come as slowly as its sender likes, and there must be a place for others. */
const MAX_UPLOADS_OF_ONE = 2;
const REJECTED_PAGE = 1000;

/** @throws AppError 404 also for an import of others, to members who see only their own contacts */
export async function importOf(em: EntityManager, auth: Auth, id: string, forUpdate = false): Promise<ImportRow> {
  const row = await findImport(em, id, forUpdate);
  if (!row || (onlyOwner(auth, 'contacts') ?? row.user_id) !== row.user_id) throw notFound('The import');
  return row;
}

/** The bytes of an upload. What goes wrong with them is the client's, or its connection's. */
async function* bytesOf(body: Readable): AsyncGenerator<Buffer> {
  try {
    // Not destroyed with the iterator: the connection would go, and the answer that says what is wrong with it.
    const parts: AsyncIterable<Buffer> = body.iterator({ destroyOnReturn: false });
    for await (const bytes of parts) yield bytes;
  } catch (error) {
    if (body.destroyed && !body.readableEnded)
      throw new AppError(499, 'upload_cut', 'The file did not arrive whole.', { cause: error });
    throw badRequest('invalid_upload', 'The file could not be read out of the request.');
  }
}

const limit = createLimit(UPLOADS_AT_ONCE, MAX_UPLOADS_WAITING);
const uploadsOf = new Map<string, number>();

/** Does the work of an upload beside few others of its workspace. @throws AppError 429 `too_many_uploads` */
async function besideFew<Result>(workspaceId: string, work: () => Promise<Result>): Promise<Result> {
  const others = uploadsOf.get(workspaceId) ?? 0;
  if (others >= MAX_UPLOADS_OF_ONE)
    throw tooMany(`${others} files of this workspace arrive already. Try again when one of them is there.`);
  uploadsOf.set(workspaceId, others + 1);
  try {
    return await work();
  } finally {
    const left = (uploadsOf.get(workspaceId) ?? 1) - 1;
    if (left > 0) uploadsOf.set(workspaceId, left);
    else uploadsOf.delete(workspaceId);
  }
}

const tooMany = (detail: string) => new AppError(429, 'too_many_uploads', detail, { retryAfterMs: 5000 });

/** Keeps a file until its import is started, and finds out what it is. @throws AppError 4xx that says what is wrong with it, 429 */
export const uploadFile = (
  rt: Pick<Runtime, 'orm' | 'pool'>,
  auth: Auth,
  body: Readable,
  fileName: string | null,
): Promise<ImportRow> => besideFew(auth.workspaceId, () => keepFile(rt, auth, body, fileName));

async function keepFile(
  rt: Pick<Runtime, 'orm' | 'pool'>,
  auth: Auth,
  body: Readable,
  fileName: string | null,
): Promise<ImportRow> {
  const id = newId();
  const inTx = <Result>(work: (em: EntityManager) => Promise<Result>) => inWorkspaceTx(rt.orm, auth, work);
  const fields = await inTx(async (em) => {
    if (!(await insertImport(em, { id, userId: auth.userId, fileName }, MAX_WAITING)))
      throw conflict('too_many_imports', 'Too many files wait to be imported: import some, or let them expire.');
    return (await readPlace(em)).fields;
  });
  try {
    const key = { workspaceId: auth.workspaceId, importId: id };
    const file = await limit(() => receiveFile(rt, key, bytesOf(body), fields));
    return await inTx(async (em) => {
      await saveUpload(em, id, file);
      await deleteChunks(em, id, 'raw');
      return importOf(em, auth, id);
    });
  } catch (error) {
    await inTx((em) => deleteImport(em, id));
    if (error instanceof QueueFullError) throw tooMany('Too many files arrive at once. Try again.');
    throw error;
  }
}

const SEVERAL = new Set(['name', 'phone', 'labels']);
const IDENTITIES = new Set(['id', 'phone', 'email', 'externalId']);

/** Checks where columns go. @throws AppError 422 that names every column that cannot */
function mapColumns(row: ImportRow, asked: StartBody['mapping'], fields: readonly CustomField[]) {
  const errors: FieldError[] = [];
  const taken = new Set<string>();
  const seen = new Set<number>();
  const columns = (asked ?? mappingOf(row.columns)).flatMap(({ column, to }, at) => {
    const fail = (code: string, message: string): void => void errors.push({ path: `mapping[${at}]`, code, message });
    if (column >= row.columns.length) fail('no_such_column', `the file has ${row.columns.length} columns`);
    if (seen.has(column)) fail('column_twice', 'the column is named twice');
    seen.add(column);
    if (to === 'ignore') return [];
    if (taken.has(to) && !SEVERAL.has(to)) fail('field_twice', `only one column can be ${to}`);
    taken.add(to);
    const key = customKeyOf(to);
    const field = fields.find((one) => one.key === key);
    if (key !== undefined && !field) fail('unknown_field', `there is no field ${key}; make it first`);
    return [{ column, to, ...(field ? { field } : {}) }];
  });
  if (![...taken].some((to) => IDENTITIES.has(to)))
    errors.push({ path: 'mapping', code: 'no_identity', message: 'no column is phone, email, externalId or id' });
  const [first] = errors;
  if (first)
    throw new AppError(422, 'invalid_mapping', `${first.path}: ${first.message}.`, { errors: errors.slice(0, 20) });
  return columns;
}

/** Has an import done. @throws AppError 404, 409 where it was started, 422 for a mapping that cannot be */
export async function beginImport(
  rt: Pick<Runtime, 'orm'>,
  request: FastifyRequest,
  id: string,
  body: StartBody,
): Promise<string> {
  const auth = authOf(request);
  const { mode, dryRun: isDryRun, labels, consent } = body;
  return inWorkspaceTx(rt.orm, auth, async (em) => {
    const row = await importOf(em, auth, id, true);
    const isRunning = row.operation_status === 'queued' || row.operation_status === 'active';
    if (row.status === 'started' && (isRunning || !row.is_dry_run))
      throw conflict('import_started', `The import is ${row.operation_status ?? 'over'}.`);
    const place = await readPlace(em);
    const columns = mapColumns(row, body.mapping, place.fields);
    const country = body.defaultCountry ?? (isCountry(place.country) ? place.country : undefined);
    const onlyOwnerId = onlyOwner(auth, 'contacts');
    const input: ImportInput = {
      importId: id,
      mode,
      isDryRun,
      columns,
      columnCount: row.columns.length,
      delimiter: row.delimiter ?? ',',
      isUtf8: row.is_utf8,
      dataOffset: row.data_offset,
      rowCount: row.row_count,
      labels,
      ...(country ? { country } : {}),
      // A spreadsheet's numbers are written as programs do.
      decimalMark:
        row.format === 'xlsx'
          ? '.'
          : decimalMarkOf(isCountry(place.country) ? place.country : (country ?? DEFAULT_COUNTRY)),
      ...(consent ? { consent } : {}),
      ...(onlyOwnerId ? { onlyOwnerId } : {}),
    };
    const state: ImportState = { isCleared: row.status === 'uploaded', offset: row.data_offset, rowNo: 0, labels: [] };
    const operationId = newId();
    const made = { id: operationId, userId: auth.userId, kind: IMPORT_KIND, input, state, total: row.row_count };
    await insertOperation(em, made);
    await startImport(em, id, { operationId, mode, isDryRun });
    if (!isDryRun) {
      const after = { mode, rows: row.row_count, fields: columns.map(({ to }) => to), consent: consent ?? null };
      await appendAudit(em, actorOf(request), { action: 'import.started', target: { type: 'import', id }, after });
    }
    return operationId;
  });
}

/** The refused rows of an import as they stood in its file, each with why. */
export async function* rejectedCsv(
  rt: Pick<Runtime, 'orm'>,
  auth: Auth,
  { id, columns }: Pick<ImportRow, 'id' | 'columns'>,
): AsyncGenerator<string> {
  yield csvLine([...columns.map(({ header }) => header), 'reason', 'column']);
  for (let after = 0; ;) {
    const asked = { status: 'invalid' as const, after, limit: REJECTED_PAGE };
    const rows = await inWorkspaceTx(rt.orm, auth, (em) => listRows(em, id, asked));
    if (rows.length > 0)
      yield rows
        .map(({ cells, reason, columnNo }) => {
          const given = columns.map((_, at) => cells?.[at] ?? '');
          // What stood beyond the last column is not lost either.
          const extra = cells?.slice(columns.length) ?? [];
          return csvLine([...given, reason, columnName(columns, columnNo), ...extra]);
        })
        .join('');
    const last = rows.at(-1);
    if (!last || rows.length < REJECTED_PAGE) return;
    after = last.rowNo;
  }
}
