import { z } from 'zod';
import { storable, TextGate } from '#src/ai/engines/answer-text.ts';
import { AnswerError, type AnswerReader, defineEngine } from '#src/ai/engines/define.ts';
import { jsonObject, rawField, textField } from '#src/ai/engines/fields.ts';
import { requireJson } from '#src/ai/engines/json-answer.ts';
import { shapeFault } from '#src/ai/engines/json-shape.ts';
import type { ToolCall } from '#src/ai/model.ts';

const MAX_MESSAGES = 200;
const MAX_CHARACTERS = 400_000;
const MAX_OUTPUT = 16_384;
const DEFAULT_OUTPUT = 1024;
const NAME = /^[a-zA-Z0-9_-]{1,64}$/u;
const NAME_RULE = 'must be 1 to 64 letters, digits, _ or -';

const ToolCallField = z.strictObject({
  id: textField(200),
  name: z.string().regex(NAME, NAME_RULE),
  arguments: textField(50_000),
});

const ChatMessage = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal(['system', 'user']), content: textField(100_000) }),
  z
    .strictObject({
      role: z.literal('assistant'),
      content: z.union([z.literal(''), textField(100_000)]).default(''),
      toolCalls: z.array(ToolCallField).min(1).max(64, 'must have at most 64 tool calls').optional(),
    })
    .refine((message) => message.content !== '' || message.toolCalls, {
      path: ['content'],
      message: 'must not be empty without toolCalls',
    }),
  z.strictObject({
    role: z.literal('tool'),
    content: z.union([z.literal(''), textField(100_000)]),
    toolCallId: textField(200),
  }),
]);

const ChatTool = z.strictObject({
  name: z.string().regex(NAME, NAME_RULE),
  description: textField(2000).optional(),
  parameters: jsonObject(20_000).default({ type: 'object', properties: {} }),
});

/** `text` (the default), any JSON object, or JSON of a schema. */
const ResponseFormat = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text') }),
  z.strictObject({ type: z.literal(['json', 'json_object']) }),
  z.strictObject({
    type: z.literal('json_schema'),
    name: z
      .string()
      .regex(/^[a-z0-9_]{1,64}$/u, 'must be 1 to 64 lower-case letters, digits or _')
      .default('answer'),
    schema: jsonObject(20_000),
  }),
]);

export const ChatInput = z
  .strictObject({
    messages: z
      .array(ChatMessage)
      .min(1, 'must have at least one message')
      .max(MAX_MESSAGES, `must have at most ${MAX_MESSAGES} messages`),
    tools: z.array(ChatTool).max(64, 'must have at most 64 tools').optional(),
    responseFormat: ResponseFormat.optional(),
    /** What the model must call; left out, it decides. */
    toolChoice: z.union([z.literal('required'), z.strictObject({ name: z.string().max(64) })]).optional(),
    /** Texts the answer ends before. */
    stop: z.array(rawField(100)).min(1).max(4, 'must have at most 4 texts').optional(),
    /** A wish for like answers to like requests; who has no seed takes no notice. */
    seed: z.int().min(0).max(2_147_483_647).optional(),
    maxOutputTokens: z.int().min(1).max(MAX_OUTPUT, `must be at most ${MAX_OUTPUT}`).optional(),
    temperature: z.number().min(0).max(2).optional(),
  })
  .superRefine(({ messages, tools = [], toolChoice }, context) => {
    const named = typeof toolChoice === 'object' ? toolChoice.name : undefined;
    if (toolChoice && !tools.some(({ name }) => named === undefined || name === named)) {
      const message = named === undefined ? 'needs tools' : `there is no tool named "${named}"`;
      context.addIssue({ code: 'custom', path: ['toolChoice'], message });
    }
    const characters = messages.reduce((sum, message) => sum + message.content.length, 0);
    if (characters > MAX_CHARACTERS) {
      context.addIssue({
        code: 'custom',
        path: ['messages'],
        message: `must have at most ${MAX_CHARACTERS} characters in all`,
      });
    }
    const called = new Set<string>();
    for (const [at, message] of messages.entries()) {
      if (message.role === 'assistant') for (const { id } of message.toolCalls ?? []) called.add(id);
      if (message.role === 'tool' && !called.has(message.toolCallId)) {
        context.addIssue({
          code: 'custom',
          path: ['messages', at, 'toolCallId'],
          message: 'answers no tool call of an earlier assistant message',
        });
      }
    }
  });
