import type { Cohere } from 'cohere-ai';
import { factsOf } from '#src/ai/catalog.ts';
import type { ChatRequest, Message, Tool } from '#src/ai/model.ts';
import { inDialect, schemaInWords, type SchemaDialect } from '#src/ai/providers/schema-dialect.ts';

/** Our turn as the body of a chat of API version 2. */
export function cohereBody(request: ChatRequest): Cohere.V2ChatRequest {
  const { messages, tools, responseSchema } = request;
  const facts = factsOf('cohere', request.model);
  const format =
    responseSchema && facts.supportsJsonSchema && !tools?.length ? formatOf(responseSchema.schema) : undefined;
  // Unless it is told so in words too, a model held to JSON may write blanks until its bound. JSON and tools exclude each other.
  const words = format?.jsonSchema ? 'Answer only with JSON.' : responseSchema && schemaInWords(responseSchema.schema);
  return {
    model: request.model,
    messages: [...messages.map(cohereMessage), ...(words ? [{ role: 'system' as const, content: words }] : [])],
    maxTokens: Math.min(request.maxOutputTokens, facts.maxOutputTokens),
    ...(request.temperature !== undefined && facts.supportsTemperature ? { temperature: request.temperature } : {}),
    ...(tools?.length ? { tools: tools.map(cohereTool) } : {}),
    ...(tools?.length && request.toolChoice === 'required' ? { toolChoice: 'REQUIRED' as const } : {}),
    ...(request.stop?.length ? { stopSequences: request.stop } : {}),
    ...(request.seed === undefined ? {} : { seed: request.seed }),
    ...(format ? { responseFormat: format } : {}),
  };
}

const KEYWORDS = new Set(
  'type properties required additionalProperties items anyOf enum const pattern description title $ref $defs'.split(
    ' ',
  ),
);
const FORMATS = new Set(['date-time', 'uuid', 'date', 'time']);

/** What the guide to structured outputs lists; bounds of numbers, strings and lists are refused. */
const structuredOutputs: SchemaDialect = (keyword, value) =>
  KEYWORDS.has(keyword) || (keyword === 'format' && typeof value === 'string' && FORMATS.has(value));

/** Every object must require something, so without that it is just some JSON. */
function formatOf(schema: Record<string, unknown>): Cohere.ResponseFormatV2.JsonObject {
  const said = requiresSomething(schema) ? inDialect(schema, structuredOutputs) : undefined;
  return { type: 'json_object', ...(said ? { jsonSchema: said } : {}) };
}

function requiresSomething(schema: unknown, root = true): boolean {
  if (typeof schema !== 'object' || schema === null) return true;
  const type = 'type' in schema ? schema.type : undefined;
  const required = 'required' in schema && Array.isArray(schema.required) && schema.required.length > 0;
  if ((root || type === 'object') && (type !== 'object' || !required)) return false;
  return Object.entries(schema).every(([key, value]) => key === 'enum' || key === 'const' || deep(value));
}

function deep(value: unknown): boolean {
  if (Array.isArray(value)) return value.every((one) => requiresSomething(one, false));
  return requiresSomething(value, false);
}

function cohereMessage({ role, content, toolCalls, toolCallId }: Message): Cohere.ChatMessageV2 {
  if (role === 'tool') return { role, toolCallId: toolCallId ?? '', content };
  if (role !== 'assistant' || !toolCalls?.length) return { role, content };
  return {
    role,
    // Beside calls, text is a plan.
    ...(content === '' ? {} : { toolPlan: content }),
    toolCalls: toolCalls.map((call) => ({
      id: call.id,
      type: 'function',
      function: { name: call.name, arguments: call.arguments },
    })),
  };
}

function cohereTool({ name, description, parameters }: Tool): Cohere.ToolV2 {
  return { type: 'function', function: { name, parameters, ...(description ? { description } : {}) } };
}
