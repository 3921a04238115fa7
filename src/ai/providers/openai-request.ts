import type OpenAI from 'openai';
import { factsOf } from '#src/ai/catalog.ts';
import type { ChatRequest, Message, Tool } from '#src/ai/model.ts';
import { strictSchema } from '#src/ai/providers/strict-schema.ts';

type Body = OpenAI.ChatCompletionCreateParamsNonStreaming;

/** Our turn as the body of a chat completion. */
export function openaiBody(request: ChatRequest): Body {
  const facts = factsOf('openai', request.model);
  const messages = request.messages.map(openaiMessage);
  return {
    model: request.model,
    max_completion_tokens: request.maxOutputTokens,
    ...(request.temperature !== undefined && facts.supportsTemperature ? { temperature: request.temperature } : {}),
    ...(request.tools?.length ? { tools: request.tools.map(openaiTool) } : {}),
    ...format(request, facts.supportsJsonSchema, messages),
  };
}

function format(
  { responseSchema }: ChatRequest,
  supported: boolean,
  messages: OpenAI.ChatCompletionMessageParam[],
): Pick<Body, 'messages' | 'response_format'> {
  if (!responseSchema) return { messages };
  const { name, schema } = responseSchema;
  if (!supported) {
    // These models know only "some JSON", and refuse even that unless the word JSON is in a message.
    const content = `Answer only with JSON that meets this JSON schema: ${JSON.stringify(schema)}`;
    return { messages: [...messages, { role: 'system', content }], response_format: { type: 'json_object' } };
  }
  const strict = strictSchema(schema);
  return {
    messages,
    response_format: {
      type: 'json_schema',
      json_schema: { name, schema: strict ?? schema, strict: strict !== undefined },
    },
  };
}

function openaiMessage({ role, content, toolCalls, toolCallId }: Message): OpenAI.ChatCompletionMessageParam {
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

function openaiTool({ name, description, parameters }: Tool): OpenAI.ChatCompletionTool {
  return { type: 'function', function: { name, parameters, ...(description ? { description } : {}) } };
}
