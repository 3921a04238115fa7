import { z } from 'zod';

/** Every way a simulated provider can go wrong; README.md says what each does on the wire. */
export const FAULTS = [
  'hang',
  'role_then_silence',
  'keep_alive',
  'byte_chunks',
  'merged_events',
  'crlf',
  'split_multibyte',
  'truncated',
  'truncated_mid_event',
  'reset',
  'error_first',
  'error_after',
  'silence_after',
  'rate_limit',
  'rate_limit_date',
  'rate_limit_ms',
  'quota',
  'unauthorized',
  'payment_required',
  'forbidden',
  'model_not_found',
  'bad_request',
  'context_overflow',
  'content_refused',
  'server_error',
  'unavailable',
  'overloaded',
  'capacity',
  'slow_down',
  'unprocessable',
  'html_502',
  'html_200',
  'usage_missing',
  'usage_null',
  'done_in_text',
  'invalid_json',
  'invalid_tool_json',
  'empty',
] as const;
export type Fault = (typeof FAULTS)[number];

const ms = z.number().min(0).max(600_000);
const count = z.int().min(0).max(1_000_000);

/** What a simulated provider does. Unset fields keep the default named beside them. */
export const Script = z.strictObject({
  /** Milliseconds from the request to the response headers (0). */
  headersMs: ms.optional(),
  /** Milliseconds from the headers to the first content (0). */
  firstMs: ms.optional(),
  /** Milliseconds between contents (0). */
  chunkMs: ms.optional(),
  /** Pieces the text is sent in (one per word). */
  chunks: z.int().min(1).max(100_000).optional(),
  /** The exact answer (an answer in the language of the prompt, or an instance of the schema asked for). */
  text: z.string().optional(),
  /** The exact JSON answer. */
  json: z.unknown().optional(),
  /** What the model thinks aloud before it answers, where its provider shows that (nothing). */
  reasoning: z.string().optional(),
  /** The exact tool calls. */
  toolCalls: z.array(z.strictObject({ name: z.string(), arguments: z.unknown() })).optional(),
  /** Call the first tool of the request, with arguments made from its schema (false). */
  callTools: z.boolean().optional(),
  finish: z.enum(['stop', 'length', 'tool_calls', 'content_filter']).optional(),
  /** The token counts reported (counted from characters). */
  usage: z
    .strictObject({
      inputTokens: count,
      outputTokens: count,
      cachedInputTokens: count.default(0),
      cacheWriteTokens: count.default(0),
      reasoningTokens: count.default(0),
    })
    .optional(),
  fault: z.enum(FAULTS).optional(),
  /** Contents sent before `truncated`, `truncated_mid_event`, `reset`, `error_after` and `silence_after` strike (1; `reset` 0: before the headers). */
  after: count.optional(),
  /** The fault strikes this many requests, then is gone (always). */
  times: count.optional(),
  /** What the rate limits ask to wait, in milliseconds (2000). */
  retryAfterMs: ms.optional(),
});
export type Script = z.infer<typeof Script>;

/** A script that is not one; `message` names each wrong field. */
export class ScriptError extends Error {}

/** @throws ScriptError naming every wrong field. */
export function readScript(value: unknown): Script {
  const parsed = Script.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ScriptError(
    parsed.error.issues.map((issue) => `${issue.path.join('.') || 'script'}: ${issue.message}`).join('; '),
  );
}

const SHORT: Record<string, keyof Script> = { delay: 'chunkMs', first: 'firstMs', headers: 'headersMs' };

/**
 * Reads a model name such as `sim:delay=5;chunks=40;fault=reset_after_5` (`,` may stand for `;`).
 * @returns undefined where the name is an ordinary one.
 * @throws ScriptError
 */
export function scriptOfModel(model: string): Script | undefined {
  if (!model.startsWith('sim:')) return undefined;
  const fields: Record<string, unknown> = {};
  for (const part of model.slice(4).split(/[,;]/).filter(Boolean)) {
    const [key = '', value = ''] = part.split('=', 2);
    const after = key === 'fault' ? /^(.*)_after_(\d+)$/.exec(value) : null;
    if (after) {
      const kind = after[1] ?? '';
      fields['fault'] = kind === 'error' || kind === 'silence' ? `${kind}_after` : kind;
      fields['after'] = Number(after[2]);
    } else {
      fields[SHORT[key] ?? key] = value === 'true' ? true : /^\d+(\.\d+)?$/.test(value) ? Number(value) : value;
    }
  }
  return readScript(fields);
}

/**
 * Reads the first line `#sim {...}` of a prompt.
 * @returns the script, and the prompt without the line, so that the answer is the same with and without it.
 * @throws ScriptError where such a line is there but is not a script.
 */
export function scriptOfPrompt(prompt: string): { script: Script; prompt: string } | undefined {
  const line = /^#sim (\{.*\})\s*$/m.exec(prompt);
  const found = line?.[1];
  if (!found) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(found);
  } catch {
    throw new ScriptError('the #sim line is not JSON');
  }
  return { script: readScript(value), prompt: prompt.replace(line[0], '').trim() };
}

/** Counts how often each limited fault has struck; forgets the oldest of more than a thousand. */
export class FaultCounter {
  readonly #struck = new Map<string, number>();

  /** The script for one more request under `key`: without its fault once that has struck `times` times. */
  next(key: string, script: Script): Script {
    if (!script.fault || script.times === undefined) return script;
    const struck = this.#struck.get(key) ?? 0;
    if (struck >= script.times) return { ...script, fault: undefined };
    this.#struck.set(key, struck + 1);
    const oldest = this.#struck.keys().next();
    if (this.#struck.size > 1000 && !oldest.done) this.#struck.delete(oldest.value);
    return script;
  }

  clear(): void {
    this.#struck.clear();
  }
}
