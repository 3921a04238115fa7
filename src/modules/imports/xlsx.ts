import { StringDecoder } from 'node:string_decoder';
import type { Readable } from 'node:stream';
import sax from 'sax';
import { fromRandomAccessReaderPromise, RandomAccessReader, type Entry, type ZipFile } from 'yauzl';
import { AppError } from '#src/errors.ts';
import { PackedTexts } from '#src/modules/imports/packed-texts.ts';

/** More than 200 000 rows of many columns have; a file that inflates further is made to exhaust who opens it. */
const MAX_INFLATED_BYTES = 268_435_456;
/** Real sheets shrink to a tenth or so; unzipping checks that an entry is as long as it says. */
const MAX_RATIO = 200;
const MIN_BOMB_BYTES = 16_777_216;
const MAX_ENTRIES = 2000;
const MAX_CELLS = 1000;
const MAX_CELL_LENGTH = 32_767;

const refuse = (code: string, detail: string, status = 422) => new AppError(status, code, detail);
const tooLarge = () =>
  refuse('file_too_large', 'The spreadsheet is too large once it is unpacked. Save it as CSV.', 413);
const broken = (why: string) => refuse('not_a_spreadsheet', `The file is no spreadsheet that can be read: ${why}.`);

/** Reads a zip file through ranges of it. */
class Ranges extends RandomAccessReader {
  readonly #open: (start: number, end: number) => Readable;
  constructor(open: (start: number, end: number) => Readable) {
    super();
    this.#open = open;
  }
  override _readStreamForRange(start: number, end: number): Readable {
    return this.#open(start, end);
  }
}

/** What one part of the file says, element by element; names without their namespace. */
interface Handler {
  open?(name: string, attributes: Record<string, string>): void;
  text?(text: string): void;
  close?(name: string): void;
}

const localName = (name: string) => name.slice(name.indexOf(':') + 1);

/** An open spreadsheet, and how much of it was unpacked so far. */
interface Book {
  zip: ZipFile;
  entries: ReadonlyMap<string, Entry>;
  inflatedBytes: number;
}

/** Reads a part of the file; yields after each piece of it, so that what the handler gathered can be taken. */
async function* walk(book: Book, path: string, handler: Handler): AsyncGenerator<void> {
  const entry = book.entries.get(path);
  if (!entry) throw broken(`it has no ${path}`);
  const { uncompressedSize, compressedSize } = entry;
  if (uncompressedSize > MIN_BOMB_BYTES && uncompressedSize > compressedSize * MAX_RATIO) throw tooLarge();
  let failure: Error | undefined;
  const parser = Object.assign(sax.parser(true, {}), {
    onerror: (error: Error) => void (failure ??= error),
    onopentag({ name, attributes }: sax.Tag | sax.QualifiedTag) {
      const plain = Object.entries(attributes).map(([key, value]) => [localName(key), String(value)] as const);
      handler.open?.(localName(name), Object.fromEntries(plain));
    },
    ontext: (text: string) => handler.text?.(text),
    oncdata: (text: string) => handler.text?.(text),
    onclosetag: (name: string) => handler.close?.(localName(name)),
  });
  const decoder = new StringDecoder('utf8');
  const stream = await book.zip.openReadStreamPromise(entry);
  try {
    for await (const bytes of stream as AsyncIterable<Buffer>) {
      book.inflatedBytes += bytes.length;
      if (book.inflatedBytes > MAX_INFLATED_BYTES) throw tooLarge();
      parser.write(decoder.write(bytes));
      if (failure) throw failure;
      yield;
    }
    parser.write(decoder.end()).close();
    if (failure) throw failure;
  } finally {
    stream.destroy();
  }
  yield;
}

async function readAll(book: Book, path: string, handler: Handler): Promise<void> {
  for await (const _ of walk(book, path, handler));
}

