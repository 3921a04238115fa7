import { isUtf8 } from 'node:buffer';
import { CsvError, parse, type Parser, type Options } from 'csv-parse';
import { parse as parseAtOnce } from 'csv-parse/sync';
import { AppError } from '#src/errors.ts';
import { withoutGuard } from '#src/lib/csv.ts';

/** A row of a file may be so long; what is longer is a quote that was never closed. */
const MAX_RECORD_BYTES = 262_144;
const DELIMITERS = [',', ';', '\t', '|'] as const;
const SAMPLE_ROWS = 20;

/** How the text of a file is written. What is UTF-16 is stored as UTF-8. */
export type Encoding = 'utf-8' | 'utf-16le' | 'utf-16be' | 'windows-1252';

/** One row of a file, and the byte behind it. */
export interface CsvRecord {
  cells: string[];
  endsAt: number;
}

// Read as Latin-1, a character is a byte: places in the text are places in the file, whatever its encoding, which is known only at its end.
const options = (delimiter: string) =>
  ({
    delimiter,
    encoding: 'latin1',
    info: true,
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    relax_quotes: true,
    skip_empty_lines: true,
    skip_records_with_empty_values: true,
    max_record_size: MAX_RECORD_BYTES,
  }) as const satisfies Options;

/** Reads records out of the bytes that are written to it; blank ones are none. Cells still want `decodeCell`. */
export const createCsvParser = (delimiter: string, limit?: number): Parser =>
  parse({ ...options(delimiter), ...(limit === undefined ? {} : { to: limit }) });

/** A record as the parser hands it out. */
export function toRecord(parsed: { record: string[]; info: { bytes: number } }): CsvRecord {
  return { cells: parsed.record, endsAt: parsed.info.bytes };
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const windows1252 = new TextDecoder('windows-1252');
const BEYOND_ASCII = /[\u0080-\u00ff]/;

/** The text of a cell, trimmed, and without what our own exports put before what would be a formula. */
export function decodeCell(cell: string, isUtf8Text: boolean): string {
  if (!BEYOND_ASCII.test(cell)) return withoutGuard(cell.trim());
  const bytes = Buffer.from(cell, 'latin1');
  return withoutGuard((isUtf8Text ? utf8 : windows1252).decode(bytes).trim());
}

/** The encoding that the first bytes of a file tell, and how many of them only say it; UTF-8 may still turn out to be Windows-1252. */
export function sniffEncoding(head: Buffer): { encoding: Encoding; skipBytes: number } {
  if (head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf) return { encoding: 'utf-8', skipBytes: 3 };
  if (head[0] === 0xff && head[1] === 0xfe) return { encoding: 'utf-16le', skipBytes: 2 };
  if (head[0] === 0xfe && head[1] === 0xff) return { encoding: 'utf-16be', skipBytes: 2 };
  // Every other byte of Latin text in UTF-16 is zero.
  if (head.length >= 4 && head[0] !== 0 && head[1] === 0 && head[2] !== 0 && head[3] === 0)
    return { encoding: 'utf-16le', skipBytes: 0 };
  if (head.length >= 4 && head[0] === 0 && head[1] !== 0 && head[2] === 0 && head[3] !== 0)
    return { encoding: 'utf-16be', skipBytes: 0 };
  return { encoding: 'utf-8', skipBytes: 0 };
}

/** Watches bytes go by; says whether all of them are UTF-8. */
export function createUtf8Watch() {
  let pending = Buffer.alloc(0);
  let isGood = true;
  return {
    take(bytes: Buffer): void {
      if (!isGood) return;
      const all = pending.length > 0 ? Buffer.concat([pending, bytes]) : bytes;
      // A character has four bytes at most: cut in front of the last one that begins.
      let end = all.length;
      for (let back = 1; back <= Math.min(4, all.length); back += 1) {
        const byte = all[all.length - back] ?? 0;
        if (byte < 0x80) break;
        if (byte >= 0xc0) {
          end = all.length - back;
          break;
        }
      }
      isGood = isUtf8(all.subarray(0, end));
      pending = Buffer.from(all.subarray(end));
    },
    isAll: (): boolean => isGood && isUtf8(pending),
  };
}

/** What parts the cells of a file, by its first rows: what gives the same number of cells, more than one, in most of them. */
export function sniffDelimiter(head: Buffer): string {
  const lastEnd = Math.max(head.lastIndexOf(10), head.lastIndexOf(13));
  const whole = lastEnd > 0 ? head.subarray(0, lastEnd + 1) : head;
  let best = { delimiter: ',', score: 0 };
  for (const delimiter of DELIMITERS) {
    const score = scoreOf(whole, delimiter);
    if (score > best.score) best = { delimiter, score };
  }
  return best.delimiter;
}

function scoreOf(head: Buffer, delimiter: string): number {
  try {
    const rows = parseAtOnce(head, { ...options(delimiter), info: false, to: SAMPLE_ROWS });
    const columns = rows[0]?.length ?? 0;
    if (columns < 2) return 0;
    const alike = rows.filter((row) => row.length === columns).length / rows.length;
    return alike + Math.min(columns, 100) / 1000;
  } catch {
    return 0;
  }
}

/** What Excel writes in front to say its delimiter: `sep=;`. */
export function readSeparatorLine(head: Buffer): { delimiter: string; bytes: number } | undefined {
  const found = /^sep=([,;\t|])(\r\n|\n|\r)/i.exec(head.subarray(0, 10).toString('latin1'));
  return found?.[1] === undefined ? undefined : { delimiter: found[1], bytes: found[0].length };
}

/** What was wrong with a file as a client sees it; other errors are passed on. */
export function toCsvProblem(error: unknown): unknown {
  if (!(error instanceof CsvError)) return error;
  const line = Number(error['lines']) || 1;
  const what: Partial<Record<string, string>> = {
    CSV_QUOTE_NOT_CLOSED: 'a quote is never closed',
    CSV_MAX_RECORD_SIZE: `a row is longer than ${MAX_RECORD_BYTES} bytes, or a quote is never closed`,
  };
  const message = what[error.code] ?? 'it cannot be read';
  return new AppError(422, 'csv_malformed', `Line ${line} of the file: ${message}.`, {
    errors: [{ path: `line ${line}`, code: error.code.toLowerCase(), message }],
  });
}
