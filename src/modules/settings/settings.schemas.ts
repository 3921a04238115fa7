import { z } from 'zod';
import type { Definition } from '#src/modules/settings/registry.ts';

const SecretView = z
  .object({ isSet: z.boolean(), updatedAt: z.string().nullable() })
  .meta({ id: 'SecretSetting', description: 'A secret: whether it is set, and since when' });

/** The body of a PATCH: any of the keys, each with its value, or null for its default. */
export function patchOf(settings: Map<string, Definition>) {
  const shape = [...settings].map(
    ([key, { schema, description, byDefault, isSecret }]) =>
      [
        key,
        schema
          .nullable()
          .optional()
          .meta(isSecret ? { description, writeOnly: true } : { description, default: byDefault }),
      ] as const,
  );
  return z.strictObject(Object.fromEntries(shape)).refine((body) => Object.keys(body).length > 0, {
    message: 'must change at least one setting',
    when: ({ issues }) => issues.length === 0,
  });
}

/** What a scope's settings look like to clients. */
export function viewSchemaOf(settings: Map<string, Definition>) {
  const shape = [...settings].map(([key, { schema, isSecret }]) => [key, isSecret ? SecretView : schema] as const);
  return z.object(Object.fromEntries(shape));
}
