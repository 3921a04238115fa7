import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSimulator, type Simulator } from '../../../simulator/server.ts';
import { answerFor } from '../../../simulator/answer.ts';
import { instanceOf } from '../../../simulator/schema-instance.ts';
import { FAULTS, type Fault, type Script } from '../../../simulator/script.ts';
import { KEYS, MODES, outcomeOf, SECRET, SHAPES, SIMULATED } from '#src/ai/__fixtures__/simulated.ts';
import type { Mode, Shape, Simulated } from '#src/ai/__fixtures__/simulated.ts';
import { canBeMadeToCall } from '#src/ai/capabilities.ts';
import { factsOf } from '#src/ai/catalog.ts';
import { type ChatRequest, type Completion, type Provider, ProviderError } from '#src/ai/model.ts';
import { gather } from '#src/ai/providers/gather.ts';
import { withTimers } from '#src/ai/timers.ts';

const PROMPT = 'Olá, quero saber o preço do plano anual';
const SCHEMA = {
  type: 'object',
  properties: {
    sentiment: { enum: ['positive', 'neutral', 'negative'] },
    // Without bounds: not every vendor takes them.
    score: { type: 'number' },
  },
  required: ['sentiment', 'score'],
};
const TOOL = { name: 'find_order', parameters: { type: 'object', properties: { phone: { type: 'string' } } } };
// Far beyond what an answer needs, however busy the machine: only the SHORT ones are to run out.
const LIMITS = { firstContentMs: 5000, idleMs: 5000, totalMs: 10_000 };
const SHORT = { firstContentMs: 80, idleMs: 80, totalMs: 100 };

let simulator: Simulator;
const providers = new Map<string, Provider>();
const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown) => unhandled.push(reason);

beforeAll(async () => {
  process.on('unhandledRejection', onUnhandled);
  simulator = await createSimulator();
  for (const { name, make } of SIMULATED) {
    const provider = make(simulator.url, KEYS);
    await provider.warm?.();
    providers.set(name, provider);
  }
});
afterAll(async () => {
  await simulator.close();
  process.off('unhandledRejection', onUnhandled);
});

function providerOf({ name }: Simulated): Provider {
  const provider = providers.get(name);
  if (!provider) throw new Error(`${name} was not made.`);
  return provider;
}

function request(model: string, shape: Shape, script: Script): ChatRequest {
  const wanted = shape === 'tools' ? { ...script, callTools: true } : script;
  return {
    model,
    messages: [{ role: 'user', content: `${PROMPT}\n#sim ${JSON.stringify(wanted)}` }],
    maxOutputTokens: 500,
    task: { engine: 'chat', input: {} },
    ...(shape === 'tools' ? { tools: [TOOL] } : {}),
    ...(shape === 'schema' ? { responseSchema: { name: 'sentiment', schema: SCHEMA } } : {}),
  };
}

/** A plain call has one clock, for the whole of it. */
async function complete(provider: Provider, asked: ChatRequest, totalMs: number): Promise<Completion> {
  const clock = new AbortController();
  const timer = setTimeout(() => clock.abort(new ProviderError(provider.name, 'timeout', 'too long')), totalMs);
  try {
    return await provider.complete(asked, clock.signal);
  } finally {
    clearTimeout(timer);
  }
}

async function run(
  provider: Provider,
  asked: ChatRequest,
  mode: Mode,
  limits = LIMITS,
): Promise<Completion | ProviderError> {
  try {
    if (mode === 'plain') return await complete(provider, asked, limits.totalMs);
    const { signal } = new AbortController();
    const open = (inner: AbortSignal) => provider.stream(asked, inner);
    return await gather(provider.name, withTimers(provider.name, open, limits, signal));
  } catch (error) {
    if (error instanceof ProviderError) return error;
    throw error;
  }
}

function answerOf(result: Completion | ProviderError): Completion {
  if (result instanceof ProviderError) throw result;
  return result;
}

