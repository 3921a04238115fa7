import { describe, expect, it } from 'vitest';
import { engines } from '#src/ai/engines/index.ts';
import { createRouter } from '#src/ai/router.ts';
import { createLocal } from '#src/ai/providers/local.ts';

import {
  usage,
  text,
  scripted,
  failing,
  reply,
  input,
  run,
  failureOf,
  answering,
  timers,
} from '#src/ai/__fixtures__/scripted.ts';

describe('order', () => {
  it('asks the first provider’s first model and reports how it went', async () => {
    const first = scripted('openai', [reply]);
    const { events, done } = run([first.provider, createLocal()]);
    await expect(done).resolves.toMatchObject({
      result: { suggestion: { text: 'Olá, posso ajudar', confidence: 0.9, reasoning: 'ok' } },
      text: 'Olá, posso ajudar',
      provider: 'openai',
      model: 'openai-1',
      usage,
      finishReason: 'stop',
      fallbacks: [],
      attempts: [{ provider: 'openai', model: 'openai-1', usage }],
      degraded: false,
      timeToFirstTokenMs: expect.any(Number),
    });
    expect(events).toEqual(['started openai/openai-1', 'Olá,', ' posso ajudar', 'attempted openai ok']);
    expect(first.requests[0]).toMatchObject({
      model: 'openai-1',
      maxOutputTokens: 800,
      task: { engine: 'copilot', input },
    });
    expect(first.state.closed).toBe(1);
  });

  it('takes an explicit provider, an explicit model, or both', async () => {
    await expect(run(answering(), { provider: 'ollama' }).done).resolves.toMatchObject({
      provider: 'ollama',
      model: 'ollama-1',
    });
    await expect(run(answering(), { model: 'ollama-2' }).done).resolves.toMatchObject({
      provider: 'ollama',
      model: 'ollama-2',
    });
    await expect(run(answering(), { provider: 'openai', model: 'openai-2' }).done).resolves.toMatchObject({
      model: 'openai-2',
    });
    await expect(run([createLocal()], { provider: 'local' }).done).resolves.toMatchObject({
      provider: 'local',
      degraded: true,
    });
  });

  it('says so where what was chosen is known and only has no key', async () => {
    const keyless = { ...scripted('groq', []).provider, needsKey: true };
    const providers = [scripted('openai', [reply]).provider, keyless];
    for (const options of [{ provider: 'groq' }, { model: 'groq-1' }]) {
      expect((await failureOf(run(providers, options).done)).message).toContain('(groq has no key here, ');
    }
    expect((await failureOf(run([keyless]).done)).message).toMatch(
      /OPENAI_API_KEY, .*TOGETHER_API_KEY or OLLAMA_BASE_URL/,
    );
  });

  it.each([
    [{ provider: 'acme' }, 'unknown_provider', 'openai, local'],
    [{ model: 'gpt-99' }, 'unknown_model', 'openai-1, openai-2, local-v1'],
    [{ provider: 'local', model: 'openai-1' }, 'unknown_model', 'local-v1'],
  ])('refuses %j with 400, naming what there is', async (options, code, names) => {
    const error = await failureOf(run([scripted('openai', []).provider, createLocal()], options).done);
    const message = expect.stringContaining(names);
    const path = `options.${code.replace('unknown_', '')}`;
    expect(error).toMatchObject({ status: 400, code, retry: 'never', message, errors: [{ path, code, message }] });
  });

  it('lowers the token bound to what was asked, never raises it', async () => {
    const low = scripted('openai', [reply]);
    await run([low.provider], { maxOutputTokens: 50 }).done;
    const high = scripted('openai', [reply]);
    await run([high.provider], { maxOutputTokens: 9999 }).done;
    expect([low.requests[0]?.maxOutputTokens, high.requests[0]?.maxOutputTokens]).toEqual([50, 800]);
  });
});

