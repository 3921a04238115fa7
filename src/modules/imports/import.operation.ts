import { Readable } from 'node:stream';
import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { AppError } from '#src/errors.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { defineOperation, type Operation, type Step, type StepResources } from '#src/modules/bulk/operation.ts';
import { contactRoom } from '#src/modules/billing/plans.query.ts';
import { isCountry } from '#src/modules/contacts/phone.ts';
import { createCsvParser, decodeCell, toCsvProblem, toRecord } from '#src/modules/imports/csv-text.ts';
import { deleteChunks, readFrom } from '#src/modules/imports/import-files.query.ts';
import { clearRows, insertRows, type RowOutcome } from '#src/modules/imports/imports.query.ts';
import { findPeople, forgetPeople, notePeople, overlayPeople, writePeople } from '#src/modules/imports/people.query.ts';
import { toDraft, type Draft } from '#src/modules/imports/row-draft.ts';
import { idsOfDrafts, lookupsOfDrafts, phonesToAgree, settleRows } from '#src/modules/imports/settle-rows.ts';
import { isSuppressed } from '#src/modules/privacy/suppression.ts';

export const IMPORT_KIND = 'contacts.import';
/** More would be no faster, and a worker's memory would grow by tens of megabytes. */
const ROWS_PER_STEP = 400;
const CLEARED_PER_STEP = 20_000;
/** A column of free text that was taken for labels must not make a label of every row. */
const MAX_LABELS = 200;

const CustomField = z.object({
  key: z.string(),
  name: z.string(),
  kind: z.enum(['text', 'number', 'date', 'boolean', 'select', 'url']),
  options: z.array(z.string()),
});

/** Everything the steps need to know, as it was when the import was started. */
export const ImportInput = z.object({
  importId: z.uuid(),
  mode: z.enum(['skip', 'update', 'merge']),
  isDryRun: z.boolean(),
  columns: z.array(z.object({ column: z.int(), to: z.string(), field: CustomField.optional() })),
  columnCount: z.int(),
  delimiter: z.string(),
  isUtf8: z.boolean(),
  dataOffset: z.int(),
  rowCount: z.int(),
  country: z.string().refine(isCountry).optional(),
  decimalMark: z.enum([',', '.']).default(','),
  labels: z.array(z.string()),
  consent: z.enum(['granted', 'denied']).optional(),
  /** Whose contacts alone the importer may touch. */
  onlyOwnerId: z.uuid().optional(),
});
export type ImportInput = z.output<typeof ImportInput>;

/** How far it is: the byte where the next row begins, and which labels it has given. */
export const ImportState = z.object({
  isCleared: z.boolean(),
  offset: z.int(),
  rowNo: z.int(),
  labels: z.array(z.string()),
});
export type ImportState = z.output<typeof ImportState>;

interface SourceRow {
  rowNo: number;
  cells: string[];
}

/** The next rows of the file, and where those after them begin. */
async function readRows(
  em: EntityManager,
  { importId, delimiter, isUtf8, rowCount }: ImportInput,
  { offset, rowNo }: ImportState,
): Promise<{ rows: SourceRow[]; endsAt: number }> {
  const limit = Math.min(ROWS_PER_STEP, rowCount - rowNo);
  const rows: SourceRow[] = [];
  let endsAt = offset;
  const source = Readable.from(readFrom(em, importId, offset), { objectMode: false });
  const parser = createCsvParser(delimiter, limit);
  source.on('error', (error) => parser.destroy(error));
  try {
    for await (const parsed of source.pipe(parser)) {
      const record = toRecord(parsed);
      endsAt = offset + record.endsAt;
      rows.push({ rowNo: rowNo + rows.length + 1, cells: record.cells.map((cell) => decodeCell(cell, isUtf8)) });
      if (rows.length === limit) break;
    }
  } catch (error) {
    throw toCsvProblem(error);
  } finally {
    source.destroy();
  }
  if (rows.length < limit) throw new AppError(500, 'file_gone', 'The file of the import is not there any more.');
  return { rows, endsAt };
}

const labelsColumnOf = ({ columns }: ImportInput): number | null =>
  columns.find(({ to }) => to === 'labels')?.column ?? null;

