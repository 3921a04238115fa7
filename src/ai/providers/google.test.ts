import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSimulator, type Simulator } from '../../../simulator/server.ts';
import { ASK, answering, TURN } from '#src/ai/__fixtures__/answering.ts';
import { KEYS, SECRET } from '#src/ai/__fixtures__/simulated.ts';
import { type ChatRequest, type Provider, ProviderError } from '#src/ai/model.ts';
import { GoogleAnswer, googleFinish } from '#src/ai/providers/google-answer.ts';
import { googleBody } from '#src/ai/providers/google-request.ts';
import { createGoogle } from '#src/ai/providers/google.ts';
import { gather } from '#src/ai/providers/gather.ts';

const { signal } = new AbortController();
const MODEL = 'gemini-2.5-flash';
const turn = (more: Partial<ChatRequest> = {}) => googleBody({ ...TURN, model: MODEL, ...more });
const of = (fetch: typeof globalThis.fetch): Provider =>
  createGoogle({ keys: KEYS, baseUrl: 'https://google.example', models: [], fetch });

describe('googleBody', () => {
  test('says a whole turn in the words of Gemini', () => {
    const skip = 'skip_thought_signature_validator';
    expect(turn()).toEqual({
      systemInstruction: { role: 'system', parts: [{ text: 'Be short.\n\nAnswer in English.' }] },
      contents: [
        { role: 'user', parts: [{ text: 'Where is my order?' }] },
        {
          role: 'model',
          parts: [
            { text: 'I will look.' },
            { functionCall: { name: 'find_order', args: { id: 7 } }, thoughtSignature: skip },
            { functionCall: { name: 'find_phone', args: {} } },
          ],
        },
        {
          role: 'user',
          parts: [
            { functionResponse: { name: 'find_order', response: { status: 'sent' } } },
            { functionResponse: { name: 'find_phone', response: { result: 'none' } } },
            { text: 'And now?' },
          ],
        },
      ],
      tools: [
        {
          functionDeclarations: [
            {
              name: 'find_order',
              description: 'Finds one',
              parametersJsonSchema: { type: 'object', properties: { id: { type: 'integer' } } },
            },
          ],
        },
      ],
      generationConfig: { maxOutputTokens: 300, temperature: 0.2, thinkingConfig: { thinkingBudget: 0 } },
    });
  });

  test('the user speaks first', () => {
    const { contents } = turn({ messages: [{ role: 'assistant', content: 'Welcome!' }] });
    expect(contents.map(({ role }) => role)).toEqual(['user', 'model']);
  });

  test.each([
    ['gemini-2.5-flash-lite', { thinkingBudget: 0 }],
    ['gemini-2.5-pro', { thinkingBudget: 128 }],
    ['gemini-3.6-flash', { thinkingLevel: 'low' }],
    ['gemini-1.5-flash', undefined],
  ])('%s thinks as little as it can', (model, thinkingConfig) => {
    expect(turn({ model }).generationConfig).toEqual(
      expect.objectContaining(thinkingConfig ? { thinkingConfig } : { maxOutputTokens: 300 }),
    );
    expect(Object.hasOwn(turn({ model }).generationConfig ?? {}, 'thinkingConfig')).toBe(thinkingConfig !== undefined);
  });

  test('a schema is sent in the keywords the API lists, an empty one as a type only, one beside tools in words', () => {
    const schema = {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      properties: {
        kind: { const: 'a' },
        on: { enum: [true] },
        text: { type: 'string', maxLength: 9 },
        n: { minimum: 1 },
      },
    };
    const responseSchema = { name: 'a', schema };
    expect(turn({ responseSchema, tools: [] }).generationConfig).toMatchObject({
      responseMimeType: 'application/json',
      responseJsonSchema: {
        type: 'object',
        properties: {
          kind: { enum: ['a'] },
          on: { description: '(enum: [true])' },
          text: { type: 'string', description: '(maxLength: 9)' },
          n: { minimum: 1 },
        },
      },
    });
    const empty = turn({ responseSchema: { name: 'a', schema: { type: 'object' } }, tools: [] }).generationConfig;
    expect(empty).toHaveProperty('responseMimeType');
    expect(empty).not.toHaveProperty('responseJsonSchema');
    const beside = turn({ responseSchema });
    expect(beside.generationConfig).not.toHaveProperty('responseMimeType');
    expect(JSON.stringify(beside.systemInstruction)).toContain('Answer only with JSON');
    expect(turn({ responseSchema, model: 'gemini-3.6-flash' }).generationConfig).toHaveProperty('responseJsonSchema');
  });
});

