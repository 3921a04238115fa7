import type OpenAI from 'openai';
import { factsOf } from '#src/ai/catalog.ts';
import type { ChatRequest, EmbeddingRequest, Message, Tool } from '#src/ai/model.ts';
import { strictSchema } from '#src/ai/providers/strict-schema.ts';

type Body = OpenAI.ChatCompletionCreateParamsNonStreaming;

/** Our turn as the body of a chat completion. */
export function openaiBody(request: ChatRequest): Body {
  const facts = factsOf('openai', request.model);
  return {
    model: request.model,
    max_completion_tokens: request.maxOutputTokens,
    ...(request.temperature !== undefined && facts.supportsTemperature ? { temperature: request.temperature } : {}),
    ...openaiTools(request),
    ...openaiBounds(request),
    ...openaiFormat(request, request.messages.map(openaiMessage), { schema: facts.supportsJsonSchema, strict: true }),
  };
}

/** The tools, and what of them must be called. */
export function openaiTools({ tools, toolChoice }: ChatRequest) {
  if (!tools?.length) return {};
  const choice =
    typeof toolChoice === 'object' ? { type: 'function' as const, function: { name: toolChoice.name } } : toolChoice;
  return { tools: tools.map(openaiTool), ...(choice && { tool_choice: choice }) };
}

/** Where the answer ends, and its seed. */
export const openaiBounds = ({ stop, seed }: ChatRequest) => ({
  ...(stop?.length && { stop }),
  ...(seed !== undefined && { seed }),
});

/** Texts to embed, as OpenAI takes them. Floats, because base64, which the SDK asks for by itself, is not known to all who imitate OpenAI. */
export function embeddingBody({ model, texts, dimensions }: EmbeddingRequest): OpenAI.EmbeddingCreateParams {
  return { model, input: texts, encoding_format: 'float', ...(dimensions && { dimensions }) };
}

/** The part of OpenAI's messages, tools and formats that we use, and that all who imitate it take. */
type OpenaiMessage =
  | { role: 'system' | 'user' | 'assistant'; content: string }
  | { role: 'tool'; content: string; tool_call_id: string }
  | {
      role: 'assistant';
      content: string;
      tool_calls: { id: string; type: 'function'; function: { name: string; arguments: string } }[];
    };

interface OpenaiTool {
  type: 'function';
  function: { name: string; description?: string; parameters: Record<string, unknown> };
}

interface OpenaiFormat {
  messages: OpenaiMessage[];
  response_format?:
    | { type: 'json_object' }
    | { type: 'json_schema'; json_schema: { name: string; schema: Record<string, unknown>; strict: boolean } };
}

/**
 * How the answer's form is asked for.
 * @param can whether the model takes a schema at all, and one it must keep to strictly
 */
export function openaiFormat(
  { responseSchema }: ChatRequest,
  messages: OpenaiMessage[],
  can: { schema: boolean; strict: boolean },
): OpenaiFormat {
  if (!responseSchema) return { messages };
  const { name, schema } = responseSchema;
  if (!can.schema) {
    // These models know only "some JSON", and refuse even that unless the word JSON is in a message.
    const content = `Answer only with JSON that meets this JSON schema: ${JSON.stringify(schema)}`;
    return { messages: [...messages, { role: 'system', content }], response_format: { type: 'json_object' } };
  }
  const strict = can.strict ? strictSchema(schema) : undefined;
  return {
    messages,
    response_format: {
      type: 'json_schema',
      json_schema: { name, schema: strict ?? schema, strict: strict !== undefined },
    },
  };
}

export function openaiMessage({ role, content, toolCalls, toolCallId }: Message): OpenaiMessage {
  if (role === 'tool') return { role, content, tool_call_id: toolCallId ?? '' };
  if (role !== 'assistant' || !toolCalls?.length) return { role, content };
  return {
    role,
    content,
    tool_calls: toolCalls.map((call) => ({
      id: call.id,
      type: 'function',
      function: { name: call.name, arguments: call.arguments },
    })),
  };
}

export function openaiTool({ name, description, parameters }: Tool): OpenaiTool {
  return { type: 'function', function: { name, parameters, ...(description ? { description } : {}) } };
}
