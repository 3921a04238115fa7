import type {
  CompletionResponseStreamChoiceFinishReason,
  DeltaMessage,
  UsageInfo,
} from '@mistralai/mistralai/models/components';
import type { ChatResponse } from 'ollama';
import type OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import type { ChatRequest } from '#src/ai/model.ts';
import { groqChunks } from '#src/ai/providers/groq-chat.ts';
import { mendMistral, mistralChunk } from '#src/ai/providers/mistral-chat.ts';
import { HttpFailure } from '#src/ai/providers/upstream.ts';
import { OllamaAnswer } from '#src/ai/providers/ollama.ts';
import { OpenaiAnswer, type OpenaiChunk, openaiCompletion, openaiFinish } from '#src/ai/providers/openai-answer.ts';

const REQUEST: ChatRequest = {
  model: 'gpt-4o',
  messages: [{ role: 'user', content: 'Hello there' }],
  maxOutputTokens: 50,
  task: { engine: 'chat', input: {} },
};

type Choice = OpenAI.ChatCompletionChunk.Choice;
function chunk(
  delta: Choice['delta'] & { reasoning_content?: string },
  finish: Choice['finish_reason'] = null,
): OpenaiChunk {
  return { choices: [{ delta, finish_reason: finish }] };
}

describe('OpenaiAnswer', () => {
  test('puts interleaved tool calls together by index', () => {
    const answer = new OpenaiAnswer('openai', REQUEST);
    const part = (index: number, more: object) => chunk({ tool_calls: [{ index, ...more }] });
    expect(answer.push(part(0, { id: 'a', function: { name: 'one', arguments: '' } }))).toEqual({ type: 'progress' });
    answer.push(part(1, { id: 'b', function: { name: 'two', arguments: '{"x"' } }));
    answer.push(part(0, { function: { arguments: '{}' } }));
    answer.push(part(1, { function: { arguments: ':1}' } }));
    answer.push(chunk({}, 'tool_calls'));
    expect(answer.end()).toMatchObject([
      { type: 'tool', call: { id: 'a', name: 'one', arguments: '{}' } },
      { type: 'tool', call: { id: 'b', name: 'two', arguments: '{"x":1}' } },
      { type: 'end', finishReason: 'tool_calls', usage: { estimated: true } },
    ]);
  });

  test('a role, an empty chunk and an unknown event are no content; reasoning is progress', () => {
    const answer = new OpenaiAnswer('openai', REQUEST);
    expect(answer.push(chunk({ role: 'assistant', content: '' }))).toBeUndefined();
    expect(answer.push({ ...chunk({}), choices: [] })).toBeUndefined();
    expect(answer.push(chunk({ reasoning_content: 'hm' }))).toEqual({ type: 'progress' });
  });

  test('a refusal is a failure of its own', () => {
    const answer = new OpenaiAnswer('openai', REQUEST);
    answer.push(chunk({ refusal: 'I cannot' }));
    answer.push(chunk({}, 'stop'));
    expect(() => answer.end()).toThrow('openai refused the content.');
  });

  test('arguments cut by the length are left as they are', () => {
    const answer = new OpenaiAnswer('openai', REQUEST);
    answer.push(chunk({ tool_calls: [{ index: 0, id: 'a', function: { name: 'one', arguments: '{"x' } }] }));
    answer.push(chunk({}, 'length'));
    expect(answer.end()).toMatchObject([{ type: 'tool', call: { arguments: '{"x' } }, { finishReason: 'length' }]);
  });

  test('counts that are none are estimated, and parts never exceed their whole', () => {
    const answer = new OpenaiAnswer('openai', REQUEST);
    answer.push(chunk({ content: 'Hello' }, 'stop'));
    answer.push({
      ...chunk({}),
      choices: [],
      usage: { prompt_tokens: 5, completion_tokens: -1, prompt_tokens_details: { cached_tokens: 9 } },
    });
    expect(answer.end().at(-1)).toMatchObject({
      usage: { inputTokens: 5, cachedInputTokens: 5, outputTokens: 2, estimated: true },
    });
  });

  test.each([
    ['stop', 'stop'],
    ['length', 'length'],
    ['tool_calls', 'tool_calls'],
    ['function_call', 'tool_calls'],
    ['content_filter', 'content_filter'],
    ['eos', 'stop'],
  ])('finish %s → %s', (reason, expected) => expect(openaiFinish(reason)).toBe(expected));
});

const whole = (message: object, finish = 'stop') =>
  openaiCompletion('together', REQUEST, { choices: [{ message, finish_reason: finish }] });

describe('openaiCompletion', () => {
  test('is held to what a streamed answer is held to', () => {
    expect(whole({ content: 'Hello' }, 'eos')).toMatchObject({ text: 'Hello', finishReason: 'stop' });
    expect(() => whole({ content: '' })).toThrow('empty answer');
    expect(() => whole({ content: null, refusal: 'I cannot' })).toThrow('together refused the content.');
    expect(() => whole({ tool_calls: [{ id: 'a', function: { name: 'x', arguments: '{' } }] }, 'tool_calls')).toThrow(
      'not JSON',
    );
    expect(() => openaiCompletion('together', REQUEST, { choices: [] })).toThrow('no answer in the answer');
    expect(() => openaiCompletion('together', REQUEST, {})).toThrow('no answer in the answer');
  });
});