const data = (value: unknown) => `data: ${JSON.stringify(value)}\r\n\r\n`;
const said = (text: string, more: object = {}) => ({
  candidates: [{ content: { role: 'model', parts: [{ text }] }, ...more }],
});
const streamed = (body: string) => {
  const { fetch } = answering(body, { headers: { 'content-type': 'text/event-stream' } });
  return gather('google', of(fetch).stream({ ...ASK, model: MODEL }, signal));
};

describe('a stream', () => {
  test('is read through comments, names, line separators and an end without a blank line', async () => {
    const body = `: hello\n\nevent: x\nid: 1\n${data(said('a\u2028b'))}data:${JSON.stringify(said('!', { finishReason: 'STOP' }))}\n`;
    expect(await streamed(body)).toMatchObject({ text: 'a\u2028b!', finishReason: 'stop' });
  });

  const error = { code: 503, message: 'The model is overloaded.', status: 'UNAVAILABLE' };
  test.each([
    ['bare, over several lines', JSON.stringify({ error }, undefined, 2)],
    ['bare, as a list', `${JSON.stringify([{ error }])}\n`],
    ['as an event', data({ error })],
  ])('an error in it (%s) is not taken for its end', async (_, body) => {
    await expect(streamed(data(said('a')) + body)).rejects.toMatchObject({ failure: 'overloaded' });
  });

  test('a wait is read from an error in it too', async () => {
    const limited = { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'x', details: [{ retryDelay: '34.4s' }] };
    await expect(streamed(data({ error: limited }))).rejects.toMatchObject({
      failure: 'rate_limited',
      retryAfterMs: 34_400,
    });
  });

  test('an event that is no JSON is a cut, and what it says is in no text, nor in the log', async () => {
    const thrown: unknown = await streamed('data: {"secret words\n\n').catch((caught: unknown) => caught);
    expect(thrown).toMatchObject({ failure: 'stream_truncated', cause: undefined });
    expect(String(thrown)).not.toContain('secret');
  });

  test('a blocked prompt, and a block before the first word, are refusals; after it the answer ends there', async () => {
    const blocked = data({ promptFeedback: { blockReason: 'PROHIBITED_CONTENT' } });
    await expect(streamed(blocked)).rejects.toMatchObject({ failure: 'content_refused' });
    await expect(streamed(data(said('', { finishReason: 'SAFETY' })))).rejects.toMatchObject({
      failure: 'content_refused',
    });
    const late = data(said('Some')) + data({ candidates: [{ finishReason: 'SPII' }] });
    expect(await streamed(late)).toMatchObject({ text: 'Some', finishReason: 'content_filter' });
  });

  test('what the model could not call is unusable', async () => {
    await expect(streamed(data(said('', { finishReason: 'MALFORMED_FUNCTION_CALL' })))).rejects.toMatchObject({
      failure: 'bad_output',
      message: expect.stringContaining('malformed_function_call'),
    });
  });
});

test('thoughts and calls are progress; calls get ids of their own', () => {
  const answer = new GoogleAnswer({ ...ASK, model: MODEL });
  const push = (parts: object[], more: object = {}) =>
    answer.push(Object({ candidates: [{ content: { parts }, ...more }] }));
  expect(push([{ text: 'hm', thought: true }])).toEqual({ type: 'progress' });
  expect(push([{ text: '' }])).toBeUndefined();
  expect(push([{ functionCall: { name: 'a', args: { x: 1 } } }])).toEqual({ type: 'progress' });
  push([{ functionCall: { name: 'a' } }], { finishReason: 'STOP' });
  const { toolCalls, finishReason, text } = answer.completion();
  expect([text, finishReason]).toEqual(['', 'tool_calls']);
  expect(toolCalls.map((call) => call.arguments)).toEqual(['{"x":1}', '{}']);
  expect(new Set(toolCalls.map((call) => call.id)).size).toBe(2);
});

test.each([
  ['STOP', 'stop'],
  ['MAX_TOKENS', 'length'],
  ['SAFETY', 'content_filter'],
  ['PROHIBITED_CONTENT', 'content_filter'],
  ['RECITATION', 'content_filter'],
  ['OTHER', undefined],
])('finish reason %s → %s', (reason, expected) => expect(googleFinish(reason, false)).toBe(expected));

const failing = async (status: number, error: object): Promise<ProviderError> => {
  const { fetch } = answering(JSON.stringify({ error: { code: status, ...error } }), { status });
  const thrown: unknown = await of(fetch)
    .complete({ ...ASK, model: MODEL }, signal)
    .catch((caught: unknown) => caught);
  if (thrown instanceof ProviderError) return thrown;
  throw new Error('The call must fail.', { cause: thrown });
};

