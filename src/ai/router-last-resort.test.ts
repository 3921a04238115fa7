import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { WithTimers } from '#src/ai/attempt.ts';
import { engines } from '#src/ai/engines/index.ts';
import { MemoryHealth } from '#src/ai/health.ts';
import { type FailureClass, ProviderError, type ProviderName } from '#src/ai/model.ts';
import { createLocal } from '#src/ai/providers/local.ts';
import { SEPARATOR } from '#src/ai/prompts/copilot.ts';
import { estimateRequestTokens } from '#src/ai/tokens.ts';
import { createRouter } from '#src/ai/router.ts';

import {
  usage,
  end,
  text,
  timers,
  scripted,
  failing,
  atOnce,
  reply,
  input,
  controls,
  run,
  failureOf,
} from '#src/ai/__fixtures__/scripted.ts';

// Shown while it is made, and of no use in the end: whoever cancels in a wait for another must not have read it for nothing.
const shown = (name: ProviderName = 'openai') => failing(name, 'bad_output', undefined, [text('Tudo o que há.')]);

describe('an answer that does not fit', () => {
  it('is sent back once with the hint, then the next candidate is asked', async () => {
    const first = scripted('openai', [
      [text(' '), end],
      [text(SEPARATOR), end],
    ]);
    const { done } = run([first.provider, scripted('ollama', [reply]).provider]);
    const { attempts } = await done;
    expect(attempts.map(({ provider, failure }) => [provider, failure])).toEqual([
      ['openai', 'bad_output'],
      ['openai', 'bad_output'],
      ['ollama', undefined],
    ]);
    expect(attempts[0]?.usage).toEqual(usage);
    expect(first.requests[0]?.messages).toHaveLength(2);
    expect(first.requests[1]?.messages.slice(2)).toEqual([
      { role: 'user', content: expect.stringContaining('The reply was empty') },
    ]);
  });

  const misfit = [text(SEPARATOR), end];
  const misfits = (name: 'openai' | 'ollama', models = [`${name}-1`]) =>
    scripted(
      name,
      Array.from({ length: 9 }, () => misfit),
      models,
    );

  it('is sent back once in a job, and of a lone model asked for once in each later attempt', async () => {
    const only = misfits('openai');
    expect(await failureOf(run([only.provider]).done)).toMatchObject({
      code: 'provider_bad_output',
      retry: 'later',
      message: 'The answer of the model does not fit: The reply was empty.',
    });
    expect(only.requests).toHaveLength(2);
    expect(await failureOf(run([only.provider], {}, { isRetry: true }).done)).toMatchObject({ retry: 'later' });
    expect(only.requests).toHaveLength(3);
  });

  it('and was shown is asked for once more while the job runs, and then fails it for good', async () => {
    const only = shown();
    const { done, events } = run([only.provider]);
    expect(await failureOf(done)).toMatchObject({ code: 'provider_bad_output', retry: 'never' });
    expect(events).toEqual([
      'started openai/openai-1',
      'Tudo o que há.',
      'attempted openai bad_output',
      'restarted bad_output',
      'started openai/openai-1',
      'Tudo o que há.',
      'attempted openai bad_output',
    ]);
  });

  it('and was shown fails the job for good too where who is asked next cannot answer', async () => {
    const [first, next] = [shown('groq'), failing('openai', 'auth')];
    const { done, events } = run([first.provider, next.provider]);
    expect(await failureOf(done)).toMatchObject({ code: 'provider_bad_output', retry: 'never' });
    expect(events).toEqual([
      'started groq/groq-1',
      'Tudo o que há.',
      'attempted groq bad_output',
      'restarted bad_output',
      'started openai/openai-1',
      'attempted openai auth',
      'started groq/groq-1',
      'Tudo o que há.',
      'attempted groq bad_output',
    ]);
  });

  it('and was shown stays shown when the wait for another is cancelled', async () => {
    const [only, cancelling] = [shown(), new AbortController()];
    const { controls: full, events } = controls({ signal: cancelling.signal });
    const sleep = async () => {
      cancelling.abort(new Error('cancelled'));
      throw new Error('woken');
    };
    const router = createRouter({ providers: [only.provider], withTimers: timers, sleep });
    await expect(router.run(engines.copilot, input, {}, full)).rejects.toThrow('cancelled');
    expect(events).toEqual(['started openai/openai-1', 'Tudo o que há.', 'attempted openai bad_output']);
  });

  it('fails the job for good when those of two models do not fit', async () => {
    const pinned = misfits('openai', ['a', 'b']);
    expect(await failureOf(run([pinned.provider], { provider: 'openai' }).done)).toMatchObject({
      code: 'provider_bad_output',
      retry: 'never',
    });
    expect(pinned.requests.map(({ model }) => model)).toEqual(['a', 'a', 'b']);
    const paused = failing('groq', 'transient', 5000);
    const done = run([misfits('openai').provider, misfits('ollama').provider, paused.provider]).done;
    expect(await failureOf(done)).toMatchObject({ code: 'provider_transient', retry: 'later' });
  });

  it('is good when the repair is', async () => {
    const ask = engines.sentiment.input.parse({ text: 'adorei' });
    const good = '{"sentiment":"positive","score":0.9,"confidence":0.9,"emotions":[]}';
    const only = scripted('openai', [
      [text('positivo'), end],
      [text(good), end],
    ]);
    const { controls: full } = controls();
    const router = createRouter({ providers: [only.provider], withTimers: timers });
    await expect(router.run(engines.sentiment, ask, {}, full)).resolves.toMatchObject({
      result: { score: 0.9 },
      text: '',
      fallbacks: [],
    });
    expect(only.requests[1]?.messages.at(-2)).toEqual({ role: 'assistant', content: 'positivo' });
  });
});

