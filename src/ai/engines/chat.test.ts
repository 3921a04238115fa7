import { describe, expect, it } from 'vitest';
import { chat, ChatInput } from '#src/ai/engines/chat.ts';
import { AnswerError } from '#src/ai/engines/define.ts';
import type { FinishReason, ToolCall } from '#src/ai/model.ts';

const messages = [{ role: 'user', content: 'Oi' }];
const tools = [
  {
    name: 'find_order',
    description: 'Finds an order',
    parameters: { type: 'object', properties: { id: { type: 'string' } } },
  },
];

function read(pieces: string[], input: object = {}, toolCalls: ToolCall[] = [], finishReason: FinishReason = 'stop') {
  const reader = chat.read(ChatInput.parse({ messages, ...input }));
  const shown = pieces.map((piece) => reader.push(piece));
  const { rest, result } = reader.end({ finishReason, toolCalls });
  expect(chat.result.safeParse(result).success).toBe(true);
  return { shown, rest, result };
}

it('shows every piece as it came, white space too, and mends only what Unicode forbids', () => {
  const { shown, rest, result } = read(['\n Oi', ' \ud83d', '\ude0a', '\0!', '\ud800']);
  expect(shown).toEqual(['\n Oi', ' ', '😊', '!', '']);
  expect(rest).toBe('\ufffd');
  expect(result).toEqual({ text: '\n Oi 😊!\ufffd', toolCalls: [], finishReason: 'stop' });
});

it('must call the tool that was asked for', () => {
  const tools = [
    { name: 'a', parameters: {} },
    { name: 'b', parameters: {} },
  ];
  const ask = (toolChoice: unknown, called: string[]) => {
    const input = chat.input.parse({ messages: [{ role: 'user', content: 'Oi' }], tools, toolChoice });
    const reader = chat.read(input);
    reader.push('Oi');
    const toolCalls = called.map((name) => ({ id: name, name, arguments: '{}' }));
    return reader.end({ finishReason: 'tool_calls', toolCalls }).result.toolCalls.length;
  };
  expect(ask('required', ['a'])).toBe(1);
  expect(ask({ name: 'b' }, ['b'])).toBe(1);
  expect(() => ask('required', [])).toThrow('It did not call a tool.');
  expect(() => ask({ name: 'b' }, ['a'])).toThrow('It did not call the tool "b".');
  expect(() => ask({ name: 'c' }, [])).toThrow(/there is no tool named/);
});

describe('JSON', () => {
  const schema = {
    type: 'object',
    properties: { n: { type: 'integer' } },
    required: ['n'],
    additionalProperties: false,
  };
  const responseFormat = { type: 'json_schema', schema };

  it('shows nothing before it parsed, then the JSON alone', () => {
    const { shown, rest, result } = read(['```json\n{"n"', ': 1}\n```'], { responseFormat });
    expect(shown).toEqual(['', '']);
    expect(rest).toBe('{"n":1}');
    expect(result.text).toBe('{"n":1}');
  });

  it.each([
    ['{"n": "1"}', /\$\.n must be of type "integer"/],
    ['{}', /\$\.n is missing/],
    ['{"n": 1, "x": 2}', /\$\.x is not asked for/],
    ['[1]', /\$ must be of type "object"/],
    ['one', /not JSON/],
  ])('refuses %s with a hint', (answer, hint) => {
    expect(() => read([answer], { responseFormat })).toThrow(AnswerError);
    expect(() => read([answer], { responseFormat })).toThrow(hint);
  });

  it('takes any object for json_object', () => {
    expect(read(['{"a": [1]}'], { responseFormat: { type: 'json_object' } }).rest).toBe('{"a":[1]}');
    expect(() => read(['[1]'], { responseFormat: { type: 'json_object' } })).toThrow(/of type "object"/);
  });
});

describe('tool calls', () => {
  const call = { id: 'c1', name: 'find_order', arguments: '{"id":"7"}' };

  it('come through, with no text', () => {
    expect(read([], { tools }, [call], 'tool_calls').result).toEqual({
      text: '',
      toolCalls: [call],
      finishReason: 'tool_calls',
    });
  });

  it('are refused for a tool that was not given and for arguments that are not JSON', () => {
    expect(() => read([], { tools }, [{ ...call, name: 'drop' }])).toThrow(/no tool named "drop"/);
    expect(() => read([], { tools }, [{ ...call, arguments: '{"id"' }])).toThrow(/not JSON/);
  });
});

it('refuses an empty answer', () => {
  expect(() => read([' \n'])).toThrow(/empty/);
});

it('sends the turn as the client wrote it', () => {
  const body = { messages, tools, temperature: 0.2, maxOutputTokens: 50, responseFormat: { type: 'json_object' } };
  expect(chat.maxOutputTokens(ChatInput.parse(body))).toBe(50);
  expect(chat.ask(ChatInput.parse(body))).toEqual({
    messages,
    tools,
    temperature: 0.2,
    responseSchema: { name: 'answer', schema: { type: 'object' } },
  });
  expect(chat.ask(ChatInput.parse({ messages }))).toEqual({ messages });
  expect(chat.maxOutputTokens(ChatInput.parse({ messages }))).toBe(1024);
});

it.each([
  [{ messages: [] }, 'at least one message'],
  [{ messages: [{ role: 'robot', content: 'a' }] }, 'role'],
  [{ messages: [{ role: 'assistant', content: '' }] }, 'without toolCalls'],
  [{ messages: [{ role: 'tool', content: 'x', toolCallId: 'nope' }] }, 'answers no tool call'],
  [{ messages, maxOutputTokens: 20_000 }, 'at most 16384'],
  [{ messages, temperature: 3 }, 'temperature'],
  [{ messages, tools: [{ name: 'a b' }] }, 'letters, digits'],
  [
    { messages: Array.from({ length: 5 }, () => ({ role: 'user', content: 'a'.repeat(90_000) })) },
    'at most 400000 characters in all',
  ],
])('refuses what cannot be sent: %#', (body, message) => {
  expect(JSON.stringify(ChatInput.safeParse(body).error?.issues)).toContain(message);
});

it('takes a whole tool conversation', () => {
  const call = { id: 'c1', name: 'find_order', arguments: '{}' };
  const turns = [
    ...messages,
    { role: 'assistant', toolCalls: [call] },
    { role: 'tool', toolCallId: 'c1', content: '{"status":"sent"}' },
  ];
  expect(chat.ask(ChatInput.parse({ messages: turns, tools })).messages[1]).toEqual({
    role: 'assistant',
    content: '',
    toolCalls: [call],
  });
});
