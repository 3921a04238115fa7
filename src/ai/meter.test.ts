import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { AttemptRecord } from '#src/ai/attempt.ts';
import { factsOf } from '#src/ai/catalog.ts';
import { costNanoUsd } from '#src/ai/cost.ts';
import { controls, end, scripted, text, timers } from '#src/ai/__fixtures__/scripted.ts';
import { engines } from '#src/ai/engines/index.ts';
import { createMeter } from '#src/ai/meter.ts';
import type { ChatRequest } from '#src/ai/model.ts';
import { createRouter } from '#src/ai/router.ts';
import { arrivedUsage, likelyTokens } from '#src/ai/tokens.ts';
import { anyChar } from '#test/any-char.ts';
import { cpuMs } from '#test/cpu-ms.ts';

const request: ChatRequest = {
  model: 'gpt-4o',
  messages: [{ role: 'user', content: 'Conte uma história.' }],
  maxOutputTokens: 1000,
  task: { engine: 'chat', input: {} },
};
const call = { provider: 'openai', keyOwner: 'installation', request } as const;
const costOf = (answer: string) =>
  costNanoUsd(factsOf('openai', 'gpt-4o'), arrivedUsage(request, { answer, toolCalls: [] }));

test('ends an answer at most one piece after its limit, and never before it', () => {
  const pieces = fc.array(fc.string({ minLength: 1, maxLength: 30, unit: anyChar }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(pieces, fc.integer({ min: 0, max: 3_000_000 }), (answer, above) => {
      const limit = costOf('') + above;
      const isOver = createMeter(call, { maxCostNanoUsd: limit });
      const at = answer.findIndex((piece) => isOver?.({ type: 'text', text: piece }));
      const arrived = at === -1 ? answer : answer.slice(0, at + 1);
      // Whole tokens are paid for: the count is rounded up once.
      const token = 10_000;
      if (at === -1) expect(costOf(arrived.join(''))).toBeLessThanOrEqual(limit + token);
      else {
        expect(costOf(arrived.join(''))).toBeGreaterThanOrEqual(limit - 1);
        expect(costOf(arrived.slice(0, -1).join(''))).toBeLessThanOrEqual(limit + token);
      }
    }),
  );
});

test('has nothing to watch without a limit, for a free model, and for the hold on the workspace’s own key', () => {
  expect(createMeter(call, {})).toBeUndefined();
  expect(createMeter({ ...call, provider: 'ollama' }, { maxCostNanoUsd: 1 })).toBeUndefined();
  expect(createMeter({ ...call, keyOwner: 'workspace' }, { heldNanoUsd: 1 })).toBeUndefined();
  expect(createMeter({ ...call, keyOwner: 'workspace' }, { maxCostNanoUsd: 1 })).toBeDefined();
});

test('costs little per piece', () => {
  const isOver = createMeter(call, { maxCostNanoUsd: 1e15 });
  const spent = cpuMs(() => {
    for (let at = 0; at < 100_000; at++) isOver?.({ type: 'text', text: ' palavra' });
  });
  expect(spent / 100).toBeLessThan(20);
});

describe('a run', () => {
  const pieces = Array.from({ length: 2000 }, () => text('palavra '));
  const provider = () => scripted('openai', [[...pieces, end]], ['gpt-4o']);
  const limits = { maxCostNanoUsd: 500_000 };

  it('of chat is cut at its limit, delivered as far as it came, and the upstream closed', async () => {
    const { provider: openai, state } = provider();
    const router = createRouter({ providers: [openai], withTimers: timers });
    const input = { messages: [{ role: 'user' as const, content: 'Conte uma história.' }] };
    const answer = await router.run(engines.chat, input, {}, controls({ costLimits: limits }).controls);
    expect(answer).toMatchObject({
      finishReason: 'length',
      result: { finishReason: 'length' },
      usage: { estimated: true },
    });
    expect(answer.result.text).toBe(answer.text);
    expect(answer.text.length).toBeGreaterThan(100);
    const cost = costNanoUsd(factsOf('openai', 'gpt-4o'), answer.usage);
    expect(cost).toBeGreaterThanOrEqual(limits.maxCostNanoUsd - 20_000);
    expect(cost).toBeLessThanOrEqual(limits.maxCostNanoUsd + 10_000 * (likelyTokens('palavra ') + 1));
    expect(state.closed).toBe(1);
  });

  it('of an engine that cannot read half an answer fails, asks nobody else, and is booked', async () => {
    const { provider: openai } = provider();
    const other = scripted('ollama', [[text('{}'), end]]);
    const booked: unknown[] = [];
    const router = createRouter({ providers: [openai, other.provider], withTimers: timers });
    const on = { attempted: (record: AttemptRecord) => void booked.push(record) };
    const done = router.run(engines.sentiment, { text: 'Adorei!' }, {}, controls({ costLimits: limits, on }).controls);
    await expect(done).rejects.toMatchObject({ status: 422, code: 'max_cost_reached', retry: 'never' });
    expect(other.requests).toEqual([]);
    expect(booked).toMatchObject([{ failure: 'bad_output', usage: { estimated: true } }]);
  });
});