const authThenTransient = () => [
  failing('openai', 'auth').provider,
  failing('ollama', 'transient').provider,
  createLocal(),
];

const overflowing = () => {
  const full = new ProviderError('openai', 'context_overflow', 'too long');
  return scripted('openai', [[full], [full]], ['gpt-4o-mini']);
};

describe('a request that is too long', () => {
  const health = new MemoryHealth(() => Date.now());
  const open = (name: ProviderName, model: string) => {
    const sample = { id: `${name}/${model}`, engine: 'copilot' as const, isStreamed: true, inputTokens: 1 };
    const rest = { outputTokens: 1, maxOutputTokens: 1, firstMs: 1, totalMs: 1, outcome: 'fault' as const };
    for (let at = 0; at < 10; at++) {
      const report = { provider: name, model, outcome: 'fault' as const, weight: 1, isSlow: false, jobId: `${at}` };
      health.report({ ...report, parks: [], sample: { ...sample, ...rest } });
    }
  };
  const ask = (other: ReturnType<typeof scripted>) =>
    createRouter({
      providers: [overflowing().provider, other.provider],
      withTimers: timers,
      health,
      sleep: atOnce,
    }).run(engines.copilot, input, { strategy: 'failover' }, controls().controls);

  it('waits for no paused model that has as little room', async () => {
    open('mistral', 'as-large');
    const small = scripted('mistral', [reply], ['as-large']);
    expect(await failureOf(ask(small))).toMatchObject({ code: 'provider_context_overflow', retry: 'never' });
    expect(small.requests).toEqual([]);
  });

  it('waits for a paused one that has more', async () => {
    open('google', 'gemini-2.5-flash');
    const large = scripted('google', [reply], ['gemini-2.5-flash']);
    expect(await failureOf(ask(large))).toMatchObject({ code: 'provider_overloaded', retry: 'delay' });
  });
});

