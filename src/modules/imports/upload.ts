import { Readable } from 'node:stream';
import type { Pool } from 'pg';
import { AppError } from '#src/errors.ts';
import {
  guessColumns,
  looksLikeEmail,
  looksLikePhone,
  uniqueHeaders,
  type CustomField,
} from '#src/modules/imports/columns.ts';
import {
  createCsvParser,
  createUtf8Watch,
  decodeCell,
  readSeparatorLine,
  sniffDelimiter,
  sniffEncoding,
  toCsvProblem,
  toRecord,
  type Encoding,
} from '#src/modules/imports/csv-text.ts';
import { CHUNK_BYTES, insertChunk, readRange, type FilePart } from '#src/modules/imports/import-files.query.ts';
import type { ReadFile } from '#src/modules/imports/imports.query.ts';
import { readSheet } from '#src/modules/imports/xlsx.ts';
import type { Runtime } from '#src/runtime.ts';

export const MAX_BYTES = 104_857_600;
export const MAX_ROWS = 200_000;
export const MAX_COLUMNS = 200;
const PREVIEW_ROWS = 50;
/** What is looked at to find out how a file is written. */
const HEAD_BYTES = 65_536;

const refuse = (code: string, detail: string, status = 422) => new AppError(status, code, detail);

/** Writes bytes as parts of one size, and knows how many there were. */
function createChunkWriter(pool: Pool, file: FilePart) {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let chunkNo = 0;
  let total = 0;
  return {
    async write(bytes: Buffer): Promise<void> {
      total += bytes.length;
      waiting.push(bytes);
      waitingBytes += bytes.length;
      if (waitingBytes < CHUNK_BYTES) return;
      const all = Buffer.concat(waiting);
      let from = 0;
      for (; all.length - from >= CHUNK_BYTES; from += CHUNK_BYTES)
        await insertChunk(pool, file, chunkNo++, all.subarray(from, from + CHUNK_BYTES));
      waiting = [Buffer.from(all.subarray(from))];
      waitingBytes = all.length - from;
    },
    /** @returns how many bytes there were */
    async end(): Promise<number> {
      if (waitingBytes > 0) await insertChunk(pool, file, chunkNo, Buffer.concat(waiting));
      return total;
    },
  };
}

async function* upTo(bytes: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Buffer> {
  let total = 0;
  for await (const part of bytes) {
    total += part.length;
    if (total > maxBytes) throw refuse('file_too_large', `A file may have ${maxBytes} bytes at most.`, 413);
    yield part;
  }
}

/** @returns the first bytes, and all of them */
async function peek(bytes: AsyncGenerator<Buffer>): Promise<{ head: Buffer; all: AsyncGenerator<Buffer> }> {
  const parts: Buffer[] = [];
  let length = 0;
  while (length < HEAD_BYTES) {
    const next = await bytes.next();
    if (next.done) break;
    parts.push(next.value);
    length += next.value.length;
  }
  const head = Buffer.concat(parts);
  const all = async function* () {
    if (head.length > 0) yield head;
    yield* bytes;
  };
  return { head, all: all() };
}

/** Leaves out the first bytes. */
async function* without(bytes: AsyncIterable<Buffer>, skipBytes: number): AsyncGenerator<Buffer> {
  let left = skipBytes;
  for await (const part of bytes) {
    const rest = part.subarray(left);
    left = Math.max(0, left - part.length);
    if (rest.length > 0) yield rest;
  }
}

async function* toUtf8(bytes: AsyncIterable<Buffer>, encoding: Encoding): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder(encoding, { ignoreBOM: true });
  for await (const part of bytes) yield Buffer.from(decoder.decode(part, { stream: true }));
  yield Buffer.from(decoder.decode());
}

/** Stores rows while they are read: parts of the file, what its columns are called, how many rows there are. */
async function storeCsv(pool: Pool, file: FilePart, bytes: AsyncIterable<Buffer>, delimiter: string) {
  const writer = createChunkWriter(pool, file);
  const utf8 = createUtf8Watch();
  const stored = async function* () {
    for await (const part of bytes) {
      if (part.includes(0)) throw refuse('not_text', 'This is no text: it has zero bytes in it.');
      utf8.take(part);
      await writer.write(part);
      yield part;
    }
  };
  const first: string[][] = [];
  let dataOffset = 0;
  let records = 0;
  const source = Readable.from(stored(), { objectMode: false });
  const parser = createCsvParser(delimiter);
  source.on('error', (error) => parser.destroy(error));
  try {
    for await (const parsed of source.pipe(parser)) {
      const { cells, endsAt } = toRecord(parsed);
      if (records === 0) {
        dataOffset = endsAt;
        if (cells.length > MAX_COLUMNS)
          throw refuse('too_many_columns', `The file has ${cells.length} columns; ${MAX_COLUMNS} are the most.`);
      }
      if (records <= PREVIEW_ROWS) first.push(cells);
      records += 1;
      if (records > MAX_ROWS + 1) throw refuse('too_many_rows', `A file may have ${MAX_ROWS} rows at most.`, 413);
    }
  } catch (error) {
    throw toCsvProblem(error);
  } finally {
    source.destroy();
  }
  const sizeBytes = await writer.end();
  const isUtf8 = utf8.isAll();
  const decoded = first.map((cells) => cells.map((cell) => decodeCell(cell, isUtf8)));
  return { isUtf8, rows: decoded, records, dataOffset, sizeBytes };
}

