import { describe, expect, test } from 'vitest';
import type { ChatRequest } from '#src/ai/model.ts';
import { groqBody } from '#src/ai/providers/groq-chat.ts';
import { mistralBody } from '#src/ai/providers/mistral-chat.ts';
import { ollamaBody } from '#src/ai/providers/ollama-request.ts';
import { openaiBody } from '#src/ai/providers/openai-request.ts';
import { togetherBody } from '#src/ai/providers/together.ts';
import { strictSchema } from '#src/ai/providers/strict-schema.ts';

const TURN: ChatRequest = {
  model: 'gpt-4o',
  messages: [
    { role: 'system', content: 'Be short.' },
    { role: 'user', content: 'Where is my order?' },
    { role: 'assistant', content: '', toolCalls: [{ id: 'call_1', name: 'find_order', arguments: '{"id":7}' }] },
    { role: 'tool', content: '{"status":"sent"}', toolCallId: 'call_1' },
  ],
  tools: [{ name: 'find_order', description: 'Finds one', parameters: { type: 'object', properties: {} } }],
  maxOutputTokens: 300,
  temperature: 0.2,
  task: { engine: 'chat', input: {} },
};
const SCHEMA = { type: 'object', properties: { a: { type: 'string' }, b: { type: 'integer' } }, required: ['a'] };
const responseSchema = { name: 'answer', schema: SCHEMA };

const formatOf = (request: ChatRequest) => openaiBody(request).response_format;
const groqFormat = (model: string) => groqBody({ ...TURN, model, responseSchema }).response_format;
const contextFor = (words: number) =>
  ollamaBody({ ...TURN, messages: [{ role: 'user', content: 'word '.repeat(words) }] }).options?.num_ctx;

describe('openaiBody', () => {
  test('says a whole turn in OpenAI words', () => {
    expect(openaiBody(TURN)).toEqual({
      model: 'gpt-4o',
      max_completion_tokens: 300,
      temperature: 0.2,
      messages: [
        { role: 'system', content: 'Be short.' },
        { role: 'user', content: 'Where is my order?' },
        {
          role: 'assistant',
          content: '',
          tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'find_order', arguments: '{"id":7}' } }],
        },
        { role: 'tool', content: '{"status":"sent"}', tool_call_id: 'call_1' },
      ],
      tools: [
        {
          type: 'function',
          function: { name: 'find_order', description: 'Finds one', parameters: { type: 'object', properties: {} } },
        },
      ],
    });
  });

  test('leaves the temperature out where the model takes none, or is not known', () => {
    expect(openaiBody({ ...TURN, model: 'gpt-5.6-luna' })).not.toHaveProperty('temperature');
    expect(openaiBody({ ...TURN, model: 'own' })).not.toHaveProperty('temperature');
  });

  test('asks for a strict schema, a loose one, or only JSON, by what can be had', () => {
    expect(formatOf({ ...TURN, responseSchema })).toEqual({
      type: 'json_schema',
      json_schema: {
        name: 'answer',
        strict: true,
        schema: { ...SCHEMA, required: ['a', 'b'], additionalProperties: false },
      },
    });
    const free = { type: 'object', additionalProperties: { type: 'string' } };
    expect(formatOf({ ...TURN, responseSchema: { name: 'free', schema: free } })).toEqual({
      type: 'json_schema',
      json_schema: { name: 'free', strict: false, schema: free },
    });
    const old = openaiBody({ ...TURN, model: 'gpt-4-turbo', responseSchema });
    expect(old.response_format).toEqual({ type: 'json_object' });
    expect(old.messages.at(-1)?.content).toContain('JSON');
  });
});

describe('groqBody', () => {
  test('is strict only with the models that can be, and lets reasoning ones think apart from the answer', () => {
    expect(groqFormat('openai/gpt-oss-20b')).toMatchObject({ type: 'json_schema', json_schema: { strict: true } });
    expect(groqFormat('meta-llama/llama-4-scout-17b-16e-instruct')).toMatchObject({ json_schema: { strict: false } });
    expect(groqFormat('llama-3.1-8b-instant')).toEqual({ type: 'json_object' });
    expect(groqBody({ ...TURN, model: 'qwen/qwen3-32b' }).reasoning_format).toBe('parsed');
    expect(groqBody({ ...TURN, model: 'openai/gpt-oss-20b' })).not.toHaveProperty('reasoning_format');
    expect(groqBody(TURN)).toMatchObject({ max_completion_tokens: 300 });
  });
});

