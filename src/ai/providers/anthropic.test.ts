import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createSimulator, type Simulator } from '../../../simulator/server.ts';
import { ASK, answering, TURN } from '#src/ai/__fixtures__/answering.ts';
import { KEYS, SECRET } from '#src/ai/__fixtures__/simulated.ts';
import type { ChatRequest, Chunk, Progress, Provider } from '#src/ai/model.ts';
import { AnthropicAnswer, anthropicFinish } from '#src/ai/providers/anthropic-answer.ts';
import { anthropicBody } from '#src/ai/providers/anthropic-request.ts';
import { createAnthropic } from '#src/ai/providers/anthropic.ts';
import { gather } from '#src/ai/providers/gather.ts';

const { signal } = new AbortController();
const MODEL = 'claude-haiku-4-5';
const turn = (more: Partial<ChatRequest> = {}) => anthropicBody({ ...TURN, model: MODEL, ...more });

describe('anthropicBody', () => {
  test('says a whole turn in the words of messages, without a temperature', () => {
    expect(turn()).toEqual({
      model: MODEL,
      max_tokens: 300,
      system: 'Be short.\n\nAnswer in English.',
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'Where is my order?' }] },
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'I will look.' },
            { type: 'tool_use', id: 'call_1', name: 'find_order', input: { id: 7 } },
            { type: 'tool_use', id: 'call_2', name: 'find_phone', input: {} },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'call_1', content: '{"status":"sent"}' },
            { type: 'tool_result', tool_use_id: 'call_2', content: 'none' },
            { type: 'text', text: 'And now?' },
          ],
        },
      ],
      tools: [
        {
          name: 'find_order',
          description: 'Finds one',
          input_schema: { type: 'object', properties: { id: { type: 'integer' } } },
        },
      ],
    });
  });

  test('the user speaks first, and nobody says nothing', () => {
    const messages = [
      { role: 'assistant' as const, content: 'Welcome!' },
      { role: 'user' as const, content: ' ' },
      { role: 'assistant' as const, content: 'Still there?' },
    ];
    expect(turn({ messages }).messages).toEqual([
      { role: 'user', content: [{ type: 'text', text: expect.stringMatching(/\S/) }] },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'Welcome!' },
          { type: 'text', text: 'Still there?' },
        ],
      },
    ]);
    expect(turn({ messages: [{ role: 'system', content: 'x' }] }).messages).toHaveLength(1);
  });

  test('no more is asked for than the model can say', () => {
    expect(turn({ model: 'claude-3-haiku-20240307', maxOutputTokens: 100_000 }).max_tokens).toBe(4096);
  });

  test('a schema is closed and without bounds; where that cannot be, it is asked for in words', () => {
    const score = { type: 'number', minimum: -1, description: 'How good' };
    const schema = { type: 'object', properties: { score }, required: ['score'] };
    expect(turn({ responseSchema: { name: 'a', schema } }).output_config).toEqual({
      format: {
        type: 'json_schema',
        schema: {
          type: 'object',
          properties: { score: { type: 'number', description: 'How good\n(minimum: -1)' } },
          required: ['score'],
          additionalProperties: false,
        },
      },
    });
    const free = turn({ responseSchema: { name: 'a', schema: { type: 'object' } } });
    expect(free.output_config).toBeUndefined();
    expect(free.system).toContain('Answer only with JSON that meets this JSON schema: {"type":"object"}');
  });
});

const event = (type: string, more: object = {}) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
const START = event('message_start', { message: { usage: { input_tokens: 10, output_tokens: 1 } } });
const text = (piece: string) => event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: piece } });
const stopped = (reason: string, usage: object = { output_tokens: 5 }) =>
  event('message_delta', { delta: { stop_reason: reason }, usage }) + event('message_stop');

const streamed = (body: string) => {
  const options = { headers: { 'content-type': 'text/event-stream' } };
  return gather('anthropic', of(answering(body, options).fetch).stream({ ...ASK, model: MODEL }, signal));
};
const of = (fetch: typeof globalThis.fetch): Provider =>
  createAnthropic({ keys: KEYS, baseUrl: 'https://api.anthropic.example', models: [], fetch });

