import { z } from 'zod';
import { parsePhone } from '#src/modules/contacts/phone.ts';

/** What a column can go into, beside the workspace's own fields. */
export const FIELDS = [
  'id',
  'name',
  'phone',
  'email',
  'company',
  'position',
  'labels',
  'externalId',
  'consent',
  'ignore',
] as const;
export type Field = (typeof FIELDS)[number];

const CUSTOM = 'custom:';
/** `id` (of a contact of the workspace), `name`, `phone`, … or `custom:<key>`, a field of the workspace. */
export const Target = z
  .string()
  .max(47)
  .regex(/^(id|name|phone|email|company|position|labels|externalId|consent|ignore|custom:[^\p{Cc}]{1,40})$/u, {
    error: `must be one of ${FIELDS.join(', ')} or custom:<key of a field>`,
  });

/** @returns the key of the workspace's field that a target names */
export const customKeyOf = (target: string): string | undefined =>
  target.startsWith(CUSTOM) ? target.slice(CUSTOM.length) : undefined;

export const ColumnView = z.object({
  /** From 0. */
  column: z.int(),
  header: z.string(),
  samples: z.array(z.string()),
  /** What the column seems to be; `ignore` where it is nothing that is known. */
  to: Target,
  /** For a column that is nothing known: the field to make for it (`POST /api/contact-fields`), to keep it. */
  newField: z
    .object({ key: z.string(), name: z.string(), kind: z.enum(['text', 'number', 'date', 'boolean', 'url']) })
    .optional(),
});
export type ColumnView = z.output<typeof ColumnView>;

/** A field that the workspace made for its contacts. */
export interface CustomField {
  key: string;
  name: string;
  kind: 'text' | 'number' | 'date' | 'boolean' | 'select' | 'url';
  options: string[];
}