async function* from(...chunks: Parameters<typeof groqChunks>[0] extends AsyncIterable<infer Chunk> ? Chunk[] : never) {
  yield* chunks;
}

describe('groqChunks', () => {
  const base = { id: 'c', created: 1, model: 'm', object: 'chat.completion.chunk' as const };
  test('takes the counts from x_groq and throws the error in it', async () => {
    const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
    const read = await Array.fromAsync(groqChunks(from({ ...base, choices: [], x_groq: { usage } })));
    expect(read).toEqual([{ choices: [], usage }]);
    const broken = groqChunks(from({ ...base, choices: [], x_groq: { error: 'over capacity' } }));
    await expect(Array.fromAsync(broken)).rejects.toThrow('over capacity');
  });
});

const chunkOf = (
  delta: DeltaMessage,
  finishReason: CompletionResponseStreamChoiceFinishReason | null = null,
  usage?: UsageInfo,
) => mistralChunk({ id: 'c', model: 'm', choices: [{ index: 0, delta, finishReason }], usage });

describe('Mistral', () => {
  test('a chunk says the same in OpenAI words', () => {
    expect(chunkOf({ content: 'Olá' })).toMatchObject({ choices: [{ delta: { content: 'Olá' } }] });
    const thought = [
      { type: 'thinking' as const, thinking: [{ type: 'text' as const, text: 'hm' }] },
      { type: 'text' as const, text: 'Olá' },
    ];
    expect(chunkOf({ content: thought })).toMatchObject({
      choices: [{ delta: { content: 'Olá', reasoning_content: expect.any(String) } }],
    });
    const toolCalls = [{ id: 'null', index: 1, function: { name: 'one', arguments: { x: 1 } } }];
    expect(chunkOf({ toolCalls }, 'tool_calls')).toMatchObject({
      choices: [{ delta: { tool_calls: [{ index: 1, id: null, function: { arguments: '{"x":1}' } }] } }],
    });
    expect(() => chunkOf({}, 'error')).toThrow('mistral failed to answer');
  });

  test('counts are read from where they stand, and a 0 the SDK made up is none', () => {
    const counts = { promptTokens: 9, completionTokens: 2 };
    expect(chunkOf({}, 'stop', counts).usage).toMatchObject({ prompt_tokens: 9, completion_tokens: 2 });
    expect(chunkOf({}, 'stop', { ...counts, num_cached_tokens: 4 }).usage).toMatchObject({ cached_tokens: 4 });
    const nested = { ...counts, prompt_tokens_details: { cached_tokens: 5 } };
    expect(chunkOf({}, 'stop', nested).usage).toMatchObject({ cached_tokens: 5 });
    expect(chunkOf({}, 'stop', { promptTokens: 0, completionTokens: 0 }).usage).toBeUndefined();
  });

  test('what the SDK breaks on is mended, and text that looks like it is left alone', () => {
    expect(mendMistral('data: {"choices":[],"usage":null}\n')).toBe('data: {"choices":[],"usage":{}}\n');
    expect(mendMistral('{"choices":[]}')).toBe('{"usage":{},"choices":[]}');
    const said = `data: ${JSON.stringify({ choices: [{ delta: { content: '{"usage":null,"error":1}' } }] })}\n`;
    expect(mendMistral(said)).toBe(said);
    expect(() => mendMistral('data: {"object":"error","message":"m"}\n')).toThrow(HttpFailure);
    expect(() => mendMistral('data: {"error":{"message":"m"}}\n')).toThrow(HttpFailure);
  });
});

const part = (message: Partial<ChatResponse['message']>, done = false): ChatResponse => ({
  model: 'm',
  created_at: new Date(0),
  message: { role: 'assistant', content: '', ...message },
  done,
  done_reason: done ? 'stop' : '',
  total_duration: 0,
  load_duration: 0,
  prompt_eval_count: 7,
  prompt_eval_duration: 0,
  eval_count: 3,
  eval_duration: 0,
});

describe('OllamaAnswer', () => {
  test('thoughts and tool calls are progress; a call gets an id', () => {
    const answer = new OllamaAnswer(REQUEST);
    expect(answer.push(part({ thinking: 'hm' }))).toEqual({ type: 'progress' });
    expect(answer.push(part({}))).toBeUndefined();
    const calls = [{ function: { name: 'one', arguments: { x: 1 } } }];
    expect(answer.push(part({ tool_calls: calls }))).toEqual({ type: 'progress' });
    expect(answer.ended).toBe(false);
    answer.push(part({}, true));
    expect(answer.end()).toMatchObject([
      { type: 'tool', call: { id: expect.stringMatching(/^call_/), name: 'one', arguments: '{"x":1}' } },
      { type: 'end', finishReason: 'tool_calls', usage: { inputTokens: 7, outputTokens: 3, estimated: false } },
    ]);
  });

  test('without its end it is truncated', () => {
    expect(() => new OllamaAnswer(REQUEST).end()).toThrow('ollama ended its answer too early.');
  });
});