export type ChatInput = z.infer<typeof ChatInput>;

export const ChatResult = z.object({
  text: z.string(),
  toolCalls: z.array(z.object({ id: z.string(), name: z.string(), arguments: z.string() })),
  finishReason: z.enum(['stop', 'length', 'tool_calls', 'content_filter']),
});
export type ChatResult = z.infer<typeof ChatResult>;

function responseSchema(
  format: ChatInput['responseFormat'],
): { name: string; schema: Record<string, unknown> } | undefined {
  if (!format || format.type === 'text') return undefined;
  return format.type === 'json_schema'
    ? { name: format.name, schema: format.schema }
    : { name: 'answer', schema: { type: 'object' } };
}

function checkCalls(calls: ToolCall[], input: ChatInput): ToolCall[] {
  const { toolChoice } = input;
  const isAsked = ({ name }: ToolCall) => typeof toolChoice !== 'object' || name === toolChoice.name;
  if (toolChoice && !calls.some(isAsked)) {
    const tool = typeof toolChoice === 'object' ? `the tool "${toolChoice.name}"` : 'a tool';
    throw new AnswerError(`It did not call ${tool}.`, `Call ${tool}.`);
  }
  return calls.map((call) => {
    if (!input.tools?.some(({ name }) => name === call.name))
      throw new AnswerError(`There is no tool named "${call.name.slice(0, 64)}".`);
    try {
      JSON.parse(call.arguments || '{}');
    } catch {
      throw new AnswerError(`The arguments of the call of "${call.name}" are not JSON.`);
    }
    return { id: storable(call.id), name: call.name, arguments: storable(call.arguments || '{}') };
  });
}

/** Text that must be JSON is shown whole at the end, after it parsed, without whatever the model wrote around it. */
function jsonText(text: string, finishReason: string, schema: Record<string, unknown>): string {
  const value = requireJson(text, finishReason);
  const fault = shapeFault(value, schema);
  if (fault) throw new AnswerError(`${fault}.`);
  return JSON.stringify(value);
}

function readChat(input: ChatInput): AnswerReader<ChatResult> {
  const format = responseSchema(input.responseFormat);
  const gate = new TextGate();
  let text = '';
  return {
    push(piece) {
      const ready = gate.push(piece);
      text += ready;
      return format ? '' : ready;
    },
    end({ finishReason, toolCalls }) {
      const held = gate.end();
      text += held;
      const calls = checkCalls(toolCalls, input);
      if (text.trim() === '' && calls.length === 0) throw new AnswerError('The answer was empty.');
      if (!format || (calls.length > 0 && text.trim() === '')) {
        return { rest: format ? '' : held, result: { text: format ? '' : text, toolCalls: calls, finishReason } };
      }
      const json = jsonText(text, finishReason, format.schema);
      return { rest: json, result: { text: json, toolCalls: calls, finishReason } };
    },
  };
}

/** One chat turn as the client wrote it: the gateway the other engines stand on. No prompt of ours is added. */
export const chat = defineEngine<ChatInput, ChatResult>({
  name: 'chat',
  queue: 'ai-inference',
  band: 'interactive',
  input: ChatInput,
  result: ChatResult,
  streams: true,
  promptTokens: 50,
  deterministic: false,
  maxOutputTokens: (input) => input.maxOutputTokens ?? DEFAULT_OUTPUT,
  ask(input) {
    const schema = responseSchema(input.responseFormat);
    return {
      messages: input.messages,
      ...(input.tools?.length && { tools: input.tools }),
      ...(input.toolChoice && { toolChoice: input.toolChoice }),
      ...(input.stop && { stop: input.stop }),
      ...(input.seed !== undefined && { seed: input.seed }),
      ...(schema && { responseSchema: schema }),
      ...(input.temperature !== undefined && { temperature: input.temperature }),
    };
  },
  read: readChat,
});
