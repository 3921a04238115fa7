import { z } from 'zod';
import { engines } from '#src/ai/engines/index.ts';
import type { Engine } from '#src/ai/engines/define.ts';
import type { Prompt } from '#src/ai/prompts/define.ts';

const all: Engine[] = Object.values(engines);

/** The engines that ask with a prompt of ours, by name. */
export const PROMPTS: ReadonlyMap<string, Prompt> = new Map(
  all.flatMap(({ name, prompt }) => (prompt ? [[name, prompt] as const] : [])),
);

export const PromptLanguage = z.enum(['pt', 'en', 'es']);

export const PromptParams = z.strictObject({
  engine: z.string().refine((name) => PROMPTS.has(name), `must be one of ${[...PROMPTS.keys()].join(', ')}`),
  language: PromptLanguage,
});
export type PromptParams = z.infer<typeof PromptParams>;

const PromptText = z
  .string()
  .trim()
  .min(20, 'must have at least 20 characters')
  .max(8000, 'must have at most 8000 characters')
  .refine((text) => !text.includes('\0') && text.isWellFormed(), 'must be valid Unicode without U+0000');

export const PromptBody = z.strictObject({ text: PromptText });
/** Without a text, the one in use is shown. */
export const PreviewBody = z.strictObject({ text: PromptText.optional() });
export const ActivateBody = z.strictObject({ version: z.int().min(1).max(1_000_000) });

/** One text of a workspace's, which stays in the history when another takes its place. */
export const PromptVersionView = z
  .object({
    version: z.int(),
    text: z.string(),
    variables: z.array(z.string()),
    isActive: z.boolean(),
    createdAt: z.iso.datetime(),
    createdBy: z.uuid().nullable(),
  })
  .meta({ id: 'PromptVersion' });
export type PromptVersionView = z.infer<typeof PromptVersionView>;

/** How an engine asks in one language: our instruction, the workspace's own in its place, and the format that follows either. */
export const PromptView = z
  .object({
    engine: z.string(),
    language: PromptLanguage,
    default: z.object({ version: z.string(), text: z.string() }),
    /** Always the engine's: the fence around the material and the shape of the answer. */
    format: z.string(),
    variables: z.array(
      z.object({ name: z.string(), description: z.string(), required: z.boolean(), sample: z.string() }),
    ),
    active: PromptVersionView.nullable(),
  })
  .meta({ id: 'Prompt' });
export type PromptView = z.infer<typeof PromptView>;

export const PromptList = z.object({ data: z.array(PromptView) });
export const PromptHistory = z.object({ data: z.array(PromptVersionView) });
export const PreviewView = z.object({ text: z.string(), promptTokens: z.int() });
