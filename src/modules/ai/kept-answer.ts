import { z } from 'zod';
import type { Engine } from '#src/ai/engines/define.ts';
import type { ProviderName } from '#src/ai/model.ts';
import type { RunResult } from '#src/ai/router.ts';

const NOTHING_USED = {
  inputTokens: 0,
  cachedInputTokens: 0,
  cacheWriteTokens: 0,
  outputTokens: 0,
  reasoningTokens: 0,
  estimated: false,
};

const Kept = z.object({
  result: z.unknown(),
  text: z.string(),
  provider: z.custom<ProviderName>((name) => typeof name === 'string'),
  model: z.string(),
  degraded: z.boolean(),
});

/** What the cache keeps of an answer. */
export function toKept({ result, text, provider, model, degraded }: RunResult<unknown>) {
  return { value: { result, text, provider, model, degraded } satisfies z.infer<typeof Kept>, degraded };
}

/** A kept answer as a run that used nothing. @throws ZodError when it was kept by a version whose results had another shape */
export function fromKept<Result>(engine: Engine<unknown, Result>, value: unknown): RunResult<Result> {
  const { result, ...kept } = Kept.parse(value);
  return {
    ...kept,
    result: engine.result.parse(result),
    usage: NOTHING_USED,
    finishReason: 'stop',
    fallbacks: [],
    attempts: [],
    timeToFirstTokenMs: null,
  };
}
