/** The kinds of personal data that are looked for, from the most to the least telling: what overlaps with equal right is the earlier. */
export const PII_TYPES = [
  'secret',
  'pix_code',
  'boleto',
  'card',
  'iban',
  'cnpj',
  'cpf',
  'pix_key',
  'email',
  'phone',
  'voter_id',
  'cnh',
  'pis',
  'rg',
  'birth_date',
  'cep',
  'plate',
  'ip',
  'name',
  'url',
] as const;
export type PiiType = (typeof PII_TYPES)[number];

/** Where a text holds personal data. Offsets count UTF-16 units; `value` is the text between them. */
export interface PiiSpan {
  type: PiiType;
  start: number;
  end: number;
  value: string;
  /** The one way to write it: digits alone for documents, E.164 for phones, lower case for addresses. */
  normalized: string;
  /** 0 to 1: how sure; not a calibrated probability. */
  score: number;
}

/** A span in the folded text, before its offsets are led back to the text as it was. */
export type Found = Omit<PiiSpan, 'value'>;