describe('togetherBody', () => {
  test('bounds the answer by the older name', () => {
    const body = togetherBody({ ...TURN, model: 'openai/gpt-oss-120b', responseSchema });
    expect(body).toMatchObject({ max_tokens: 300, temperature: 0.2, response_format: { type: 'json_schema' } });
    expect(body).not.toHaveProperty('max_completion_tokens');
  });
});

describe('mistralBody', () => {
  test('says a whole turn in the words of its SDK, with call ids it takes', () => {
    const body = mistralBody({ ...TURN, model: 'mistral-small-latest', responseSchema });
    expect(body).toMatchObject({
      maxTokens: 300,
      temperature: 0.2,
      responseFormat: { type: 'json_schema', jsonSchema: { name: 'answer', strict: true } },
      tools: [{ type: 'function', function: { name: 'find_order' } }],
    });
    const [call, answer] = body.messages.slice(2);
    const id = call?.role === 'assistant' ? call.toolCalls?.[0]?.id : undefined;
    expect(id).toMatch(/^[a-zA-Z0-9]{9}$/);
    expect(answer).toMatchObject({ role: 'tool', toolCallId: id });
    const own = [{ role: 'tool' as const, content: '1', toolCallId: 'abcDEF123' }];
    expect(mistralBody({ ...TURN, messages: own }).messages).toMatchObject([{ toolCallId: 'abcDEF123' }]);
  });
});

describe('strictSchema', () => {
  test('closes objects at every depth and does not touch the given schema', () => {
    const given = {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      properties: {
        list: { type: 'array', items: { type: 'object', properties: { x: { type: 'number' } } } },
        either: { oneOf: [{ type: 'null' }, { $ref: '#/$defs/one' }] },
        type: { type: 'string', default: 'a' },
      },
      $defs: { one: { type: 'object', properties: { y: { type: 'string' } } } },
    };
    const before = structuredClone(given);
    expect(strictSchema(given)).toEqual({
      type: 'object',
      additionalProperties: false,
      required: ['list', 'either', 'type'],
      properties: {
        list: {
          type: 'array',
          items: {
            type: 'object',
            additionalProperties: false,
            required: ['x'],
            properties: { x: { type: 'number' } },
          },
        },
        either: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/one' }] },
        type: { type: 'string' },
      },
      $defs: {
        one: { type: 'object', additionalProperties: false, required: ['y'], properties: { y: { type: 'string' } } },
      },
    });
    expect(given).toEqual(before);
  });

  test.each([
    { type: 'array', items: { type: 'string' } },
    { type: 'object' },
    { type: 'object', properties: { map: { type: 'object', additionalProperties: { type: 'number' } } } },
    { type: 'object', properties: {}, patternProperties: { '^x': {} } },
  ])('gives up on %o', (schema) => expect(strictSchema(schema)).toBeUndefined());
});

describe('ollamaBody', () => {
  test('says a whole turn in Ollama words', () => {
    expect(ollamaBody({ ...TURN, model: 'llama3.2', responseSchema })).toEqual({
      model: 'llama3.2',
      format: SCHEMA,
      options: { num_predict: 300, num_ctx: 8192, temperature: 0.2 },
      messages: [
        { role: 'system', content: 'Be short.' },
        { role: 'user', content: 'Where is my order?' },
        { role: 'assistant', content: '', tool_calls: [{ function: { name: 'find_order', arguments: { id: 7 } } }] },
        { role: 'tool', content: '{"status":"sent"}', tool_name: 'find_order' },
      ],
      tools: [
        {
          type: 'function',
          function: { name: 'find_order', description: 'Finds one', parameters: { type: 'object', properties: {} } },
        },
      ],
    });
  });

  test('asks for a context the prompt fits in, in few sizes and no larger than the bound', () => {
    expect([100, 7000, 9000, 20_000, 1_000_000].map(contextFor)).toEqual([8192, 8192, 16_384, 32_768, 32_768]);
  });

  test('tool arguments that are no object become an empty one', () => {
    const toolCalls = [{ id: '1', name: 'a', arguments: '[1' }];
    const body = ollamaBody({ ...TURN, messages: [{ role: 'assistant', content: '', toolCalls }] });
    expect(body.messages?.[0]?.tool_calls?.[0]?.function.arguments).toEqual({});
  });
});
