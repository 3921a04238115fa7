import { createHash } from 'node:crypto';
import type {
  ChatCompletionRequest,
  ChatCompletionRequestMessage,
  ChatCompletionResponse,
  CompletionChunk,
  ContentChunk,
  ToolCall as MistralCall,
  UsageInfo,
} from '@mistralai/mistralai/models/components';
import { factsOf } from '#src/ai/catalog.ts';
import type { ChatRequest, Message, ToolChoice } from '#src/ai/model.ts';
import { failedAs } from '#src/ai/providers/failure.ts';
import type { OpenaiChunk, OpenaiUsage, OpenaiWhole } from '#src/ai/providers/openai-answer.ts';
import { openaiTool } from '#src/ai/providers/openai-request.ts';
import { strictSchema } from '#src/ai/providers/strict-schema.ts';
import { HttpFailure } from '#src/ai/providers/upstream.ts';

/** Our turn as the body of a Mistral chat completion. */
export function mistralBody(request: ChatRequest): ChatCompletionRequest {
  const { model, messages, maxOutputTokens, temperature, tools, toolChoice, stop, seed } = request;
  return {
    model,
    messages: messages.map(mistralMessage),
    maxTokens: maxOutputTokens,
    ...(temperature !== undefined && factsOf('mistral', model).supportsTemperature ? { temperature } : {}),
    ...(tools?.length ? { tools: tools.map(openaiTool) } : {}),
    ...(tools?.length && toolChoice ? { toolChoice: choiceOf(toolChoice) } : {}),
    ...(stop?.length ? { stop } : {}),
    ...(seed === undefined ? {} : { randomSeed: seed }),
    ...formatOf(request),
  };
}

const choiceOf = (choice: ToolChoice): ChatCompletionRequest['toolChoice'] =>
  choice === 'required' ? choice : { type: 'function', function: { name: choice.name } };

/** Every model of Mistral takes a schema. */
function formatOf({ responseSchema }: ChatRequest): Pick<ChatCompletionRequest, 'responseFormat'> {
  if (!responseSchema) return {};
  const { name, schema } = responseSchema;
  const strict = strictSchema(schema);
  const jsonSchema = { name, schemaDefinition: strict ?? schema, strict: strict !== undefined };
  return { responseFormat: { type: 'json_schema', jsonSchema } };
}

function mistralMessage({ role, content, toolCalls, toolCallId }: Message): ChatCompletionRequestMessage {
  if (role === 'tool') return { role, content, toolCallId: callIdFor(toolCallId ?? '') };
  if (role !== 'assistant' || !toolCalls?.length) return { role, content };
  const calls = toolCalls.map(({ id, name, arguments: json }) => ({
    id: callIdFor(id),
    function: { name, arguments: json },
  }));
  return { role, content, toolCalls: calls };
}

/** Mistral takes no call id but one of nine letters and digits; one that another provider made becomes such a one, the same each time. */
function callIdFor(id: string): string {
  return /^[a-zA-Z0-9]{9}$/.test(id) ? id : createHash('sha256').update(id).digest('hex').slice(0, 9);
}

type Content = string | ContentChunk[] | null | undefined;

/** What of a content is the answer, and whether there was thought beside it. */
function readContent(content: Content): { content: string; reasoning_content?: string } {
  if (!Array.isArray(content)) return { content: content ?? '' };
  const text = content.map((part) => ('text' in part && part.type === 'text' ? part.text : '')).join('');
  return content.some((part) => part.type === 'thinking')
    ? { content: text, reasoning_content: 'thinking' }
    : { content: text };
}

/** The SDK writes "null" where the wire had no id. */
const readCall = ({ id, index, function: call }: MistralCall) => ({
  index: index ?? 0,
  id: id === 'null' ? null : id,
  function: {
    name: call.name,
    arguments: typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments),
  },
});

/** The SDK writes 0 where the wire had no count. */
function readUsage(usage: UsageInfo | undefined): OpenaiUsage | undefined {
  if (!usage?.promptTokens) return undefined;
  const { promptTokens, completionTokens } = usage;
  const details = usage['prompt_tokens_details'];
  const nested = typeof details === 'object' && details !== null && 'cached_tokens' in details;
  const cached = nested ? details.cached_tokens : usage['num_cached_tokens'];
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    ...(typeof cached === 'number' ? { cached_tokens: cached } : {}),
  };
}

/** @throws ProviderError where the model broke off */
function readFinish(reason: string | null): string | null {
  if (reason === 'error') throw failedAs('mistral', 'transient', { note: 'finish reason error' });
  return reason;
}

/** A chunk of Mistral's stream as one of OpenAI's. */
export function mistralChunk({ choices, usage }: CompletionChunk): OpenaiChunk {
  return {
    choices: choices.map(({ delta, finishReason }) => ({
      delta: { ...readContent(delta.content), tool_calls: delta.toolCalls?.map(readCall) },
      finish_reason: readFinish(finishReason),
    })),
    usage: readUsage(usage),
  };
}

/** Mistral's answer as one of OpenAI's. */
export function mistralWhole({ choices, usage }: ChatCompletionResponse): OpenaiWhole {
  return {
    choices: choices.map(({ message, finishReason }) => ({
      message: message && { ...readContent(message.content), tool_calls: message.toolCalls?.map(readCall) },
      finish_reason: readFinish(finishReason),
    })),
    usage: readUsage(usage),
  };
}

/**
 * What the SDK would break on, taken out before it reads it: `usage: null` and, in a whole answer, no usage at all.
 * @param text a whole answer, or whole lines of a stream. In JSON these patterns cannot stand inside a string: its quotes are escaped.
 * @throws HttpFailure for an error in a stream, of which the SDK would tell only that it is no chunk
 */
export function mendMistral(text: string): string {
  if (text.includes('"error"')) {
    for (const [, json = ''] of text.matchAll(/^data: ?(\{.*)$/gm))
      if (isError(json)) throw new HttpFailure(200, new Headers(), json);
  }
  const mended = text.includes('"usage"') ? text.replace(/"usage": ?null/g, '"usage":{}') : text;
  return mended.includes('"usage"') ? mended : mended.replace(/^\s*\{/, '{"usage":{},');
}

function isError(json: string): boolean {
  try {
    const event: unknown = JSON.parse(json);
    return typeof event === 'object' && event !== null && !('choices' in event);
  } catch {
    return false;
  }
}
