import { z } from 'zod';

/** What a filter can ask of a contact by itself, and what kind of value each is. */
export const FIELDS = {
  name: 'text',
  phone: 'phone',
  email: 'email',
  company: 'text',
  position: 'text',
  ownerId: 'id',
  consent: 'choice',
  sentiment: 'choice',
  leadScore: 'number',
  createdAt: 'moment',
  lastInboundAt: 'moment',
  lastOutboundAt: 'moment',
  archived: 'boolean',
} as const;
export type FilterField = keyof typeof FIELDS;

/** The choices of the fields that have some. */
export const CHOICES: Partial<Record<FilterField, readonly string[]>> = {
  consent: ['unknown', 'granted', 'denied'],
  sentiment: ['positive', 'neutral', 'negative'],
};

const TEXT_OPS = ['eq', 'neq', 'in', 'contains', 'startsWith', 'exists'] as const;
const ORDER_OPS = ['gt', 'gte', 'lt', 'lte'] as const;
const DAY_OPS = ['withinDays', 'olderThanDays'] as const;

/** What can be asked of each kind of value. */
const OPS = {
  text: TEXT_OPS,
  phone: TEXT_OPS,
  email: TEXT_OPS,
  id: ['eq', 'neq', 'in', 'exists'],
  choice: ['eq', 'neq', 'in', 'exists'],
  number: ['eq', 'neq', 'in', ...ORDER_OPS, 'exists'],
  moment: [...ORDER_OPS, ...DAY_OPS, 'exists'],
  date: ['eq', 'neq', 'in', ...ORDER_OPS, ...DAY_OPS, 'exists'],
  boolean: ['eq', 'neq', 'exists'],
} as const satisfies Record<string, readonly FilterOp[]>;
export type ValueKind = keyof typeof OPS;

export const FilterOp = z.enum([...TEXT_OPS, ...ORDER_OPS, ...DAY_OPS]);
export type FilterOp = z.output<typeof FilterOp>;

const Scalar = z.union([z.string().max(500), z.number(), z.boolean()]);
export type Scalar = z.output<typeof Scalar>;
export const FilterValue = z.union([Scalar, z.array(Scalar).min(1).max(200)]);
export type FilterValue = z.output<typeof FilterValue>;

const hasDigit = (text: string): boolean => /\d/.test(text);
const phoneText = z.string().trim().max(60).refine(hasDigit, 'must have digits');
// Outside of these years Postgres and JavaScript do not agree on what a date is.
const isThisAge = (text: string): boolean => /^(19|20|21)\d\d-/.test(text);
const AGE = 'must be of the years 1900 to 2199';

const SCALARS: Record<Exclude<ValueKind, 'choice'>, z.ZodType<Scalar>> = {
  text: z.string().trim().min(1).max(200),
  phone: phoneText,
  email: z.string().trim().min(1).max(254),
  id: z.uuid().toLowerCase(),
  number: z.number(),
  moment: z.iso
    .datetime({ offset: true })
    .transform((text) => new Date(text).toISOString())
    .refine(isThisAge, AGE),
  date: z.iso.date().refine(isThisAge, AGE),
  boolean: z.boolean(),
};
const Days = z.int().min(0).max(36_500);

function schemaOf(kind: ValueKind, choices: readonly string[], op: FilterOp): z.ZodType<FilterValue> {
  if (op === 'exists') return z.boolean();
  if (op === 'withinDays' || op === 'olderThanDays') return Days;
  const scalar = kind === 'choice' ? z.enum(choices) : SCALARS[kind];
  return op === 'in' ? z.array(scalar).min(1).max(200) : scalar;
}

/** What is wrong with a question, at its `op` or its `value`. */
export interface Misfit {
  at: 'op' | 'value';
  message: string;
}

/**
 * Whether a question fits a kind of value.
 * @param choices what there is to choose from, for the kind `choice`
 * @returns the value as it is compared
 */
export function readValue(
  kind: ValueKind,
  choices: readonly string[],
  op: FilterOp,
  value: FilterValue,
): { value: FilterValue } | Misfit {
  const ops: readonly FilterOp[] = OPS[kind];
  if (!ops.includes(op)) return { at: 'op', message: `must be one of ${ops.join(', ')} here` };
  const read = schemaOf(kind, choices, op).safeParse(value);
  if (read.success) return { value: read.data };
  return { at: 'value', message: read.error.issues[0]?.message ?? 'does not fit' };
}