/** Finds out how a text is written, and stores its rows. */
async function readText(pool: Pool, file: FilePart, head: Buffer, all: AsyncIterable<Buffer>) {
  const { encoding, skipBytes } = sniffEncoding(head);
  const isWide = encoding === 'utf-16le' || encoding === 'utf-16be';
  const plain = head.subarray(skipBytes, HEAD_BYTES);
  const narrow = isWide ? Buffer.from(new TextDecoder(encoding).decode(plain)) : plain;
  const separator = readSeparatorLine(narrow);
  const afterSeparator = narrow.subarray(separator?.bytes ?? 0);
  const delimiter = separator?.delimiter ?? sniffDelimiter(afterSeparator);
  const text = without(all, skipBytes);
  const bytes = without(isWide ? toUtf8(text, encoding) : text, separator?.bytes ?? 0);
  const stored = await storeCsv(pool, file, bytes, delimiter);
  const found: Encoding = isWide || stored.isUtf8 ? encoding : 'windows-1252';
  return { ...stored, encoding: found, delimiter };
}

/** Stores a spreadsheet as it came, because it can be read only from its end, and then the rows of its first sheet. */
async function readSpreadsheet(pool: Pool, file: FilePart, all: AsyncIterable<Buffer>) {
  const raw = { ...file, part: 'raw' as const };
  const writer = createChunkWriter(pool, raw);
  for await (const part of all) await writer.write(part);
  const sizeBytes = await writer.end();
  const sheet = readSheet(
    (start, end) => Readable.from(readRange(pool, raw, start, end), { objectMode: false }),
    sizeBytes,
  );
  return { ...(await storeCsv(pool, file, sheet, ',')), encoding: 'utf-8', delimiter: null };
}

const ZIP = 'PK\u0003\u0004';
/** The container of .xls, and of a spreadsheet with a password. */
const OLE = Buffer.from('d0cf11e0a1b11ae1', 'hex');

/**
 * Reads a file that arrives into parts in Postgres, never more than some of them in memory, and finds out what it is.
 * @throws AppError 413 or 422 that says what is wrong with it
 */
export async function receiveFile(
  { pool }: Pick<Runtime, 'pool'>,
  { workspaceId, importId }: Omit<FilePart, 'part'>,
  bytes: AsyncIterable<Buffer>,
  fields: readonly CustomField[],
): Promise<ReadFile> {
  const file = { workspaceId, importId, part: 'csv' as const };
  const { head, all } = await peek(upTo(bytes, MAX_BYTES));
  if (head.length === 0) throw refuse('empty_file', 'The file is empty.');
  if (head.subarray(0, OLE.length).equals(OLE))
    throw refuse('legacy_excel', 'This is an old Excel file, or one with a password. Save it as .xlsx or CSV.');
  const isZip = head.subarray(0, 4).toString('latin1') === ZIP;
  const read = isZip ? await readSpreadsheet(pool, file, all) : await readText(pool, file, head, all);
  const [top = []] = read.rows;
  if (read.records === 0) throw refuse('empty_file', 'The file has no rows.');
  // Nobody is called by a phone number: what has one in its first row has no header.
  const hasHeader = !top.some((cell) => looksLikePhone(cell) || looksLikeEmail(cell));
  const rowCount = read.records - Number(hasHeader);
  if (rowCount === 0) throw refuse('no_rows', 'The file has a header and no rows.');
  if (rowCount > MAX_ROWS) throw refuse('too_many_rows', `A file may have ${MAX_ROWS} rows at most.`, 413);
  const preview = hasHeader ? read.rows.slice(1) : read.rows.slice(0, PREVIEW_ROWS);
  return {
    format: isZip ? 'xlsx' : 'csv',
    encoding: read.encoding,
    delimiter: read.delimiter,
    isUtf8: read.isUtf8,
    columns: guessColumns(uniqueHeaders(hasHeader ? top : top.map(() => '')), preview, fields),
    preview,
    dataOffset: hasHeader ? read.dataOffset : 0,
    rowCount,
    sizeBytes: read.sizeBytes,
  };
}
