import { z } from 'zod';
import { IdText, LanguageTag, nameText } from '#src/http/fields.ts';

const MAX_BODY = 4096;

export const TemplateBody = z.strictObject({
  name: nameText(100),
  category: z.enum(['marketing', 'utility', 'service']).default('utility'),
  language: LanguageTag.default('pt-BR'),
  /** Text with variables like `{{contact.first_name|"amigo"}}`; each has a fallback, empty for "do not send without". */
  body: z.string().min(1).max(MAX_BODY),
});
export const TemplatePatch = z
  .strictObject({
    name: nameText(100).optional(),
    category: TemplateBody.shape.category.unwrap().optional(),
    language: LanguageTag.optional(),
    body: TemplateBody.shape.body.optional(),
  })
  .refine((body) => Object.keys(body).length > 0, 'must change something');

export const TemplateView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    category: z.enum(['marketing', 'utility', 'service']),
    language: z.string(),
    /** Counts from 1; another body is another version. */
    version: z.int(),
    body: z.string(),
    variables: z.array(z.string()),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Template' });

export const VersionView = z
  .object({
    version: z.int(),
    body: z.string(),
    variables: z.array(z.string()),
    createdBy: z.uuid().nullable(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'TemplateVersion' });

export const PreviewBody = z.strictObject({
  contactId: IdText,
  /** Without one, the current version. */
  version: z.int().min(1).max(2_147_483_647).optional(),
});
export const PreviewView = z
  .object({
    version: z.int(),
    text: z.string(),
    fallbacks: z.array(z.string()),
    unresolved: z.array(z.string()),
    /** Whether a campaign would send it to this contact. */
    isSendable: z.boolean(),
  })
  .meta({ id: 'TemplatePreview' });

export const DuplicateBody = z.strictObject({ name: nameText(100).optional() }).nullish();