/** What must arrive: the class of the failure, or what there is to say of the answer. */
function expectedOf(provider: Simulated, fault: Fault, shape: Shape, mode: Mode) {
  const outcome = outcomeOf(provider, fault, shape, mode);
  if (outcome !== 'ok') return { provider: provider.name, failure: outcome, code: `provider_${outcome}`, leaks: false };
  const texts: Partial<Record<Fault, unknown>> = {
    done_in_text: expect.stringMatching(/\[DONE\] alone[^]*data: \[DONE\][^]*Still going\.$/),
    invalid_json: '{"broken": [1, 2',
  };
  const usual = shape === 'schema' ? JSON.stringify(instanceOf(SCHEMA, PROMPT)) : answerFor(PROMPT);
  return {
    text: shape === 'tools' ? '' : (texts[fault] ?? usual),
    tools: shape === 'tools' ? ['find_order'] : [],
    finishReason: shape === 'tools' ? 'tool_calls' : 'stop',
    counted: true,
    estimated: fault === 'usage_missing',
  };
}

function summaryOf(result: Completion | ProviderError) {
  if (result instanceof ProviderError) {
    const { provider, failure, code, message } = result;
    const leaks = message.length > 120 || /sk-|Olá|plano|Incorrect|html/.test(message);
    // Whoever logs the error with all its causes must not log the key.
    return { provider, failure, code, leaks: leaks || inspect(result, { depth: 8 }).includes(SECRET) };
  }
  const { text, toolCalls, finishReason, usage } = result;
  const counted = usage.inputTokens > 0 && usage.outputTokens > 0;
  return { text, tools: toolCalls.map((call) => call.name), finishReason, counted, estimated: usage.estimated };
}

const cases = SIMULATED.flatMap((provider) =>
  MODES.flatMap((mode) =>
    SHAPES.flatMap((shape) =>
      FAULTS.map((fault) => {
        const outcome = outcomeOf(provider, fault, shape, mode);
        return { provider, name: provider.name, mode, shape, fault, outcome };
      }),
    ),
  ),
);

type Case = (typeof cases)[number];

async function meets({ provider, mode, shape, fault, outcome }: Case): Promise<void> {
  const asked = request(provider.model, shape, { fault });
  const result = await run(providerOf(provider), asked, mode, outcome === 'timeout' ? SHORT : LIMITS);
  expect(summaryOf(result)).toEqual(expectedOf(provider, fault, shape, mode));
}

test.each(cases.filter(({ outcome }) => outcome !== 'timeout'))('$name, $mode, $shape: $fault → $outcome', meets);
// These only wait.
test.concurrent.each(cases.filter(({ outcome }) => outcome === 'timeout'))(
  '$name, $mode, $shape: $fault → $outcome',
  meets,
);

describe.each(SIMULATED)('$name', (simulated) => {
  const ask = (script: Script, mode: Mode, shape: Shape = 'text', limits = LIMITS) =>
    run(providerOf(simulated), request(simulated.model, shape, script), mode, limits);

  describe.each(MODES)('%s', (mode) => {
    test('waits are those the provider asks for', async () => {
      for (const fault of ['rate_limit', 'rate_limit_ms', 'rate_limit_date'] as const) {
        const result = await ask({ fault, retryAfterMs: 5000 }, mode);
        const waitMs = result instanceof ProviderError ? (result.retryAfterMs ?? NaN) : NaN;
        expect(waitMs).toBeGreaterThan(3000);
        expect(waitMs).toBeLessThanOrEqual(5000);
      }
    });

    test('length is reported as such', async () => {
      expect(answerOf(await ask({ finish: 'length' }, mode)).finishReason).toBe('length');
    });

    test('exact tool calls and multibyte text arrive as they were', async () => {
      const args = { phone: '+55 11 98765-4321', note: 'ação 🚚' };
      const toolCalls = [
        { name: 'a', arguments: args },
        { name: 'b', arguments: {} },
      ];
      const called = answerOf(await ask({ toolCalls }, mode, 'tools')).toolCalls;
      expect(called.map((call) => [call.name, JSON.parse(call.arguments)])).toEqual([
        ['a', args],
        ['b', {}],
      ]);
      expect(new Set(called.map((call) => call.id)).size).toBe(2);
      const text = 'Ação 🚚 — café, 東京, 👩‍👩‍👧';
      expect(answerOf(await ask({ text, fault: 'byte_chunks' }, mode)).text).toBe(text);
    });

    test('a server that is not there is transient', async () => {
      const gone = await createSimulator();
      const provider = simulated.make(gone.url, KEYS);
      await gone.close();
      expect(await run(provider, request(simulated.model, 'text', {}), mode)).toMatchObject({ failure: 'transient' });
    });

    test('the key goes where it should and nowhere else', async () => {
      await ask({ text: 'key check' }, mode);
      const seen = simulator.seen().findLast((one) => one.provider === simulated.name);
      expect(seen).toMatchObject({ auth: simulated.auth, path: expect.stringMatching(simulated.path) });
      expect(JSON.stringify([seen?.body, seen?.path])).not.toContain(SECRET);
      const carriers = Object.entries(seen?.headers ?? {}).filter(([, value]) => String(value).includes(SECRET));
      expect(carriers).toHaveLength(simulated.auth === 'none' ? 0 : 1);
    });
  });

  test('a slow first content is an answer while the timer allows it, and silence after it is not counted as first', async () => {
    expect(answerOf(await ask({ firstMs: 120 }, 'stream')).text).not.toBe('');
    expect(await ask({ firstMs: 150 }, 'stream', 'text', SHORT)).toMatchObject({ failure: 'timeout' });
    expect(await ask({ headersMs: 150 }, 'stream', 'text', SHORT)).toMatchObject({ failure: 'timeout' });
  });

  test('a stream that drips for ever ends at the total', async () => {
    const limits = { ...LIMITS, totalMs: 150 };
    const result = await ask({ chunks: 1000, chunkMs: 10 }, 'stream', 'text', limits);
    expect(result).toMatchObject({ failure: 'timeout', message: `${simulated.name} did not finish within 150 ms.` });
  });
});

