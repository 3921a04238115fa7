import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSimulator, type Simulator } from '../../../simulator/server.ts';
import { answerFor } from '../../../simulator/answer.ts';
import { instanceOf } from '../../../simulator/schema-instance.ts';
import { FAULTS, type Fault, type Script } from '../../../simulator/script.ts';
import { ProviderError, type ChatRequest, type Chunk, type FailureClass, type Provider } from '#src/ai/model.ts';
import { readApiKeys } from '#src/ai/api-keys.ts';
import { createOllama } from '#src/ai/providers/ollama.ts';
import { createOpenai } from '#src/ai/providers/openai.ts';
import { withTimers } from '#src/ai/timers.ts';

const SECRET = 'sk-test-0123456789';
const PROMPT = 'Olá, quero saber o preço do plano anual';
const SCHEMA = {
  type: 'object',
  properties: {
    sentiment: { enum: ['positive', 'neutral', 'negative'] },
    score: { type: 'number', minimum: -1, maximum: 1 },
  },
  required: ['sentiment', 'score'],
};
const TOOL = { name: 'find_order', parameters: { type: 'object', properties: { phone: { type: 'string' } } } };
// Far beyond what an answer needs, however busy the machine: only the SHORT ones are to run out.
const LIMITS = { firstContentMs: 5000, idleMs: 5000, totalMs: 10_000 };
const SHORT = { firstContentMs: 80, idleMs: 80, totalMs: 1000 };

let simulator: Simulator;
let providers: Record<'openai' | 'ollama', Provider>;
const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown) => unhandled.push(reason);

beforeAll(async () => {
  process.on('unhandledRejection', onUnhandled);
  simulator = await createSimulator();
  providers = {
    openai: createOpenai({
      keys: readApiKeys([SECRET], 'installation'),
      baseUrl: `${simulator.url}/v1`,
      models: ['gpt-5.6-luna'],
    }),
    ollama: createOllama({ baseUrl: simulator.url, models: ['llama3.2'] }),
  };
  for (const provider of Object.values(providers)) await provider.warm?.();
});
afterAll(async () => {
  await simulator.close();
  process.off('unhandledRejection', onUnhandled);
});

const SHAPES = ['text', 'tools', 'schema'] as const;
type Shape = (typeof SHAPES)[number];

function request(shape: Shape, script: Script): ChatRequest {
  const wanted = shape === 'tools' ? { ...script, callTools: true } : script;
  return {
    model: 'gpt-5.6-luna',
    messages: [{ role: 'user', content: `${PROMPT}\n#sim ${JSON.stringify(wanted)}` }],
    maxOutputTokens: 500,
    task: { engine: 'chat', input: {} },
    ...(shape === 'tools' ? { tools: [TOOL] } : {}),
    ...(shape === 'schema' ? { responseSchema: { name: 'sentiment', schema: SCHEMA } } : {}),
  };
}

async function run(provider: Provider, asked: ChatRequest, limits = LIMITS): Promise<Chunk[] | ProviderError> {
  const chunks: Chunk[] = [];
  try {
    const stream = withTimers(
      provider.name,
      (signal) => provider.stream(asked, signal),
      limits,
      new AbortController().signal,
    );
    for await (const chunk of stream) chunks.push(chunk);
    return chunks;
  } catch (error) {
    if (error instanceof ProviderError) return error;
    throw error;
  }
}

function answerOf(result: Chunk[] | ProviderError) {
  if (result instanceof ProviderError) throw result;
  const end = result.at(-1);
  if (end?.type !== 'end') throw new Error('The stream has no end.');
  return {
    text: result.map((chunk) => (chunk.type === 'text' ? chunk.text : '')).join(''),
    calls: result.flatMap((chunk) => (chunk.type === 'tool' ? [chunk.call] : [])),
    finishReason: end.finishReason,
    usage: end.usage,
  };
}

/** What each fault must come to; `ok`: the answer arrives whole. */
const OUTCOMES: Record<Fault, 'ok' | FailureClass> = {
  hang: 'timeout',
  role_then_silence: 'timeout',
  keep_alive: 'timeout',
  silence_after: 'timeout',
  byte_chunks: 'ok',
  merged_events: 'ok',
  crlf: 'ok',
  split_multibyte: 'ok',
  truncated: 'stream_truncated',
  truncated_mid_event: 'stream_truncated',
  reset: 'transient',
  error_first: 'overloaded',
  error_after: 'overloaded',
  rate_limit: 'rate_limited',
  rate_limit_date: 'rate_limited',
  rate_limit_ms: 'rate_limited',
  quota: 'quota_exhausted',
  unauthorized: 'auth',
  payment_required: 'quota_exhausted',
  forbidden: 'auth',
  model_not_found: 'model_gone',
  bad_request: 'caller_fault',
  context_overflow: 'context_overflow',
  content_refused: 'content_refused',
  server_error: 'transient',
  unavailable: 'transient',
  overloaded: 'overloaded',
  html_502: 'transient',
  html_200: 'transient',
  usage_missing: 'ok',
  done_in_text: 'ok',
  invalid_json: 'ok',
  invalid_tool_json: 'ok',
  empty: 'bad_output',
};

function outcomeOf(provider: 'openai' | 'ollama', shape: Shape, fault: Fault): 'ok' | FailureClass {
  if (fault === 'empty' && shape === 'tools') return 'ok';
  // Ollama parses tool arguments itself, so they are always JSON.
  if (fault === 'invalid_tool_json' && shape === 'tools' && provider === 'openai') return 'bad_output';
  return OUTCOMES[fault];
}