/** How headers are compared: without case, accents and what parts words. */
export const foldHeader = (text: string): string =>
  text
    .normalize('NFD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();

/** Portuguese, English and Spanish headers, and those of the address books of Google and Outlook; the surer in front. */
const HEADERS: [Field, RegExp][] = [
  ['phone', /\b(whats ?app|wpp|zap|celular(es)?|cel|tele?fones?|tel|fone|mobile|phone|telefono|movil|numero)\b/],
  ['email', /\b(e ?mails?|correio eletronico|correo)\b/],
  ['company', /\b(empresa|companhia|company|organi[sz]ation( name)?|organizacao|razao social|empregador)\b/],
  ['position', /\b(cargo|funcao|profissao|position|job ?title|title|puesto|organi[sz]ation title)\b/],
  ['labels', /\b(etiquetas?|marcadores|marcador|tags?|labels?|grupos?|groups?|categorias?)\b/],
  ['consent', /\b(consent(imento)?|opt ?in|aceita (marketing|receber)|lgpd)\b/],
  ['externalId', /^(id|codigo|cod|id externo|external id|id (do )?cliente|customer id|codigo (do )?cliente)$/],
  [
    'name',
    /^(nome|name|nombre|nome completo|full ?name|first ?name|last ?name|given name|family name|middle name|primeiro nome|sobrenome|ultimo nome|apellidos?|contato|contact|cliente|nome (do|da|de) .+|display name|razao)$/,
  ],
];
/** A header like these says what kind of number or name it is, not the thing itself. */
const BESIDES =
  /\b(type|tipo|label|phonetic|yomi|prefix|suffix|data|date|nascimento|birthday|cpf|cnpj|rg|cep|fatura|pedido|serie)\b/;
const GOOGLE_VALUE = /^(phone|e mail) \d+ (value|valor)$/;

const isMostly = (values: readonly string[], is: (value: string) => boolean): boolean => {
  const given = values.filter((value) => value !== '');
  return given.length > 0 && given.filter(is).length / given.length >= 0.8;
};
export const looksLikeEmail = (text: string): boolean => /^[^\s@]+@[^\s@]+\.[^\s@]{2,}$/.test(text);
export const looksLikePhone = (text: string): boolean =>
  /^[+\d\s().-]{8,25}$/.test(text) && !/^\d{4}-\d\d-\d\d|^\d\d\.\d\d\.\d{4}/.test(text) && parsePhone(text) !== null;

/** As `newId` makes them: what stands under `id` in the platform's own exports is no id of another system. */
const looksLikeOwnId = (text: string): boolean =>
  /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/i.test(text);

function guess(header: string, values: readonly string[]): Field | undefined {
  const folded = foldHeader(header);
  if (folded === 'id' && isMostly(values, looksLikeOwnId)) return 'id';
  if (GOOGLE_VALUE.test(folded)) return folded.startsWith('phone') ? 'phone' : 'email';
  const named = BESIDES.test(folded) ? undefined : HEADERS.find(([, words]) => words.test(folded))?.[0];
  // A header that says phone over what is none is taken at its word only where nothing contradicts it.
  if (named === 'phone' && values.some((value) => value !== '') && !values.some((value) => /\d{4}/.test(value)))
    return undefined;
  if (named) return named;
  if (isMostly(values, looksLikeEmail)) return 'email';
  return !BESIDES.test(folded) && isMostly(values, looksLikePhone) ? 'phone' : undefined;
}

function kindOf(values: readonly string[]): 'text' | 'number' | 'date' | 'boolean' | 'url' {
  if (isMostly(values, (value) => /^(\d{4}-\d\d-\d\d|\d{1,2}\/\d{1,2}\/\d{4})$/.test(value))) return 'date';
  if (isMostly(values, (value) => /^(sim|nao|não|yes|no|true|false|verdadeiro|falso)$/i.test(value))) return 'boolean';
  if (isMostly(values, (value) => /^https?:\/\//i.test(value))) return 'url';
  // Leading zeros and long digits are codes, which a number would lose.
  if (isMostly(values, (value) => /^-?(0|[1-9]\d{0,9})([.,]\d+)?$/.test(value))) return 'number';
  return 'text';
}

const SAMPLES = 3;
const MAX_HEADER = 200;

/** Headers each once: the second `Telefone` is `Telefone (2)`. */
export function uniqueHeaders(headers: readonly string[]): string[] {
  const taken = new Set<string>();
  return headers.map((text, at) => {
    const plain = text.slice(0, MAX_HEADER).toWellFormed() || `Column ${at + 1}`;
    let header = plain;
    for (let count = 2; taken.has(header); count += 1) header = `${plain} (${count})`;
    taken.add(header);
    return header;
  });
}

/**
 * What each column of a file seems to be, by its header and by what is in it.
 * @param headers each once
 * @param fields of the workspace
 */
export function guessColumns(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  fields: readonly CustomField[],
): ColumnView[] {
  const custom = new Map(
    fields.flatMap(({ key, name }) => [foldHeader(name), foldHeader(key)].map((text) => [text, key])),
  );
  const once = new Set<string>();
  return headers.map((header, column) => {
    const values = rows.map((row) => row[column] ?? '');
    const samples = values
      .filter((value) => value !== '')
      .slice(0, SAMPLES)
      .map((value) => value.slice(0, MAX_HEADER).toWellFormed());
    const known = custom.get(foldHeader(header));
    const guessed = known === undefined ? guess(header, values) : `${CUSTOM}${known}`;
    // Several columns can be parts of a name, further phone numbers or labels; of the rest the first is taken.
    const isTaken = guessed !== undefined && !/^(name|phone|labels)$/.test(guessed) && once.has(guessed);
    if (guessed !== undefined && !isTaken) {
      once.add(guessed);
      return { column, header, samples, to: guessed };
    }
    const key = foldHeader(header)
      .replaceAll(' ', '_')
      .replaceAll(/[^a-z0-9_]/g, '')
      .slice(0, 40);
    const newField =
      key === '' ? {} : { newField: { key, name: header.slice(0, 60).toWellFormed(), kind: kindOf(values) } };
    return { column, header, samples, to: 'ignore', ...newField };
  });
}
