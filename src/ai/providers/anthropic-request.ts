import type Anthropic from '@anthropic-ai/sdk';
import { factsOf } from '#src/ai/catalog.ts';
import type { ChatRequest, Message, Tool, ToolChoice } from '#src/ai/model.ts';
import { inDialect, schemaInWords, type SchemaDialect } from '#src/ai/providers/schema-dialect.ts';
import { strictSchema } from '#src/ai/providers/strict-schema.ts';
import { objectIn } from '#src/ai/providers/tool-arguments.ts';

type Body = Anthropic.MessageCreateParamsNonStreaming;
type Block = Anthropic.TextBlockParam | Anthropic.ToolUseBlockParam | Anthropic.ToolResultBlockParam;
interface Turn {
  role: 'user' | 'assistant';
  content: Block[];
}

/** Our turn as the body of a message. The API takes no temperature since version 2026-10-21, and has no seed. */
export function anthropicBody(request: ChatRequest): Body {
  const facts = factsOf('anthropic', request.model);
  const system = request.messages.filter(({ role }) => role === 'system').map(({ content }) => content);
  const format =
    request.responseSchema && facts.supportsJsonSchema ? formatOf(request.responseSchema.schema) : undefined;
  if (request.responseSchema && !format) system.push(schemaInWords(request.responseSchema.schema));
  return {
    model: request.model,
    max_tokens: Math.min(request.maxOutputTokens, facts.maxOutputTokens),
    messages: turnsOf(request.messages),
    ...(system.length > 0 ? { system: system.join('\n\n') } : {}),
    ...(request.tools?.length ? { tools: request.tools.map(anthropicTool) } : {}),
    ...(request.tools?.length && request.toolChoice ? { tool_choice: choiceOf(request.toolChoice) } : {}),
    ...(request.stop?.length ? { stop_sequences: request.stop } : {}),
    ...(format ? { output_config: { format } } : {}),
  };
}

const choiceOf = (choice: ToolChoice): Anthropic.ToolChoice =>
  choice === 'required' ? { type: 'any' } : { type: 'tool', name: choice.name };

const KEYWORDS = new Set(
  'type properties required additionalProperties items anyOf allOf enum const description title $ref $defs'.split(' '),
);
const FORMATS = new Set('date-time time date duration email hostname uri ipv4 ipv6 uuid'.split(' '));

/** What "structured outputs" compile to a grammar; bounds of numbers and lengths are refused. */
const structuredOutputs: SchemaDialect = (keyword, value) =>
  KEYWORDS.has(keyword) ||
  (keyword === 'format' && typeof value === 'string' && FORMATS.has(value)) ||
  (keyword === 'minItems' && (value === 0 || value === 1));

/** Objects must be closed, so a schema with free keys cannot be had. */
function formatOf(schema: Record<string, unknown>): Anthropic.JSONOutputFormat | undefined {
  const closed = strictSchema(schema);
  return closed && { type: 'json_schema', schema: inDialect(closed, structuredOutputs) };
}

/** What a conversation must open with where ours opens with the assistant, or has nobody speaking. */
const OPENING: Turn = { role: 'user', content: [{ type: 'text', text: '(The conversation begins.)' }] };

/**
 * User and assistant in turn. All results of one turn's tool calls must stand in the one user turn after it, before its text; an
 * empty text is refused.
 */
function turnsOf(messages: readonly Message[]): Turn[] {
  const turns: Turn[] = [];
  for (const message of messages) {
    if (message.role === 'system') continue;
    const content = blocksOf(message);
    const role = message.role === 'assistant' ? 'assistant' : 'user';
    const last = turns.at(-1);
    if (last?.role === role) last.content.push(...content);
    else if (content.length > 0) turns.push({ role, content });
  }
  return turns[0]?.role === 'user' ? turns : [OPENING, ...turns];
}

function blocksOf({ role, content, toolCalls, toolCallId }: Message): Block[] {
  if (role === 'tool') return [{ type: 'tool_result', tool_use_id: idOf(toolCallId ?? ''), content }];
  return [
    ...(content.trim() === '' ? [] : [{ type: 'text' as const, text: content }]),
    ...(toolCalls ?? []).map((call) => ({
      type: 'tool_use' as const,
      id: idOf(call.id),
      name: call.name,
      input: objectIn(call.arguments),
    })),
  ];
}

/** Ids of other providers' calls may have characters that are refused here. */
const idOf = (id: string) => id.replace(/[^\w-]/g, '_');

function anthropicTool({ name, description, parameters }: Tool): Anthropic.Tool {
  return { name, input_schema: { ...parameters, type: 'object' }, ...(description ? { description } : {}) };
}
