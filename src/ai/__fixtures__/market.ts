// Providers whose speed and health are written down by the virtual second, and a router over them: for simulations.
import { z } from 'zod';
import type { WithTimers } from '#src/ai/attempt.ts';
import type { RouterOptions } from '#src/ai/candidates.ts';
import { type AnswerReader, defineEngine } from '#src/ai/engines/define.ts';
import { type Chunk, type FailureClass, type Provider, ProviderError, type ProviderName } from '#src/ai/model.ts';
import { createRouter, type RunResult } from '#src/ai/router.ts';
import { seeded } from '#src/ai/__fixtures__/seeded.ts';

/** How a provider is at one moment. `hang`: it says nothing. */
export interface Mood {
  firstMs: number;
  failure?: FailureClass | 'hang';
  retryAfterMs?: number;
}

const NAMES = ['openai', 'anthropic', 'google', 'groq', 'mistral'] as const;
const WORDS = 40;
const OUTPUT_TOKENS = 100;
const TOTAL_MS = 60_000;

/** Answers with the text as it came. */
export const echo = defineEngine<object, string>({
  name: 'chat',
  queue: 'ai-inference',
  band: 'interactive',
  input: z.object({}),
  result: z.string(),
  streams: true,
  deterministic: false,
  promptTokens: 10,
  maxOutputTokens: () => 250,
  ask: () => ({ messages: [{ role: 'user', content: 'palavra '.repeat(WORDS) }] }),
  read(): AnswerReader<string> {
    let text = '';
    return {
      push: (piece) => {
        text += piece;
        return piece;
      },
      end: () => ({ rest: '', result: text }),
    };
  },
});

/** A market with a virtual clock: a call takes its time at once. */
export function openMarket(
  seed: number,
  models: Partial<Record<ProviderName, string[]>>,
  mood: (provider: ProviderName, model: string, now: number) => Mood,
) {
  const random = seeded(seed);
  const world = { now: 1_790_000_000_000 + seed * 1000 };
  const usage = { inputTokens: 100, cachedInputTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0, estimated: false };
  const open = (name: ProviderName, its: string[]): Provider => ({
    name,
    models: its,
    needsKey: false,
    keys: [],
    supports: () => true,
    complete: () => Promise.reject(new Error('nobody asks for whole answers here')),
    async *stream({ model }): AsyncGenerator<Chunk> {
      const { firstMs, failure, retryAfterMs } = mood(name, model, world.now);
      if (failure === 'hang') {
        world.now += TOTAL_MS;
        throw new ProviderError(name, 'timeout', 'silent');
      }
      world.now += failure ? Math.min(firstMs, 50) : firstMs;
      if (failure) throw new ProviderError(name, failure, failure, retryAfterMs === undefined ? {} : { retryAfterMs });
      yield { type: 'text', text: name };
      world.now += firstMs;
      yield { type: 'end', finishReason: 'stop', usage: { ...usage, outputTokens: OUTPUT_TOKENS } };
    },
  });
  const providers = NAMES.flatMap((name) => (models[name] ? [open(name, models[name])] : []));
  /** A silent call ends when its first-content timer would. */
  const withTimers: WithTimers = async function* inVirtualTime(provider, start, limits, signal) {
    const startedAt = world.now;
    try {
      for await (const chunk of start(signal)) {
        if (world.now - startedAt > limits.firstContentMs && chunk.type === 'text') throw new Error('late');
        if (chunk.type !== 'progress') yield chunk;
      }
    } catch (error) {
      if (world.now - startedAt <= limits.firstContentMs) throw error;
      world.now = startedAt + limits.firstContentMs;
      throw new ProviderError(provider, 'timeout', `${provider} sent no content`);
    }
  };
  const router = createRouter({
    providers,
    withTimers,
    random,
    clock: () => world.now,
    sleep: async (ms) => void (world.now += ms),
  });
  const signal = new AbortController().signal;
  const ask = (options: RouterOptions): Promise<RunResult<string>> =>
    router.run(echo, {}, options, {
      signal,
      timeouts: { firstContentMs: 15_000, idleMs: 15_000, totalMs: TOTAL_MS },
      finalAttempt: false,
    });
  return { world, random, router, ask };
}