describe('an error', () => {
  const exhausted = { status: 'RESOURCE_EXHAUSTED', message: 'You exceeded your current quota, see billing details.' };

  test('of the minute asks to wait, in its body', async () => {
    const details = [{ '@type': 'RetryInfo', retryDelay: '34.4s' }];
    expect(await failing(429, { ...exhausted, details })).toMatchObject({
      failure: 'rate_limited',
      retryAfterMs: 34_400,
      message: 'google limits our requests (HTTP 429, resource_exhausted).',
    });
  });

  test.each([
    [
      429,
      { ...exhausted, details: [{ violations: [{ quotaId: 'GenerateRequestsPerDayPerProject' }] }] },
      'quota_exhausted',
    ],
    [429, { ...exhausted, message: 'Your prepayment credits are depleted.' }, 'quota_exhausted'],
    [400, { status: 'INVALID_ARGUMENT', message: 'x', details: [{ reason: 'API_KEY_INVALID' }] }, 'auth'],
    [400, { status: 'FAILED_PRECONDITION', message: 'User location is not supported.' }, 'auth'],
    [400, { status: 'FAILED_PRECONDITION', message: 'Please enable billing.' }, 'quota_exhausted'],
    [400, { status: 'INVALID_ARGUMENT', message: 'Unknown name "x".' }, 'caller_fault'],
    [403, { status: 'PERMISSION_DENIED', message: 'x' }, 'auth'],
    [404, { status: 'NOT_FOUND', message: 'models/x is not found' }, 'model_gone'],
    [500, { status: 'INTERNAL', message: 'x' }, 'transient'],
    [504, { status: 'DEADLINE_EXCEEDED', message: 'x' }, 'transient'],
  ])('%i %o → %s', async (status, error, failure) => {
    expect(await failing(status, error)).toMatchObject({ failure });
  });
});

const wholeBody = (text: string) => JSON.stringify(said(text, { finishReason: 'STOP' }));

test('calls at the same time use their own fetch each, and the global one stays', async () => {
  const { fetch: usual } = globalThis;
  const texts = Array.from({ length: 20 }, (_, at) => `answer ${at}`);
  const answers = texts.map((text) => of(answering(wholeBody(text)).fetch).complete({ ...ASK, model: MODEL }, signal));
  expect(globalThis.fetch).toBe(usual);
  expect((await Promise.all(answers)).map(({ text }) => text)).toEqual(texts);
  expect(globalThis.fetch).toBe(usual);
});

test('the key is in a header and in no address', async () => {
  const { fetch, asked } = answering(JSON.stringify(said('Hi', { finishReason: 'STOP' })));
  await of(fetch).complete({ ...ASK, model: MODEL }, signal);
  expect(asked[0]?.headers.get('x-goog-api-key')).toBe(SECRET);
  expect(asked[0]?.url).toBe(`https://google.example/v1beta/models/${MODEL}:generateContent`);
});

describe('on the wire', () => {
  let simulator: Simulator;
  beforeAll(async () => void (simulator = await createSimulator()));
  afterAll(() => simulator.close());
  const provider = () => createGoogle({ keys: KEYS, baseUrl: `${simulator.url}/google`, models: [] });

  test.each(['stream', 'plain'])('counts and thoughts (%s)', async (mode) => {
    const usage = { inputTokens: 1000, cachedInputTokens: 800, outputTokens: 300, reasoningTokens: 250 };
    const content = `#sim ${JSON.stringify({ usage, reasoning: 'Let me see.' })}`;
    const asked: ChatRequest = { ...ASK, model: MODEL, messages: [{ role: 'user', content }] };
    const answer =
      mode === 'plain'
        ? await provider().complete(asked, signal)
        : await gather('google', provider().stream(asked, signal));
    expect(answer.usage).toEqual({ ...usage, cacheWriteTokens: 0, estimated: false });
    expect(answer.text).not.toContain('Let me see');
  });

  test('texts are embedded in order, a hundred at a time', async () => {
    const texts = Array.from({ length: 101 }, (_, at) => `text ${at}`);
    const before = simulator.counts().requests;
    const { vectors, usage } = await provider().embed!({ model: 'gemini-embedding-001', texts, dimensions: 8 }, signal);
    expect(simulator.counts().requests - before).toBe(2);
    expect(vectors.map((vector) => vector.length)).toEqual(texts.map(() => 8));
    const [one] = (
      await provider().embed!({ model: 'gemini-embedding-001', texts: ['text 100'], dimensions: 8 }, signal)
    ).vectors;
    expect(vectors[100]).toEqual(one);
    expect(usage).toMatchObject({ inputTokens: expect.any(Number), outputTokens: 0, estimated: true });
    expect(usage.inputTokens).toBeGreaterThan(100);
  });
});
