import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createSimulator, type Simulator } from '../../../simulator/server.ts';
import { ASK, answering, TURN } from '#src/ai/__fixtures__/answering.ts';
import { KEYS, SECRET } from '#src/ai/__fixtures__/simulated.ts';
import type { ChatRequest, Provider } from '#src/ai/model.ts';
import { CohereAnswer } from '#src/ai/providers/cohere-answer.ts';
import { cohereBody } from '#src/ai/providers/cohere-request.ts';
import { createCohere } from '#src/ai/providers/cohere.ts';
import { gather } from '#src/ai/providers/gather.ts';

const { signal } = new AbortController();
const MODEL = 'command-a-03-2025';
const turn = (more: Partial<ChatRequest> = {}) => cohereBody({ ...TURN, model: MODEL, ...more });
const of = (fetch: typeof globalThis.fetch): Provider =>
  createCohere({ keys: KEYS, baseUrl: 'https://cohere.example', models: [], fetch });

const format = (more: Partial<ChatRequest>) => turn({ tools: [], ...more });

describe('cohereBody', () => {
  test('says a whole turn in the words of version 2', () => {
    expect(turn()).toEqual({
      model: MODEL,
      maxTokens: 300,
      temperature: 0.2,
      messages: [
        { role: 'system', content: 'Be short.' },
        { role: 'user', content: 'Where is my order?' },
        {
          role: 'assistant',
          toolPlan: 'I will look.',
          toolCalls: [
            { id: 'call_1', type: 'function', function: { name: 'find_order', arguments: '{"id":7}' } },
            { id: 'call:2', type: 'function', function: { name: 'find_phone', arguments: '[1' } },
          ],
        },
        { role: 'tool', toolCallId: 'call_1', content: '{"status":"sent"}' },
        { role: 'tool', toolCallId: 'call:2', content: 'none' },
        { role: 'system', content: 'Answer in English.' },
        { role: 'user', content: 'And now?' },
      ],
      tools: [
        {
          type: 'function',
          function: {
            name: 'find_order',
            description: 'Finds one',
            parameters: { type: 'object', properties: { id: { type: 'integer' } } },
          },
        },
      ],
    });
  });

  const item = { type: 'object', properties: { n: { type: 'integer', minimum: 1 } }, required: ['n'] };
  const schema = {
    type: 'object',
    properties: { list: { type: 'array', items: item, maxItems: 3 } },
    required: ['list'],
  };

  test('a schema is sent without bounds, and JSON is asked for in words too', () => {
    const body = format({ responseSchema: { name: 'a', schema } });
    expect(body.responseFormat).toEqual({
      type: 'json_object',
      jsonSchema: {
        type: 'object',
        properties: {
          list: {
            type: 'array',
            items: { ...item, properties: { n: { type: 'integer', description: '(minimum: 1)' } } },
            description: '(maxItems: 3)',
          },
        },
        required: ['list'],
      },
    });
    expect(body.messages.at(-1)).toEqual({ role: 'system', content: 'Answer only with JSON.' });
  });

  test.each([
    ['requires nothing', { responseSchema: { name: 'a', schema: { type: 'object' } } }, { type: 'json_object' }],
    [
      'requires nothing inside',
      { responseSchema: { name: 'a', schema: { ...schema, $defs: { x: { type: 'object' } } } } },
      { type: 'json_object' },
    ],
    ['stands beside tools', { responseSchema: { name: 'a', schema }, tools: TURN.tools ?? [] }, undefined],
    ['is for a model without', { responseSchema: { name: 'a', schema }, model: 'command-r7b-12-2024' }, undefined],
  ])('a schema that %s is said in words', (_, more, expected) => {
    const body = format(more);
    expect(body.responseFormat).toEqual(expected);
    expect(body.messages.at(-1)?.content).toContain('Answer only with JSON that meets');
  });
});

const data = (value: object) => `event: x\ndata: ${JSON.stringify(value)}\n\n`;
const text = (piece: string) =>
  data({ type: 'content-delta', index: 0, delta: { message: { content: { text: piece } } } });
const ended = (delta: object) => `${data({ type: 'message-end', delta })}data: [DONE]\n\n`;
const streamed = (body: string) => {
  const { fetch } = answering(body, { headers: { 'content-type': 'text/event-stream' } });
  return gather('cohere', of(fetch).stream({ ...ASK, model: MODEL }, signal));
};

describe('a stream', () => {
  test('goes on after its end marker in what the model writes', async () => {
    const words = ['data: [DONE]', '\n[DONE]\n\n', '\\[DONE]', '"[DONE]"'];
    const answer = await streamed(words.map(text).join('') + ended({ finish_reason: 'COMPLETE' }));
    expect(answer.text).toBe(words.join(''));
  });

  test('is paid for by what is billed, not by what is counted', async () => {
    const usage = {
      billed_units: { input_tokens: 12, output_tokens: 7 },
      tokens: { input_tokens: 507, output_tokens: 10 },
      cached_tokens: 4,
    };
    expect((await streamed(text('Hi') + ended({ finish_reason: 'COMPLETE', usage }))).usage).toEqual({
      inputTokens: 12,
      cachedInputTokens: 4,
      cacheWriteTokens: 0,
      outputTokens: 7,
      reasoningTokens: 0,
      estimated: false,
    });
  });

  test.each([
    [{ finish_reason: 'ERROR', error: 'the model is overloaded' }, 'overloaded'],
    [{ finish_reason: 'ERROR', error: 'too many tokens' }, 'context_overflow'],
    [{ finish_reason: 'ERROR' }, 'transient'],
    [{ finish_reason: 'ERROR_LIMIT' }, 'context_overflow'],
    [{ finish_reason: 'ERROR_TOXIC' }, 'content_refused'],
    [{ finish_reason: 'TIMEOUT' }, 'timeout'],
    [{}, 'stream_truncated'],
  ])('whose end says %o is %s', async (delta, failure) => {
    await expect(streamed(text('Hi') + ended(delta))).rejects.toMatchObject({ failure });
  });

  test.each([
    ['COMPLETE', 'stop'],
    ['STOP_SEQUENCE', 'stop'],
    ['MAX_TOKENS', 'length'],
    ['TOOL_CALL', 'tool_calls'],
  ])('finish reason %s → %s', async (finish_reason, expected) => {
    expect((await streamed(text('Hi') + ended({ finish_reason }))).finishReason).toBe(expected);
  });

  test('that ends with the marker and no reason, or with an unknown event, is cut', async () => {
    await expect(streamed(`${text('Hi')}${data({ type: 'news' })}data: [DONE]\n\n`)).rejects.toMatchObject({
      failure: 'stream_truncated',
    });
  });
});

