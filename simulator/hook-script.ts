import { createHash } from 'node:crypto';
import { z } from 'zod';
import { ScriptError } from './script.ts';

/** How one webhook is answered. */
const Answer = z.strictObject({
  status: z.int().min(200).max(599).default(200),
  /** Such as `Retry-After` or `Location`. */
  headers: z.record(z.string(), z.string()).default({}),
  body: z.string().max(65_536).default('ok'),
  /** Milliseconds from the whole body to the answer. */
  delayMs: z.number().min(0).max(600_000).default(0),
  /** Where the connection is reset; `never` leaves it open without an answer. */
  cut: z.enum(['before_body', 'after_body', 'in_answer', 'never']).optional(),
});
export type Answer = z.infer<typeof Answer>;

/** What a webhook endpoint does. Unset fields keep the default named beside them. */
export const HookScript = z.strictObject({
  /** Secrets (`whsec_…`), any of which must have signed; what none has is answered 401 (none: nothing is verified). */
  secrets: z.array(z.string()).max(10).default([]),
  /** The answer (200). */
  answer: Answer.prefault({}),
  /** Answers given in its place, each to its share of the requests (none). */
  instead: z.array(Answer.extend({ share: z.number().min(0).max(1) })).default([]),
  /** One `webhook-id` gets `answer` after so many of the others (1000). */
  insteadPerId: z.int().min(0).max(1000).default(1000),
  /** Decides who gets which (0). */
  seed: z.int().default(0),
});
export type HookScript = z.infer<typeof HookScript>;
export type HookScriptInput = z.input<typeof HookScript>;

/** @throws ScriptError naming every wrong field. */
export function readHookScript(value: unknown): HookScript {
  const parsed = HookScript.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ScriptError(parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
}

/**
 * The answer to one request: the same for the same seed, endpoint, id and try.
 * @param tried how often the id had come to this endpoint before
 */
export function answerTo(script: HookScript, hook: string, id: string, tried: number): Answer {
  if (script.instead.length === 0 || tried >= script.insteadPerId) return script.answer;
  const digest = createHash('sha256').update(`${script.seed}/${hook}/${id}/${tried}`).digest();
  let left = digest.readUInt32BE(0) / 2 ** 32;
  return script.instead.find(({ share }) => (left -= share) < 0) ?? script.answer;
}
