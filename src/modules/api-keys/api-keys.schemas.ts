import { z } from 'zod';
import { nameText } from '#src/http/fields.ts';
import { pageOf } from '#src/http/page.ts';
import { SCOPES } from '#src/http/permissions.ts';

const DAY_SECONDS = 86_400;

const Scope = z.enum(SCOPES);

export const ApiKeyBody = z.strictObject({
  name: nameText(120),
  scopes: z
    .array(Scope)
    .min(1)
    .max(SCOPES.length)
    .refine((scopes) => new Set(scopes).size === scopes.length, 'must not name a scope twice'),
  expiresAt: z.iso
    .datetime({ offset: true })
    .refine((text) => Date.parse(text) > Date.now(), 'must be in the future')
    // An offset can carry the last year that has four digits into the next, which no database reads.
    .refine((text) => Date.parse(text) < Date.UTC(9999, 0), 'must be before the year 9999')
    .optional(),
});
export type ApiKeyBody = z.infer<typeof ApiKeyBody>;

/** How long the old secret goes on working beside the new one, in seconds. */
export const RotateBody = z.strictObject({
  overlapSeconds: z
    .int()
    .min(0)
    .max(7 * DAY_SECONDS)
    .default(DAY_SECONDS),
});

export const ApiKeyView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    prefix: z.string(),
    scopes: z.array(Scope),
    createdBy: z.uuid(),
    expiresAt: z.iso.datetime().nullable(),
    lastUsedAt: z.iso.datetime().nullable(),
    rotatedAt: z.iso.datetime().nullable(),
    revokedAt: z.iso.datetime().nullable(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'ApiKey' });
export type ApiKeyView = z.infer<typeof ApiKeyView>;

export const ApiKeyPage = pageOf(ApiKeyView);

/** The only answer that has the secret. */
export const NewApiKeyView = ApiKeyView.extend({ secret: z.string() }).meta({ id: 'NewApiKey' });
export type NewApiKeyView = z.infer<typeof NewApiKeyView>;
