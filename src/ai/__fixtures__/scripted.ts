// A provider that follows a script, and the run of it: for the router's tests.
import { expect } from 'vitest';
import { AppError } from '#src/errors.ts';
import type { WithTimers } from '#src/ai/attempt.ts';
import type { RouterOptions } from '#src/ai/candidates.ts';
import { engines } from '#src/ai/engines/index.ts';
import {
  type ChatRequest,
  type Chunk,
  type FailureClass,
  type Provider,
  ProviderError,
  type ProviderName,
} from '#src/ai/model.ts';
import { gather } from '#src/ai/providers/gather.ts';
import { SEPARATOR } from '#src/ai/prompts/copilot.ts';
import { createRouter, type RunControls } from '#src/ai/router.ts';

export const usage = {
  inputTokens: 10,
  cachedInputTokens: 0,
  cacheWriteTokens: 0,
  outputTokens: 5,
  reasoningTokens: 0,
  estimated: false,
};
export const end: Chunk = { type: 'end', finishReason: 'stop', usage };
export const text = (piece: string): Chunk => ({ type: 'text', text: piece });
/** No clocks: passes on what a reader may see. */
export const timers: WithTimers = async function* passThrough(_, open, __, signal) {
  for await (const chunk of open(signal)) {
    if (chunk.type === 'text' || chunk.type === 'tool' || chunk.type === 'end') yield chunk;
  }
};

/** One call of a scripted provider: what it sends, then maybe how it fails. */
export type Script = (Chunk | Error)[];

export function scripted(name: ProviderName, scripts: Script[], models = [`${name}-1`, `${name}-2`]) {
  const requests: ChatRequest[] = [];
  const state = { closed: 0 };
  const provider: Provider = {
    name,
    models,
    needsKey: false,
    keys: [],
    supports: () => true,
    complete: (request, signal) => gather(name, provider.stream(request, signal)),
    async *stream(request) {
      requests.push(request);
      try {
        for (const step of scripts[requests.length - 1] ?? []) {
          if (step instanceof Error) throw step;
          yield step;
        }
      } finally {
        state.closed += 1;
      }
    },
  };
  return { provider, requests, state };
}

/** Fails at every call. It has one model. */
export const failing = (name: ProviderName, failure: FailureClass, retryAfterMs?: number, before: Chunk[] = []) => {
  const error = new ProviderError(name, failure, failure, retryAfterMs === undefined ? {} : { retryAfterMs });
  return scripted(
    name,
    Array.from({ length: 9 }, () => [...before, error]),
    [`${name}-1`],
  );
};

export const reply = [
  text('Olá,'),
  text(' posso ajudar'),
  text(`\n${SEPARATOR}\n{"confidence":0.9,"reasoning":"ok"}`),
  end,
];
export const input = engines.copilot.input.parse({ context: 'Oi' });

export function controls(extra: Partial<RunControls> = {}) {
  const events: string[] = [];
  const full: RunControls = {
    signal: new AbortController().signal,
    timeouts: { firstContentMs: 1000, idleMs: 1000, totalMs: 5000 },
    finalAttempt: false,
    on: {
      started: ({ provider, model }) => events.push(`started ${provider}/${model}`),
      text: (delta) => events.push(delta),
      restarted: ({ reason }) => events.push(`restarted ${reason}`),
      attempted: ({ provider, failure }) => events.push(`attempted ${provider} ${failure ?? 'ok'}`),
    },
    ...extra,
  };
  return { events, controls: full };
}

/** Waits for nothing. */
export const atOnce = async (): Promise<void> => {};

export function run(providers: Provider[], options: RouterOptions = {}, extra: Partial<RunControls> = {}) {
  const { events, controls: full } = controls(extra);
  return {
    events,
    done: createRouter({ providers, withTimers: timers, sleep: atOnce }).run(engines.copilot, input, options, full),
  };
}

export const failureOf = (done: Promise<unknown>) =>
  done.then(
    () => expect.unreachable('the run must fail'),
    (error: unknown) => (error instanceof AppError ? error : expect.unreachable(String(error))),
  );

export const answering = () => [scripted('openai', [reply]).provider, scripted('ollama', [reply]).provider];