/** How each API is told what to call, where to stop, and the seed; null: it has no such thing. */
const WIRES: Record<string, { required: object | null; named: object | null; stop: object; seed: object | null }> = {
  ...Object.fromEntries(
    ['openai', 'groq', 'together'].map((name) => [
      name,
      {
        required: { tool_choice: 'required' },
        named: { tool_choice: { type: 'function', function: { name: 'find_order' } } },
        stop: { stop: ['FIM', '\n\n'] },
        seed: { seed: 7 },
      },
    ]),
  ),
  mistral: {
    required: { tool_choice: 'required' },
    named: { tool_choice: { type: 'function', function: { name: 'find_order' } } },
    stop: { stop: ['FIM', '\n\n'] },
    seed: { random_seed: 7 },
  },
  anthropic: {
    required: { tool_choice: { type: 'any' } },
    named: { tool_choice: { type: 'tool', name: 'find_order' } },
    stop: { stop_sequences: ['FIM', '\n\n'] },
    seed: null,
  },
  google: {
    required: { toolConfig: { functionCallingConfig: { mode: 'ANY' } } },
    named: { toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['find_order'] } } },
    stop: { generationConfig: { stopSequences: ['FIM', '\n\n'] } },
    seed: { generationConfig: { seed: 7 } },
  },
  cohere: {
    required: { tool_choice: 'REQUIRED' },
    named: null,
    stop: { stop_sequences: ['FIM', '\n\n'] },
    seed: { seed: 7 },
  },
  ollama: {
    required: null,
    named: null,
    stop: { options: { stop: ['FIM', '\n\n'] } },
    seed: { options: { seed: 7 } },
  },
};

describe.each(SIMULATED)('$name is told in its own words', (simulated) => {
  const { name, model } = simulated;
  const wire = WIRES[name];
  const sent = async (mode: Mode, more: Partial<ChatRequest>, shape: Shape = 'tools') => {
    const result = await run(providerOf(simulated), { ...request(model, shape, {}), ...more }, mode);
    answerOf(result);
    return simulator.seen().findLast((one) => one.provider === name)?.body;
  };

  test.each(MODES)('what to call, where to stop, and the seed (%s)', async (mode) => {
    const bounds = await sent(mode, { stop: ['FIM', '\n\n'], seed: 7 }, 'text');
    expect(bounds).toMatchObject(wire?.stop ?? {});
    if (wire?.seed) expect(bounds).toMatchObject(wire.seed);
    else expect(JSON.stringify(bounds)).not.toMatch(/seed/i);
    for (const [wanted, toolChoice] of [
      [wire?.required, 'required'],
      [wire?.named, { name: 'find_order' }],
    ] as const) {
      if (wanted) expect(await sent(mode, { toolChoice })).toMatchObject(wanted);
      expect(canBeMadeToCall(factsOf(simulated.make('http://none', KEYS).name, model), toolChoice)).toBe(!!wanted);
    }
    expect(JSON.stringify(await sent(mode, {}))).not.toMatch(/tool_choice|toolConfig|stop|seed/i);
  });
});

test('nothing was rejected unhandled on the way', async () => {
  await new Promise((resolve) => setImmediate(resolve));
  expect(unhandled).toEqual([]);
});
