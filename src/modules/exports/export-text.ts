import { csvLine } from '#src/lib/csv.ts';
import type { ExportedContact, ExportFormat } from '#src/modules/exports/exports.query.ts';

/** What of a contact can go into a file, beside the workspace's own fields (`custom:<key>`). */
export const EXPORT_FIELDS = [
  'id',
  'name',
  'phone',
  'email',
  'company',
  'position',
  'labels',
  'ownerId',
  'consent',
  'leadScore',
  'sentiment',
  'createdAt',
  'lastInboundAt',
  'lastOutboundAt',
] as const satisfies (keyof ExportedContact)[];
type ExportField = (typeof EXPORT_FIELDS)[number];

export const isExportField = (text: string): text is ExportField => EXPORT_FIELDS.some((field) => field === text);
export const CUSTOM = 'custom:';

type Value = string | number | boolean | string[] | null;

function valueOf(contact: ExportedContact, field: string): Value {
  if (isExportField(field)) return contact[field];
  const value = contact.customFields[field.slice(CUSTOM.length)];
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
}

function toCell(value: Value): string | number | null {
  if (Array.isArray(value)) return value.join(', ');
  return typeof value === 'boolean' ? String(value) : value;
}

/** The first line of a file, where its format has one. */
export const headOf = (format: ExportFormat, fields: readonly string[]): string =>
  format === 'csv'
    ? csvLine(fields.map((field) => (field.startsWith(CUSTOM) ? field.slice(CUSTOM.length) : field)))
    : '';

/** One contact in a file. */
export function lineOf(format: ExportFormat, fields: readonly string[], contact: ExportedContact): string {
  const values = fields.map((field) => [field, valueOf(contact, field)] as const);
  if (format === 'csv') return csvLine(values.map(([, value]) => toCell(value)));
  return `${JSON.stringify(Object.fromEntries(values))}\n`;
}