const providers = () => [
  scripted('ollama', [reply], ['llama3.2']).provider,
  scripted('cohere', [reply], ['command-r-08-2024', 'command-a-03-2025']).provider,
  scripted('openai', [reply], ['gpt-5-mini', 'gpt-4o-mini']).provider,
  scripted('anthropic', [reply], ['claude-haiku-4-5']).provider,
];

const reasons = async (more: object) => {
  const ask = engines.chat.input.parse({ messages: [{ role: 'user', content: 'Oi' }], ...more });
  const { targets } = await createRouter({ providers: providers(), withTimers: timers }).explain(engines.chat, ask, {});
  return targets.filter(({ included }) => !included).map((one) => [one.model, one.reasons.map(({ code }) => code)]);
};

describe('what an API cannot be asked for', () => {
  const tools = [{ name: 'find_order', parameters: {} }];

  it('leaves its models out of the choice', async () => {
    expect(await reasons({ tools, toolChoice: 'required' })).toEqual([
      ['llama3.2', ['no_tool_choice']],
      ['command-r-08-2024', ['no_tool_choice']],
    ]);
    expect(await reasons({ tools, toolChoice: { name: 'find_order' } })).toEqual([
      ['llama3.2', ['no_tool_choice']],
      ['command-r-08-2024', ['no_tool_choice']],
      ['command-a-03-2025', ['no_tool_choice']],
    ]);
    expect(await reasons({ stop: ['FIM'] })).toEqual([['gpt-5-mini', ['no_stop']]]);
    expect(await reasons({ stop: ['\n'] })).toEqual([
      ['gpt-5-mini', ['no_stop']],
      ['claude-haiku-4-5', ['no_stop']],
    ]);
    expect(await reasons({ seed: 7 })).toEqual([]);
  });
});

describe('failover', () => {
  it('is silent before text was shown', async () => {
    const { events, done } = run([failing('openai', 'overloaded').provider, scripted('ollama', [reply]).provider]);
    await expect(done).resolves.toMatchObject({
      provider: 'ollama',
      fallbacks: [{ provider: 'openai', model: 'openai-1', reason: 'overloaded' }],
    });
    expect(events.filter((event) => event.startsWith('restarted'))).toEqual([]);
  });

  it('starts from nothing after text was shown, and books an estimate for the broken call', async () => {
    const { events, done } = run([
      failing('openai', 'transient', undefined, [text('Bom d')]).provider,
      scripted('ollama', [reply]).provider,
    ]);
    const { text: shown, attempts } = await done;
    expect(shown).toBe('Olá, posso ajudar');
    expect(events.slice(0, 5)).toEqual([
      'started openai/openai-1',
      'Bom d',
      'attempted openai transient',
      'restarted transient',
      'started ollama/ollama-1',
    ]);
    expect(attempts[0]).toMatchObject({ failure: 'transient', usage: { outputTokens: 2, estimated: true } });
    expect(attempts[0]?.usage?.inputTokens).toBeGreaterThan(100);
  });

  it('takes a stream without an end for a failure, and an unclassified error for a transient one', async () => {
    const cut = scripted('openai', [[text('Olá')]]);
    await expect(run([cut.provider, scripted('ollama', [reply]).provider]).done).resolves.toMatchObject({
      fallbacks: [{ reason: 'stream_truncated' }],
    });
    const odd = scripted('openai', [[new TypeError('terminated')]]);
    await expect(run([odd.provider, scripted('ollama', [reply]).provider]).done).resolves.toMatchObject({
      fallbacks: [{ reason: 'transient' }],
    });
  });

  it.each(['caller_fault', 'content_refused'] as const)('asks no other model after %s', async (failure) => {
    const second = scripted('ollama', [reply]);
    expect(await failureOf(run([failing('openai', failure).provider, second.provider]).done)).toMatchObject({
      code: `provider_${failure}`,
    });
    expect(second.requests).toEqual([]);
  });

  it('leaves shown text standing when nothing follows', async () => {
    const { events, done } = run([failing('openai', 'transient', undefined, [text('Bom d')]).provider]);
    await failureOf(done);
    expect(events.at(-1)).toBe('attempted openai transient');
  });
});