describe('the built-in rules', () => {
  it('answer when no model is configured', async () => {
    await expect(run([createLocal()]).done).resolves.toMatchObject({
      provider: 'local',
      model: 'local-v1',
      degraded: true,
      fallbacks: [],
    });
  });

  it('answer at once when no later try can mend the failures', async () => {
    const { done } = run([failing('openai', 'auth').provider, failing('ollama', 'model_gone').provider, createLocal()]);
    await expect(done).resolves.toMatchObject({
      provider: 'local',
      fallbacks: [{ reason: 'auth' }, { reason: 'model_gone' }],
    });
  });

  it('wait for the last try where a later one may do better', async () => {
    expect(await failureOf(run(authThenTransient()).done)).toMatchObject({
      code: 'provider_transient',
      retry: 'later',
    });
    await expect(run(authThenTransient(), {}, { finalAttempt: true }).done).resolves.toMatchObject({
      provider: 'local',
      degraded: true,
    });
  });

  it('never answer for an explicit choice', async () => {
    const { done } = run(
      [failing('openai', 'auth').provider, createLocal()],
      { provider: 'openai' },
      { finalAttempt: true },
    );
    expect(await failureOf(done)).toMatchObject({ code: 'provider_auth' });
  });

  it('do not chat: then nothing is available, and no retry would help', async () => {
    const { controls: full } = controls({ finalAttempt: true });
    const router = createRouter({ providers: [createLocal()], withTimers: timers });
    const chat = engines.chat.input.parse({ messages: [{ role: 'user', content: 'Oi' }] });
    expect(await failureOf(router.run(engines.chat, chat, {}, full))).toMatchObject({
      status: 503,
      code: 'no_provider_available',
      retry: 'never',
    });
  });
});

it.each([
  [
    [
      ['rate_limited', 9000],
      ['rate_limited', 2000],
    ],
    { failure: 'rate_limited', retryAfterMs: 2000, retry: 'delay' },
  ],
  [[['rate_limited', 9000], ['transient']], { failure: 'transient' }],
  [[['transient'], ['rate_limited']], { failure: 'rate_limited', retry: 'delay' }],
  [[['auth'], ['overloaded', 5000]], { failure: 'overloaded', retryAfterMs: 5000 }],
  [[['auth'], ['quota_exhausted']], { failure: 'auth', retry: 'never' }],
] as [[FailureClass, number?][], object][])(
  'after %j throws what allows the soonest retry',
  async ([first, second], expected) => {
    const providers = [
      failing('openai', ...(first ?? ['auth'])).provider,
      failing('ollama', ...(second ?? ['auth'])).provider,
    ];
    expect(await failureOf(run(providers).done)).toMatchObject(expected);
  },
);

describe('cancelling', () => {
  it('throws the signal’s own reason and closes the upstream', async () => {
    const abort = new AbortController();
    const reason = { code: 'user' };
    const upstream = scripted('openai', [reply]);
    const second = scripted('ollama', [reply]);
    const records: unknown[] = [];
    const { done } = run(
      [upstream.provider, second.provider],
      {},
      {
        signal: abort.signal,
        on: { text: () => abort.abort(reason), attempted: (record) => records.push(record) },
      },
    );
    await expect(done).rejects.toBe(reason);
    expect(upstream.state.closed).toBe(1);
    expect(second.requests).toEqual([]);
    expect(records).toMatchObject([{ failure: 'cancelled', usage: { estimated: true } }]);
    await expect(run([second.provider], {}, { signal: AbortSignal.abort(reason) }).done).rejects.toBe(reason);
  });

  it('once a provider was asked books what was asked, also where nothing has come: the provider bills it', async () => {
    const abort = new AbortController();
    const upstream = scripted('openai', [reply]);
    const silent: typeof upstream.provider = {
      ...upstream.provider,
      async *stream(_request, signal) {
        setTimeout(() => abort.abort(new Error('enough')), 10);
        await once(signal, 'abort');
        yield* reply;
      },
    };
    const records: unknown[] = [];
    const on = { text: () => undefined, attempted: (record: unknown) => records.push(record) };
    await expect(run([silent], {}, { signal: abort.signal, on }).done).rejects.toThrow('enough');
    expect(records).toMatchObject([
      {
        failure: 'cancelled',
        timeToFirstTokenMs: null,
        usage: { inputTokens: expect.toSatisfy((count) => count > 10), outputTokens: 0, estimated: true },
      },
    ]);
  });

  it('throws what a callback threw, blaming no provider', async () => {
    const broken = new Error('the log is full');
    const second = scripted('ollama', [reply]);
    const on = {
      text: () => {
        throw broken;
      },
    };
    await expect(run([scripted('openai', [reply]).provider, second.provider], {}, { on }).done).rejects.toBe(broken);
    expect(second.requests).toEqual([]);
  });
});

