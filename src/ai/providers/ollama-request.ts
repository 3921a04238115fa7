import type { ChatRequest as Body, Message as OllamaMessage, Tool as OllamaTool } from 'ollama';
import { OLLAMA_CONTEXT_MAX } from '#src/ai/catalog.ts';
import type { ChatRequest, Message, Tool, ToolCall } from '#src/ai/model.ts';
import { objectIn } from '#src/ai/providers/tool-arguments.ts';
import { estimateRequestTokens } from '#src/ai/tokens.ts';

const CONTEXT_MIN = 8192;

/** Our turn as the body of an Ollama chat. */
export function ollamaBody(request: ChatRequest): Omit<Body, 'stream'> {
  return {
    model: request.model,
    messages: request.messages.map((message) => ollamaMessage(message, request.messages)),
    ...(request.tools?.length ? { tools: request.tools.map(ollamaTool) } : {}),
    ...(request.responseSchema ? { format: request.responseSchema.schema } : {}),
    options: {
      num_predict: request.maxOutputTokens,
      num_ctx: contextFor(request),
      ...(request.temperature === undefined ? {} : { temperature: request.temperature }),
      ...(request.stop?.length ? { stop: request.stop } : {}),
      ...(request.seed === undefined ? {} : { seed: request.seed }),
    },
  };
}

/**
 * Ollama drops the start of a prompt above its context without a word, and loads the model anew when the context changes:
 * so it must be asked for, large enough, in few sizes.
 */
export function contextFor(request: ChatRequest): number {
  const needed = estimateRequestTokens(request) + request.maxOutputTokens;
  let context = CONTEXT_MIN;
  while (context < needed && context < OLLAMA_CONTEXT_MAX) context *= 2;
  return context;
}

function ollamaMessage(message: Message, all: readonly Message[]): OllamaMessage {
  const { role, content, toolCalls, toolCallId } = message;
  const answered = toolCallId === undefined ? undefined : callOf(toolCallId, all);
  return {
    role,
    content,
    ...(toolCalls?.length
      ? {
          tool_calls: toolCalls.map((call) => ({ function: { name: call.name, arguments: objectIn(call.arguments) } })),
        }
      : {}),
    ...(answered ? { tool_name: answered.name } : {}),
  };
}

/** Ollama knows no call ids: a tool's answer names the tool. */
function callOf(id: string, all: readonly Message[]): ToolCall | undefined {
  return all.flatMap((message) => message.toolCalls ?? []).find((call) => call.id === id);
}

function ollamaTool({ name, description, parameters }: Tool): OllamaTool {
  return { type: 'function', function: { name, parameters, ...(description ? { description } : {}) } };
}
