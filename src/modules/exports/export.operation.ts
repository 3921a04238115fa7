import { z } from 'zod';
import { AppError } from '#src/errors.ts';
import { dealsOfKept } from '#src/modules/activities/activity-sight.ts';
import { defineOperation } from '#src/modules/bulk/operation.ts';
import { conditionOf, Selection } from '#src/modules/contacts/bulk.ts';
import { headOf, lineOf } from '#src/modules/exports/export-text.ts';
import {
  completeExport,
  deleteExportChunks,
  insertExportChunk,
  readContacts,
} from '#src/modules/exports/exports.query.ts';

export const EXPORT_KIND = 'contacts.export';
const PAGE = 5000;
const MAX_BYTES = 536_870_912;

export const ExportInput = z.object({
  selection: Selection,
  fields: z.array(z.string()),
  format: z.enum(['csv', 'ndjson']),
  /** Whose contacts alone, for those who see only their own. */
  onlyOwnerId: z.uuid().nullable(),
  /** Whose deals alone count in the filter, by the same rule. Exports from before it have none. */
  onlyDealsOf: z.uuid().nullable().default(null),
  /** What days of the filter are counted from: the same in every step. */
  now: z.iso.datetime(),
});
export type ExportInput = z.output<typeof ExportInput>;

/** The last contact that is written, the last there was in the beginning, and how much of the file there is. */
export const ExportState = z.object({
  after: z.uuid().nullable(),
  upTo: z.uuid(),
  chunks: z.int(),
  bytes: z.int(),
});

/** Contacts become a file, a page of them to a part. Its id is the export's. */
export const exportContacts = defineOperation({
  name: EXPORT_KIND,
  input: ExportInput,
  state: ExportState,
  async step(em, { id, input, state, done }) {
    const { fields, format } = input;
    const where = await conditionOf(em, input.selection, dealsOfKept(input.onlyDealsOf), input.now);
    const { after, upTo } = state;
    const contacts = await readContacts(em, where, { after, upTo, ownerId: input.onlyOwnerId, limit: PAGE });
    const head = state.chunks === 0 ? headOf(format, fields) : '';
    const content = Buffer.from(head + contacts.map((contact) => lineOf(format, fields, contact)).join(''));
    const bytes = state.bytes + content.length;
    if (bytes > MAX_BYTES) throw new AppError(413, 'export_too_large', `The file would be over ${MAX_BYTES} bytes.`);
    if (content.length > 0) await insertExportChunk(em, id, state.chunks, content);
    const isOver = contacts.length < PAGE;
    const rows = done + contacts.length;
    if (isOver) await completeExport(em, id, rows, bytes);
    return {
      state: { after: contacts.at(-1)?.id ?? after, upTo, chunks: state.chunks + Number(content.length > 0), bytes },
      done: rows,
      ...(isOver ? { total: rows } : {}),
      counts: { exported: rows },
      isOver,
    };
  },
  cutShort: (em, { id }) => deleteExportChunks(em, id),
});