/** What must arrive: the class of the failure, or what there is to say of the answer. */
function expectedOf(provider: 'openai' | 'ollama', shape: Shape, fault: Fault) {
  const outcome = outcomeOf(provider, shape, fault);
  if (outcome !== 'ok') return { provider, failure: outcome, code: `provider_${outcome}`, leaks: false };
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

function summaryOf(result: Chunk[] | ProviderError) {
  if (result instanceof ProviderError) {
    const { provider, failure, code, message } = result;
    return { provider, failure, code, leaks: message.length > 120 || /sk-|Olá|plano|Incorrect|html/.test(message) };
  }
  const { text, calls, finishReason, usage } = answerOf(result);
  const counted = usage.inputTokens > 0 && usage.outputTokens > 0;
  return { text, tools: calls.map((call) => call.name), finishReason, counted, estimated: usage.estimated };
}

const cases = (['openai', 'ollama'] as const).flatMap((name) =>
  SHAPES.flatMap((shape) => FAULTS.map((fault) => ({ name, shape, fault, outcome: outcomeOf(name, shape, fault) }))),
);

test.each(cases)('$name, $shape: $fault → $outcome', async ({ name, shape, fault, outcome }) => {
  const result = await run(providers[name], request(shape, { fault }), outcome === 'timeout' ? SHORT : LIMITS);
  expect(summaryOf(result)).toEqual(expectedOf(name, shape, fault));
});

async function waitOf(provider: Provider, fault: Fault): Promise<number | undefined> {
  const result = await run(provider, request('text', { fault, retryAfterMs: 5000 }));
  return result instanceof ProviderError ? result.retryAfterMs : undefined;
}

describe.each(['openai', 'ollama'] as const)('%s', (name) => {
  test('waits are taken from the headers', async () => {
    expect(await waitOf(providers[name], 'rate_limit')).toBe(5000);
    expect(await waitOf(providers[name], 'rate_limit_ms')).toBe(5000);
    const until = await waitOf(providers[name], 'rate_limit_date');
    expect(until).toBeGreaterThan(3000);
    expect(until).toBeLessThanOrEqual(5000);
  });

  test('a slow first content is an answer while the timer allows it, and silence after it is not counted as first', async () => {
    expect(answerOf(await run(providers[name], request('text', { firstMs: 120 }))).text).not.toBe('');
    expect(await run(providers[name], request('text', { firstMs: 150 }), SHORT)).toMatchObject({ failure: 'timeout' });
    expect(await run(providers[name], request('text', { headersMs: 150 }), SHORT)).toMatchObject({
      failure: 'timeout',
    });
  });

  test('a stream that drips for ever ends at the total', async () => {
    const limits = { firstContentMs: 100, idleMs: 100, totalMs: 150 };
    const result = await run(providers[name], request('text', { chunks: 1000, chunkMs: 10 }), limits);
    expect(result).toMatchObject({ failure: 'timeout', message: `${name} did not finish within 150 ms.` });
  });

  test('length is reported as such', async () => {
    expect(answerOf(await run(providers[name], request('text', { finish: 'length' }))).finishReason).toBe('length');
  });

  test('exact tool calls and multibyte text arrive as they were', async () => {
    const args = { phone: '+55 11 98765-4321', note: 'ação 🚚' };
    const calls = answerOf(
      await run(
        providers[name],
        request('tools', {
          toolCalls: [
            { name: 'a', arguments: args },
            { name: 'b', arguments: {} },
          ],
        }),
      ),
    ).calls;
    expect(calls.map((call) => [call.name, JSON.parse(call.arguments)])).toEqual([
      ['a', args],
      ['b', {}],
    ]);
    expect(new Set(calls.map((call) => call.id)).size).toBe(2);
    const text = 'Ação 🚚 — café, 東京, 👩‍👩‍👧';
    expect(answerOf(await run(providers[name], request('text', { text, fault: 'byte_chunks' }))).text).toBe(text);
  });

  test('a server that is not there is transient', async () => {
    const gone = await createSimulator();
    const options = {
      baseUrl: name === 'openai' ? `${gone.url}/v1` : gone.url,
      models: [],
      keys: readApiKeys([SECRET], 'installation'),
    };
    await gone.close();
    const provider = name === 'openai' ? createOpenai(options) : createOllama(options);
    expect(await run(provider, request('text', {}))).toMatchObject({ failure: 'transient' });
  });
});

test('openai: cached and reasoning tokens are read', async () => {
  const usage = { inputTokens: 1000, cachedInputTokens: 800, outputTokens: 300, reasoningTokens: 250 };
  expect(answerOf(await run(providers.openai, request('text', { usage }))).usage).toEqual({
    ...usage,
    cacheWriteTokens: 0,
    estimated: false,
  });
});

test('openai: the key goes as a bearer and nowhere else', async () => {
  await run(providers.openai, request('text', { text: 'key check' }));
  const seen = simulator.seen().findLast((one) => one.provider === 'openai');
  expect(seen).toMatchObject({ auth: 'bearer', path: '/v1/chat/completions' });
  expect(seen?.headers.authorization).toBe(`Bearer ${SECRET}`);
  expect(JSON.stringify(seen?.body)).not.toContain(SECRET);
});

test('nothing was rejected unhandled on the way', async () => {
  await new Promise((resolve) => setImmediate(resolve));
  expect(unhandled).toEqual([]);
});
