import { z } from 'zod';
import { nameText } from '#src/http/fields.ts';
import { PageQuery, pageOf } from '#src/http/page.ts';
import { ProblemView } from '#src/http/problem-view.ts';
import { isCountry } from '#src/modules/contacts/phone.ts';
import { ColumnView, Target } from '#src/modules/imports/columns.ts';
import type { ImportRow, RowOutcome } from '#src/modules/imports/imports.query.ts';

const MAX_MAPPED = 200;

export const StartBody = z.strictObject({
  /** Columns that are not named are left out. Without it, what each column seems to be. */
  mapping: z
    .array(
      z.strictObject({
        column: z
          .int()
          .min(0)
          .max(MAX_MAPPED - 1),
        to: Target,
      }),
    )
    .min(1)
    .max(MAX_MAPPED)
    .optional(),
  /** What becomes of contacts that are known: left as they are, overwritten where the file says something, or filled where they have nothing. */
  mode: z.enum(['skip', 'update', 'merge']),
  /** Says what would happen, and changes no contact. */
  dryRun: z.boolean().default(false),
  /** Of phone numbers that say none (ISO 3166-1 alpha-2); by default the workspace's. */
  defaultCountry: z.string().toUpperCase().refine(isCountry, 'must be a country like BR').optional(),
  /** What every row's contact is sorted by, by name; one that is not there is made. */
  labels: z.array(nameText(60)).max(20).default([]),
  /** Whether these people allow marketing messages; who said no keeps it. */
  consent: z.enum(['granted', 'denied']).optional(),
});
export type StartBody = z.output<typeof StartBody>;

const Counts = z.object({ created: z.int(), updated: z.int(), skipped: z.int(), invalid: z.int() });

export const ImportView = z
  .object({
    id: z.uuid(),
    userId: z.uuid(),
    fileName: z.string().nullable(),
    status: z.enum(['uploaded', 'queued', 'active', 'completed', 'failed', 'cancelled']),
    format: z.enum(['csv', 'xlsx']),
    encoding: z.string(),
    /** Null for a spreadsheet. */
    delimiter: z.string().nullable(),
    sizeBytes: z.int(),
    rows: z.int(),
    header: z.array(z.string()),
    columns: z.array(ColumnView),
    /** The mapping to start with, as far as it could be guessed. */
    mapping: z.array(z.object({ column: z.int(), to: Target })),
    mode: z.enum(['skip', 'update', 'merge']).nullable(),
    dryRun: z.boolean(),
    done: z.int(),
    counts: Counts,
    operationId: z.uuid().nullable(),
    problem: ProblemView.nullable(),
    createdAt: z.iso.datetime(),
    finishedAt: z.iso.datetime().nullable(),
    /** From then on there is no such import. */
    expiresAt: z.iso.datetime(),
  })
  .meta({ id: 'Import' });

export const UploadedView = ImportView.extend({
  /** The first rows, decoded. */
  preview: z.array(z.array(z.string())),
}).meta({ id: 'UploadedImport' });

export const ImportList = pageOf(ImportView);

export const RowsQuery = PageQuery.extend({
  status: z.enum(['created', 'updated', 'skipped', 'invalid']).optional(),
});

export const RowView = z
  .object({
    /** From 1, without the header and blank lines. */
    row: z.int(),
    status: z.enum(['created', 'updated', 'skipped', 'invalid']),
    contactId: z.uuid().nullable(),
    /** Why it was skipped or refused: `known`, `unchanged`, `invalid_phone`, … */
    reason: z.string().nullable(),
    /** The header of the column that is the reason. */
    column: z.string().nullable(),
    /** The row as it stands in the file, where it was refused. */
    cells: z.array(z.string()).nullable(),
  })
  .meta({ id: 'ImportRow' });
export const RowList = pageOf(RowView);

export function toImportView(row: ImportRow): z.input<typeof ImportView> {
  const { created = 0, updated = 0, skipped = 0, invalid = 0 } = row.counts ?? {};
  return {
    id: row.id,
    userId: row.user_id,
    fileName: row.file_name,
    status: row.operation_status ?? 'uploaded',
    format: row.format,
    encoding: row.encoding,
    delimiter: row.delimiter,
    sizeBytes: row.size_bytes,
    rows: row.row_count,
    header: row.columns.map(({ header }) => header),
    columns: row.columns,
    mapping: mappingOf(row.columns),
    mode: StartBody.shape.mode.nullable().parse(row.mode),
    dryRun: row.is_dry_run,
    done: row.done ?? 0,
    counts: { created, updated, skipped, invalid },
    operationId: row.operation_id,
    problem: row.problem === null ? null : ProblemView.parse(row.problem),
    createdAt: new Date(row.created_at).toISOString(),
    finishedAt: row.finished_at && new Date(row.finished_at).toISOString(),
    expiresAt: new Date(row.expires_at).toISOString(),
  };
}

/** What columns seem to be, but for those that are nothing known. */
export const mappingOf = (columns: readonly ColumnView[]): { column: number; to: string }[] =>
  columns.filter(({ to }) => to !== 'ignore').map(({ column, to }) => ({ column, to }));

export const columnName = (columns: readonly ColumnView[], columnNo: number | null): string | null =>
  columnNo === null ? null : (columns[columnNo]?.header ?? `Column ${columnNo + 1}`);

export const toRowView =
  (columns: readonly ColumnView[]) =>
  ({ rowNo, status, contactId, reason, columnNo, cells }: RowOutcome): z.input<typeof RowView> => ({
    row: rowNo,
    status,
    contactId,
    reason,
    column: columnName(columns, columnNo),
    cells: cells === null ? null : [...cells],
  });
