import { z } from 'zod';
import { badRequest, type FieldError } from '#src/errors.ts';
import type { ContactField } from '#src/modules/contacts/contact-field.entity.ts';

/** What a custom field can hold; null takes it away. */
export const CustomFields = z.record(
  z.string().min(1).max(40),
  z.union([z.string().max(2000), z.number(), z.boolean(), z.null()]),
);
export type CustomFields = z.output<typeof CustomFields>;

type Definition = Pick<ContactField, 'key' | 'kind' | 'options'>;

const SCHEMAS: Record<ContactField['kind'], (options: readonly string[]) => z.ZodType> = {
  text: () => z.string().max(2000),
  number: () => z.number(),
  date: () => z.iso.date('must be a date like 2026-03-01'),
  boolean: () => z.boolean(),
  select: (options) => z.string().refine((text) => options.includes(text), `must be one of: ${options.join(', ')}`),
  url: () => z.url({ protocol: /^https?$/, error: 'must be an address like https://example.com' }),
};

/**
 * Changes custom fields.
 * @param before those a contact has
 * @param change what to set, and with null what to take away; a field that is defined no more can be taken away
 * @throws AppError 400 that names every field that does not fit its definition
 */
export function changeCustomFields(
  definitions: readonly Definition[],
  before: CustomFields,
  change: CustomFields,
): CustomFields {
  const errors: FieldError[] = [];
  const after = new Map(Object.entries(before));
  for (const [key, value] of Object.entries(change)) {
    const path = `customFields.${key}`;
    const definition = definitions.find((one) => one.key === key);
    if (value === null) after.delete(key);
    else if (!definition) errors.push({ path, code: 'unknown_field', message: 'is not a field of this workspace' });
    else {
      const problem = SCHEMAS[definition.kind](definition.options).safeParse(value).error?.issues[0];
      if (problem) errors.push({ path, code: 'invalid_value', message: problem.message });
      after.set(key, value);
    }
  }
  const [first] = errors;
  if (first) throw badRequest('validation_failed', `${first.path} ${first.message}`, errors.slice(0, 20));
  return Object.fromEntries(after);
}
