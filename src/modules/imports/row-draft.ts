import type { CountryCode } from 'libphonenumber-js/max';
import { z } from 'zod';
import { EmailAddress, nameText } from '#src/http/fields.ts';
import { MAX_LABELS } from '#src/modules/contacts/contacts.schemas.ts';
import type { Known } from '#src/modules/contacts/identities.ts';
import { parsePhone } from '#src/modules/contacts/phone.ts';
import { customKeyOf, foldHeader, type CustomField } from '#src/modules/imports/columns.ts';
import { readNumber, type DecimalMark } from '#src/modules/imports/number-text.ts';

export type CustomValue = string | number | boolean;

/** A column and what it goes into, ready for every row. */
export interface MappedColumn {
  column: number;
  to: string;
  /** What its texts are read as, where it goes into a field of the workspace. */
  field?: CustomField | undefined;
}

/** What a row says of somebody. */
export interface Draft {
  rowNo: number;
  /** The platform's own id of the contact it is about. */
  contactId?: string | undefined;
  known: Known;
  /** Beyond the first, which is in `known`. */
  otherPhones: string[];
  name?: string | undefined;
  company?: string | undefined;
  position?: string | undefined;
  consent?: 'granted' | 'denied' | undefined;
  custom: Record<string, CustomValue>;
  /** By name. */
  labels: string[];
}

/** Why a row cannot be taken, and because of which column. */
export interface Refusal {
  reason: string;
  columnNo: number | null;
}
class Refused extends Error {
  readonly reason: string;
  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}

const Name = nameText(200);
const Label = nameText(60);
const ContactId = z.uuid().toLowerCase();
const Url = z.url({ protocol: /^https?$/ }).max(2000);
const IsoDay = z.iso.date();
const MAX_TEXT = 2000;
const YES = new Set(['sim', 's', 'yes', 'y', 'true', 'verdadeiro', '1', 'x', 'aceito', 'granted', 'si']);
const NO = new Set(['nao', 'n', 'no', 'false', 'falso', '0', 'denied', 'recusado']);
/** Says nothing, as in the platform's own exports. */
const UNSAID = new Set(['unknown', 'desconhecido', 'desconocido']);

function read<Value>(schema: z.ZodType<Value>, text: string, reason: string): Value {
  const result = schema.safeParse(text);
  if (!result.success) throw new Refused(reason);
  return result.data;
}

function toNumber(text: string, mark: DecimalMark): number {
  const value = readNumber(text, mark);
  if (value === null) throw new Refused('invalid_number');
  return value;
}

/** Days as Brazil writes them, and ISO 8601. */
function toDay(text: string): string {
  const [, day, month, year] = /^(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})\b/.exec(text) ?? [];
  const iso =
    year === undefined
      ? text.slice(0, 10)
      : `${year}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`;
  return read(IsoDay, iso, 'invalid_date');
}

function toBoolean(text: string): boolean {
  const word = foldHeader(text);
  if (!YES.has(word) && !NO.has(word)) throw new Refused('invalid_boolean');
  return YES.has(word);
}

function toCustom({ kind, options }: CustomField, text: string, mark: DecimalMark): CustomValue {
  if (text.length > MAX_TEXT) throw new Refused('too_long');
  switch (kind) {
    case 'number':
      return toNumber(text, mark);
    case 'date':
      return toDay(text);
    case 'boolean':
      return toBoolean(text);
    case 'url':
      return read(Url, text, 'invalid_url');
    case 'select': {
      const chosen = options.find((option) => foldHeader(option) === foldHeader(text));
      if (chosen === undefined) throw new Refused('unknown_option');
      return chosen;
    }
    case 'text':
      break;
  }
  return text;
}

const toLabels = (text: string): string[] =>
  text
    .split(/\s*(?:[,;|]|:::)\s*/)
    .filter((name) => name !== '' && name !== '* myContacts')
    .map((name) => read(Label, name, 'invalid_label'));

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ');

/** How what stands in a file is written. */
export interface Spelling {
  /** Of numbers that say none, ISO 3166-1 alpha-2. */
  country?: CountryCode | undefined;
  /** Of numbers that would be two. */
  decimalMark: DecimalMark;
}

/** Puts a cell into a draft. */
function put(draft: Draft, { to, field }: MappedColumn, text: string, { country, decimalMark }: Spelling): void {
  const key = customKeyOf(to);
  if (key !== undefined && field) draft.custom[key] = toCustom(field, text, decimalMark);
  else if (to === 'name') draft.name = read(Name, oneLine(draft.name ? `${draft.name} ${text}` : text), 'invalid_name');
  else if (to === 'company' || to === 'position') draft[to] = read(Name, oneLine(text), `invalid_${to}`);
  else if (to === 'email') draft.known.email = read(EmailAddress, text, 'invalid_email');
  else if (to === 'externalId') draft.known.externalId = read(Name, text, 'invalid_external_id');
  else if (to === 'id') draft.contactId = read(ContactId, text, 'invalid_id');
  else if (to === 'consent') {
    if (!UNSAID.has(foldHeader(text))) draft.consent = toBoolean(text) ? 'granted' : 'denied';
  } else if (to === 'labels') draft.labels.push(...toLabels(text));
  else if (to === 'phone') {
    const phone = parsePhone(text, country);
    if (phone === null) throw new Refused('invalid_phone');
    if (draft.known.phone === undefined) draft.known.phone = phone;
    else if (draft.known.phone !== phone) draft.otherPhones.push(phone);
  }
}

/** Whether a row says what its contact is found by, but for an id. */
export const isSomebody = ({ known: { phone, email, externalId } }: Draft): boolean =>
  phone !== undefined || email !== undefined || externalId !== undefined;

/**
 * Reads a row of a file.
 * @param cells decoded and trimmed
 * @returns what it says, or why it cannot be taken
 */
export function toDraft(
  rowNo: number,
  cells: readonly string[],
  { columns, columnCount, ...spelling }: { columns: readonly MappedColumn[]; columnCount: number } & Spelling,
): Draft | Refusal {
  const draft: Draft = { rowNo, known: {}, otherPhones: [], custom: {}, labels: [] };
  const extra = cells.findIndex((cell, at) => at >= columnCount && cell !== '');
  if (extra >= 0) return { reason: 'too_many_cells', columnNo: extra };
  for (const column of columns) {
    const text = cells[column.column] ?? '';
    if (text === '') continue;
    try {
      put(draft, column, text, spelling);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { reason: error.reason, columnNo: column.column };
    }
  }
  if (draft.contactId === undefined && !isSomebody(draft)) return { reason: 'no_identity', columnNo: null };
  if (draft.labels.length > MAX_LABELS)
    return { reason: 'too_many_labels', columnNo: columns.find(({ to }) => to === 'labels')?.column ?? null };
  return draft;
}