test('plans, thoughts and calls are progress', () => {
  const answer = new CohereAnswer({ ...ASK, model: MODEL });
  const call = { id: 'a', type: 'function' as const, function: { name: 'b', arguments: '' } };
  expect(answer.push({ type: 'message-start' })).toBeUndefined();
  expect(answer.push({ type: 'tool-plan-delta', delta: { message: { toolPlan: 'x' } } })).toEqual({ type: 'progress' });
  expect(answer.push({ type: 'tool-call-start', index: 0, delta: { message: { toolCalls: call } } })).toEqual({
    type: 'progress',
  });
  const thinking = { message: { content: { thinking: 'hm' } } };
  expect(answer.push({ type: 'content-delta', delta: thinking })).toEqual({ type: 'progress' });
  expect(
    answer.push({ type: 'content-start', delta: { message: { content: { type: 'text', text: '' } } } }),
  ).toBeUndefined();
});

const plain = (body: string, init: ResponseInit = {}) =>
  of(answering(body, init).fetch).complete({ ...ASK, model: MODEL }, signal);

describe('a plain answer', () => {
  test.each([
    ['half an answer', '{"id": "1", "finish_reason"', {}, 'stream_truncated'],
    ['an error in a 200', '{"message": "too many tokens"}', {}, 'context_overflow'],
    ['its own failure', '{"finish_reason": "ERROR", "message": {"role": "assistant"}}', {}, 'transient'],
    ['nothing', '{}', {}, 'bad_output'],
    ['an invalid token', '{"message": "invalid token"}', { status: 498 }, 'auth'],
    ['a closed request', '{"message": "client closed request"}', { status: 499 }, 'transient'],
    ['no credit', '{"message": "Please add or update your payment method."}', { status: 402 }, 'quota_exhausted'],
    ['the limit of a trial', '{"message": "limited to 1000 API calls / month"}', { status: 429 }, 'quota_exhausted'],
    ['the limit of a minute', '{"message": "limited to 20 API calls / minute"}', { status: 429 }, 'rate_limited'],
  ])('that is %s', async (_, body, init, failure) => {
    await expect(plain(body, init)).rejects.toMatchObject({ failure });
  });
});

const asked = (script: object): ChatRequest => ({
  ...ASK,
  model: MODEL,
  messages: [{ role: 'user', content: `#sim ${JSON.stringify(script)}` }],
});

const timers = () => process.getActiveResourcesInfo().filter((one) => one === 'Timeout').length;

describe('on the wire', () => {
  let simulator: Simulator;
  beforeAll(async () => void (simulator = await createSimulator()));
  afterAll(async () => {
    vi.unstubAllEnvs();
    await simulator.close();
  });
  const provider = () => createCohere({ keys: KEYS, baseUrl: `${simulator.url}/cohere`, models: [] });

  test('the SDK takes nothing from the environment', async () => {
    vi.stubEnv('CO_API_KEY', 'key-env');
    vi.stubEnv('CO_API_URL', 'http://127.0.0.1:9');
    await provider().complete(asked({}), signal);
    expect(simulator.seen().at(-1)?.headers.authorization).toBe(`Bearer ${SECRET}`);
  });

  test('the timer of the SDK neither ends a slow call nor outlives a failed one', async () => {
    expect((await provider().complete(asked({ headersMs: 60 }), signal)).text).not.toBe('');
    expect((await gather('cohere', provider().stream(asked({ headersMs: 60 }), signal))).text).not.toBe('');
    const before = timers();
    await expect(provider().complete(asked({ fault: 'server_error' }), signal)).rejects.toThrow('cohere');
    await vi.waitFor(() => expect(timers()).toBeLessThanOrEqual(before), 60_000);
  });

  test('thoughts are in no text', async () => {
    const usage = { inputTokens: 10, outputTokens: 30, reasoningTokens: 20 };
    const answer = await gather(
      'cohere',
      provider().stream(asked({ usage, text: 'Hi', reasoning: 'Let me see.' }), signal),
    );
    expect(answer).toMatchObject({ text: 'Hi', usage: { inputTokens: 10, outputTokens: 30 } });
  });

  test('texts are embedded in order, 96 at a time', async () => {
    const texts = Array.from({ length: 97 }, (_, at) => `text ${at}`);
    const before = simulator.counts().requests;
    const { vectors, usage } = await provider().embed!({ model: 'embed-v4.0', texts, dimensions: 8 }, signal);
    expect(simulator.counts().requests - before).toBe(2);
    const [one] = (await provider().embed!({ model: 'embed-v4.0', texts: ['text 96'], dimensions: 8 }, signal)).vectors;
    expect(vectors).toHaveLength(97);
    expect(vectors[96]).toEqual(one);
    expect(usage).toMatchObject({ inputTokens: 2 * 97, estimated: false });
  });
});