// Again when the machine was busy: the time of a run goes on meanwhile.
it('gives each call what is left of the run’s time, and asks nobody after it', { retry: 3 }, async () => {
  const seen: number[] = [];
  const slow: WithTimers = (provider, open, limits, signal) => {
    seen.push(limits.totalMs);
    const until = performance.now() + 30;
    while (performance.now() < until);
    return timers(provider, open, limits, signal);
  };
  const router = createRouter({
    providers: [failing('openai', 'transient').provider, scripted('ollama', [reply]).provider],
    withTimers: slow,
  });
  const { controls: full } = controls({ timeouts: { firstContentMs: 9, idleMs: 9, totalMs: 2000 } });
  await router.run(engines.copilot, input, {}, full);
  expect(seen[0]).toBeGreaterThan(1900);
  expect(seen[0]).toBeLessThanOrEqual(2000);
  expect(seen[1]).toBeLessThanOrEqual(1970);
  const short = controls({ timeouts: { firstContentMs: 9, idleMs: 9, totalMs: 20 } });
  expect(await failureOf(router.run(engines.copilot, input, {}, short.controls))).toMatchObject({
    code: 'provider_transient',
  });
  expect(seen).toHaveLength(3);
});

it('tells the worst case: who might answer, and the bounds of input and output', () => {
  const router = createRouter({
    providers: [scripted('openai', []).provider, scripted('ollama', []).provider, createLocal()],
    withTimers: timers,
  });
  const ask = engines['smart-replies'].input.parse({ message: 'Quanto custa?' });
  const worst = router.worstCase(engines['smart-replies'], ask, {});
  expect(worst.candidates).toEqual([
    { provider: 'openai', model: 'openai-1' },
    { provider: 'openai', model: 'openai-2' },
    { provider: 'ollama', model: 'ollama-1' },
    { provider: 'ollama', model: 'ollama-2' },
  ]);
  expect(worst.maxOutputTokens).toBe(650);
  const asked = estimateRequestTokens(engines['smart-replies'].ask(ask));
  expect(worst.inputTokens).toBeGreaterThanOrEqual(asked + 650);
  expect(worst.inputTokens).toBeLessThan(asked + 650 + 500);
  expect(() => router.worstCase(engines['smart-replies'], ask, { model: 'x' })).toThrow(/There is no model "x"/);
});

const dead = () => (['openai', 'groq', 'mistral'] as const).map((name) => failing(name, 'auth').provider);

describe('targets that the bounds of a run kept from being asked', () => {
  it('are asked by the next attempt, though what failed will not mend', async () => {
    const well = scripted('cohere', [reply]);
    const providers = [...dead(), well.provider, createLocal()];
    const error = await failureOf(run(providers, { strategy: 'failover' }).done);
    expect(error).toMatchObject({ code: 'provider_auth', retry: 'later' });
    expect(well.requests).toHaveLength(0);
  });

  it('make a limit no reason to wait for', async () => {
    const limited = (['openai', 'groq', 'mistral'] as const).map(
      (name) => failing(name, 'rate_limited', 60_000).provider,
    );
    const error = await failureOf(
      run([...limited, scripted('cohere', [reply]).provider], { strategy: 'failover' }).done,
    );
    expect(error).toMatchObject({ failure: 'rate_limited', retry: 'delay', retryAfterMs: undefined });
  });

  it('are not asked what nobody shall be asked', async () => {
    const providers = [failing('openai', 'transient').provider, failing('groq', 'content_refused').provider];
    const error = await failureOf(
      run([...providers, scripted('cohere', [reply]).provider], { strategy: 'failover' }).done,
    );
    expect(error).toMatchObject({ failure: 'content_refused', retry: 'never' });
  });
});