/** @returns where the first sheet is, and whether days are counted from 1904 */
async function findSheet(book: Book): Promise<{ path: string; is1904: boolean }> {
  let relation: string | undefined;
  let is1904 = false;
  await readAll(book, 'xl/workbook.xml', {
    open(name, attributes) {
      if (name === 'sheet') relation ??= attributes['id'];
      if (name === 'workbookPr') is1904 = /^(1|true)$/.test(attributes['date1904'] ?? '');
    },
  });
  let target: string | undefined;
  await readAll(book, 'xl/_rels/workbook.xml.rels', {
    open(name, { Id, Target }) {
      if (name === 'Relationship' && Id !== undefined && Id === relation) target = Target;
    },
  });
  if (target === undefined) throw broken('it has no sheet');
  return { path: target.startsWith('/') ? target.slice(1) : `xl/${target}`, is1904 };
}

/** The texts that cells refer to by number. */
async function readTexts(book: Book): Promise<PackedTexts> {
  const texts = new PackedTexts();
  if (!book.entries.has('xl/sharedStrings.xml')) return texts;
  let text = '';
  let isText = false;
  let isPhonetic = false;
  await readAll(book, 'xl/sharedStrings.xml', {
    open(name) {
      if (name === 'si') text = '';
      if (name === 'rPh') isPhonetic = true;
      isText = name === 't' && !isPhonetic;
    },
    text(piece) {
      if (isText && text.length < MAX_CELL_LENGTH) text += piece;
    },
    close(name) {
      isText = false;
      if (name === 'rPh') isPhonetic = false;
      if (name === 'si' && !texts.add(text.slice(0, MAX_CELL_LENGTH))) throw tooLarge();
    },
  });
  return texts;
}

/** Formats of dates that are built in (ECMA-376, part 1, section 18.8.30). */
const isDateFormat = (id: number) =>
  (id >= 14 && id <= 22) || (id >= 27 && id <= 36) || (id >= 45 && id <= 47) || (id >= 50 && id <= 58);

/** @returns whether a cell of each style is a date */
async function readDateStyles(book: Book): Promise<boolean[]> {
  const styles: boolean[] = [];
  if (!book.entries.has('xl/styles.xml')) return styles;
  const own = new Map<number, boolean>();
  let isCellStyles = false;
  await readAll(book, 'xl/styles.xml', {
    open(name, attributes) {
      const id = Number(attributes['numFmtId']);
      const code = (attributes['formatCode'] ?? '').replaceAll(/"[^"]*"|\[[^\]]*\]|\\./g, '');
      if (name === 'numFmt') own.set(id, /[dmyhs]/i.test(code));
      if (name === 'cellXfs') isCellStyles = true;
      if (name === 'xf' && isCellStyles) styles.push(own.get(id) ?? isDateFormat(id));
    },
    close(name) {
      if (name === 'cellXfs') isCellStyles = false;
    },
  });
  return styles;
}

const DAY_MS = 86_400_000;
// Day 0 of both calendars; that of 1900 has a 29th of February that never was, so its first two months are not told apart here.
const EPOCH_MS = { 1900: Date.UTC(1899, 11, 30), 1904: Date.UTC(1904, 0, 1) };

function toDay(text: string, is1904: boolean): string {
  const days = Number(text);
  const at = new Date(EPOCH_MS[is1904 ? 1904 : 1900] + Math.round(days * DAY_MS));
  if (!Number.isFinite(days) || Number.isNaN(at.getTime())) return text;
  const iso = at.toISOString();
  return Number.isInteger(days) ? iso.slice(0, 10) : iso.slice(0, 19).replace('T', ' ');
}

/** Excel keeps fifteen digits and writes long ones with an exponent, other programs whole ones as `1.0`; phone numbers are such. */
const toNumberText = (text: string): string =>
  /e/i.test(text) && Number.isFinite(Number(text)) ? String(Number(text)) : text.replace(/^([+-]?\d+)\.0*$/, '$1');

/** `C5` → 2. */
function columnOf(reference: string): number {
  let column = 0;
  for (const letter of /^[A-Z]{1,3}/.exec(reference)?.[0] ?? '') column = column * 26 + letter.charCodeAt(0) - 64;
  return column - 1;
}