/** What rows say, and why some of them cannot be taken. */
function toDrafts(
  input: ImportInput,
  rows: readonly SourceRow[],
  labelsSoFar: readonly string[],
): { drafts: Draft[]; refused: RowOutcome[]; labels: Set<string> } {
  const labels = new Set(labelsSoFar);
  const drafts: Draft[] = [];
  const refused: RowOutcome[] = [];
  const refuse = ({ rowNo, cells }: SourceRow, reason: string, columnNo: number | null): void =>
    void refused.push({ rowNo, status: 'invalid', contactId: null, reason, columnNo, cells });
  for (const row of rows) {
    const draft = toDraft(row.rowNo, row.cells, input);
    if ('reason' in draft) {
      refuse(row, draft.reason, draft.columnNo);
      continue;
    }
    draft.labels.push(...input.labels);
    draft.consent ??= input.consent;
    const fresh = draft.labels.map((name) => name.toLowerCase()).filter((name) => !labels.has(name));
    if (labels.size + fresh.length > MAX_LABELS) {
      refuse(row, 'too_many_labels', labelsColumnOf(input));
      continue;
    }
    for (const name of fresh) labels.add(name);
    drafts.push(draft);
  }
  return { drafts, refused, labels };
}

async function importRows(
  em: EntityManager,
  { workspaceId, input, state, userId, counts }: Operation<ImportInput, ImportState>,
  { appSecret }: StepResources,
): Promise<Step<ImportState>> {
  const { rows, endsAt } = await readRows(em, input, state);
  const { drafts, refused, labels } = toDrafts(input, rows, state.labels);
  const lookups = lookupsOfDrafts(drafts);
  const ids = idsOfDrafts(drafts);
  const people = await findPeople(em, lookups, ids);
  if (input.isDryRun) await overlayPeople(em, input.importId, { identities: lookups, ids }, people);
  const listKey = { appSecret, workspaceId };
  const agreeing = phonesToAgree(people, drafts);
  const suppressed = agreeing.length === 0 ? new Set<string>() : await isSuppressed(em, listKey, agreeing);
  // Whom a dry run made so far takes room as if they were there.
  const room = (await contactRoom(em, drafts.length)) - (input.isDryRun ? (counts['created'] ?? 0) : 0);
  const settled = settleRows(people, drafts, { ...input, suppressed, room });
  if (input.isDryRun) await notePeople(em, input.importId, people, settled);
  else await writePeople(em, settled, { importId: input.importId, actorId: userId, listKey });
  const cellsOf = new Map(rows.map(({ rowNo, cells }) => [rowNo, cells]));
  const isNobody = (one: RowOutcome) => input.isDryRun && one.status === 'created';
  const told = settled.outcomes.map((one) => ({
    ...one,
    // Whom a dry run would make is nobody.
    contactId: isNobody(one) ? null : one.contactId,
    columnNo: one.reason === 'too_many_labels' ? labelsColumnOf(input) : null,
    cells: one.status === 'invalid' ? (cellsOf.get(one.rowNo) ?? null) : null,
  }));
  const outcomes = [...refused, ...told];
  await insertRows(em, input.importId, outcomes);
  const sums: Record<string, number> = { created: 0, updated: 0, skipped: 0, invalid: 0, ...counts };
  for (const { status } of outcomes) sums[status] = (sums[status] ?? 0) + 1;
  const done = state.rowNo + rows.length;
  return {
    state: { ...state, offset: endsAt, rowNo: done, labels: [...labels] },
    done,
    total: input.rowCount,
    counts: sums,
    isOver: done === input.rowCount,
  };
}

/** What is left of the file goes; a dry run's stays, for the run that follows it. */
async function end(
  em: EntityManager,
  { input, userId }: Pick<Operation<ImportInput, ImportState>, 'input' | 'userId'>,
  status: 'completed' | 'failed' | 'cancelled',
  counts: Readonly<Record<string, number>>,
): Promise<void> {
  const { importId, isDryRun } = input;
  if (isDryRun) return forgetPeople(em, importId);
  await deleteChunks(em, importId);
  await emitEvent(em, {
    type: 'import.completed',
    data: { importId, status, counts },
    subjectId: null,
    actorId: userId,
  });
}

/** Rows of a file become contacts, a step at a time. */
export const importContacts = defineOperation({
  name: IMPORT_KIND,
  input: ImportInput,
  state: ImportState,
  async step(em, operation, resources) {
    const { input, state } = operation;
    if (!state.isCleared) {
      const cleared = await clearRows(em, input.importId, CLEARED_PER_STEP);
      return {
        state: { ...state, isCleared: cleared < CLEARED_PER_STEP },
        done: 0,
        total: input.rowCount,
        counts: {},
        isOver: false,
      };
    }
    const step = await importRows(em, operation, resources);
    if (step.isOver) await end(em, operation, 'completed', step.counts);
    return step;
  },
  cutShort: (em, operation, status) => end(em, operation, status, operation.counts),
});