describe('a stream', () => {
  test('whose start comes twice is one answer', async () => {
    const answer = await streamed(START + text('Hel') + START + text('lo') + stopped('end_turn'));
    expect(answer).toMatchObject({ text: 'Hello', finishReason: 'stop', usage: { inputTokens: 10, outputTokens: 5 } });
  });

  test('counts are totals: the last win, and what they leave out or null stays', async () => {
    const start = { input_tokens: 10, cache_read_input_tokens: 100, cache_creation_input_tokens: 20, output_tokens: 1 };
    const end = { input_tokens: null, output_tokens: 30, output_tokens_details: { thinking_tokens: 12 } };
    const body = event('message_start', { message: { usage: start } }) + text('Hi') + stopped('end_turn', end);
    expect((await streamed(body)).usage).toEqual({
      inputTokens: 130,
      cachedInputTokens: 100,
      cacheWriteTokens: 20,
      outputTokens: 30,
      reasoningTokens: 12,
      estimated: false,
    });
  });

  test('without its last event is cut, though the model had stopped', async () => {
    const whole = START + text('Hi') + stopped('end_turn');
    await expect(streamed(whole.replace(event('message_stop'), ''))).rejects.toMatchObject({
      failure: 'stream_truncated',
    });
  });

  test.each([
    ['refusal', 'content_refused'],
    ['model_context_window_exceeded', 'context_overflow'],
  ])('stopped for %s is %s', async (reason, failure) => {
    await expect(streamed(START + text('Hi') + stopped(reason))).rejects.toMatchObject({ failure });
  });

  test.each([
    [{ type: 'overloaded_error', message: 'Overloaded' }, 'overloaded'],
    [{ type: 'api_error', message: 'Internal server error' }, 'transient'],
    [{ type: 'rate_limit_error', message: 'x', details: { error_code: 'ramp_limit_exceeded' } }, 'rate_limited'],
    [
      { type: 'rate_limit_error', message: 'x', details: { error_code: 'contract_spend_limit_reached' } },
      'quota_exhausted',
    ],
  ])('an error in it is classified by its type and code: %o → %s', async (error, failure) => {
    await expect(streamed(START + event('error', { error }))).rejects.toMatchObject({ failure });
  });

  test('an event that is no JSON is a cut, and what it says is in no text', async () => {
    const broken = `event: content_block_delta\ndata: {"type": "content_block_delta", "secret words\n\n`;
    const error: unknown = await streamed(START + broken).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ failure: 'stream_truncated' });
    expect(String(error)).not.toContain('secret');
  });
});

const delta = (one: object): unknown => Object.assign({ type: 'content_block_delta', index: 0 }, { delta: one });

test('thoughts, signatures and calls are progress; pings are nothing', () => {
  const answer = new AnthropicAnswer({ ...ASK, model: MODEL });
  const push = (one: unknown): Chunk | Progress | undefined => answer.push(Object(one));
  expect(push(delta({ type: 'thinking_delta', thinking: 'hm' }))).toEqual({ type: 'progress' });
  expect(push(delta({ type: 'signature_delta', signature: 's' }))).toEqual({ type: 'progress' });
  expect(
    push({ type: 'content_block_start', index: 1, content_block: { type: 'tool_use', id: 'a', name: 'b' } }),
  ).toEqual({ type: 'progress' });
  expect(push({ type: 'content_block_start', index: 2, content_block: { type: 'text', text: '' } })).toBeUndefined();
  expect(push(delta({ type: 'text_delta', text: '' }))).toBeUndefined();
  expect(push({ type: 'ping' })).toBeUndefined();
});

test.each([
  ['end_turn', 'stop'],
  ['stop_sequence', 'stop'],
  ['max_tokens', 'length'],
  ['tool_use', 'tool_calls'],
  ['something_new', 'stop'],
])('stop reason %s → %s', (reason, expected) => expect(anthropicFinish(reason)).toBe(expected));

describe('on the wire', () => {
  let simulator: Simulator;
  beforeAll(async () => void (simulator = await createSimulator()));
  afterAll(async () => {
    vi.unstubAllEnvs();
    await simulator.close();
  });
  const provider = () => createAnthropic({ keys: KEYS, baseUrl: `${simulator.url}/anthropic`, models: [] });

  test('the SDK takes nothing from the environment', async () => {
    vi.stubEnv('ANTHROPIC_API_KEY', 'sk-env');
    vi.stubEnv('ANTHROPIC_AUTH_TOKEN', 'token-env');
    vi.stubEnv('ANTHROPIC_BASE_URL', 'http://127.0.0.1:9');
    vi.stubEnv('ANTHROPIC_CUSTOM_HEADERS', 'authorization: Bearer sk-env\nx-env: 1\nanthropic-version: 2000-01-01');
    vi.stubEnv('ANTHROPIC_LOG', 'debug');
    await provider().complete({ ...ASK, model: MODEL }, signal);
    const headers = simulator.seen().at(-1)?.headers;
    expect(headers).toMatchObject({ authorization: `Bearer ${SECRET}`, 'anthropic-version': '2026-10-21' });
    expect(JSON.stringify(headers)).not.toMatch(/sk-env|x-env|stainless/);
  });

  test.each(['stream', 'plain'])('counts and thoughts (%s)', async (mode) => {
    const usage = {
      inputTokens: 1000,
      cachedInputTokens: 800,
      cacheWriteTokens: 100,
      outputTokens: 300,
      reasoningTokens: 250,
    };
    const asked = {
      ...ASK,
      model: MODEL,
      messages: [{ role: 'user' as const, content: `#sim ${JSON.stringify({ usage, reasoning: 'Let me see.' })}` }],
    };
    const answer =
      mode === 'plain'
        ? await provider().complete(asked, signal)
        : await gather('anthropic', provider().stream(asked, signal));
    expect(answer.usage).toEqual({ ...usage, estimated: false });
    expect(answer.text).not.toContain('Let me see');
  });

  test('a plain call may ask for as much as the model can say', async () => {
    const answer = await provider().complete({ ...ASK, model: 'claude-opus-5', maxOutputTokens: 128_000 }, signal);
    expect(answer.text).not.toBe('');
    expect(simulator.seen().at(-1)?.body).toMatchObject({ max_tokens: 128_000 });
  });
});