const ESCAPED = /_x([0-9A-Fa-f]{4})_/g;
/** What XML cannot hold is written `_x000D_`; Postgres cannot hold U+0000. */
const clean = (text: string): string =>
  text
    .replaceAll(ESCAPED, (_all, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
    .replaceAll('\0', ' ')
    .toWellFormed();
const toCsv = (cells: readonly string[]): string =>
  `${cells.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(',')}\n`;

/** Gathers the rows of a sheet (ECMA-376, part 1, section 18.3) as CSV. */
function createRows(texts: PackedTexts, isDate: readonly boolean[], is1904: boolean) {
  let csv = '';
  let cells: string[] = [];
  let column = -1;
  let type = 'n';
  let style = 0;
  let value = '';
  let isValue = false;
  const valueOf = (): string => {
    if (type === 's') return texts.at(Number(value)) ?? '';
    if (type === 'b') return value === '1' ? 'true' : 'false';
    if (type === 'e') return '';
    if (type !== 'n' || value === '') return value;
    return isDate[style] === true ? toDay(value, is1904) : toNumberText(value);
  };
  const handler: Handler = {
    open(name, { r, t, s }) {
      if (name === 'row') {
        cells = [];
        column = -1;
      } else if (name === 'c') {
        column = r === undefined ? column + 1 : columnOf(r);
        if (column < 0 || column >= MAX_CELLS)
          throw refuse('too_many_columns', `A row has more than ${MAX_CELLS} columns.`);
        type = t ?? 'n';
        style = Number(s ?? 0);
        value = '';
      }
      isValue = name === 'v' || name === 't';
    },
    text(piece) {
      if (isValue && value.length < MAX_CELL_LENGTH) value += piece;
    },
    close(name) {
      isValue = false;
      if (name === 'c') {
        while (cells.length < column) cells.push('');
        cells[column] = clean(valueOf());
      } else if (name === 'row' && cells.some((cell) => cell !== '')) csv += toCsv(cells);
    },
  };
  return {
    handler,
    take(): string {
      const taken = csv;
      csv = '';
      return taken;
    },
  };
}

async function openBook(ranges: Ranges, sizeBytes: number): Promise<Book> {
  const zip = await fromRandomAccessReaderPromise(ranges, sizeBytes, { autoClose: false });
  if (zip.entryCount > MAX_ENTRIES) throw tooLarge();
  const entries = new Map<string, Entry>();
  for await (const entry of zip.eachEntry()) entries.set(entry.fileName, entry);
  return { zip, entries, inflatedBytes: 0 };
}

/**
 * The rows of the first sheet of a spreadsheet (.xlsx) as CSV in UTF-8, piece by piece; only its shared texts are held in memory, up to a limit.
 * @param open gives a range of the file's bytes
 * @throws AppError 413 `file_too_large`, 422 `not_a_spreadsheet` or `too_many_columns`
 */
export async function* readSheet(
  open: (start: number, end: number) => Readable,
  sizeBytes: number,
): AsyncGenerator<Buffer> {
  try {
    const book = await openBook(new Ranges(open), sizeBytes);
    const { path, is1904 } = await findSheet(book);
    const isDate = await readDateStyles(book);
    const rows = createRows(await readTexts(book), isDate, is1904);
    for await (const _ of walk(book, path, rows.handler)) {
      const csv = rows.take();
      if (csv !== '') yield Buffer.from(csv);
    }
  } catch (error) {
    if (error instanceof AppError || !(error instanceof Error)) throw error;
    if (isFaultOfFile(error)) throw broken(error.message.split('\n', 1)[0]?.slice(0, 100) ?? 'it is damaged');
    throw error;
  }
}

/** Neither unzipping nor parsing has errors of a class of their own; those of Postgres and of the network have a code. */
const isFaultOfFile = (error: Error & { code?: unknown }): boolean =>
  (error.code === undefined && !(error instanceof TypeError)) || String(error.code).startsWith('Z_');
