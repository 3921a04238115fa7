import type { ChatRequest, Message, Tool, ToolCall } from '#src/ai/model.ts';
import type { PiiSpan } from '#src/ai/pii/span.ts';
import type { TokenVault } from '#src/ai/pii/tokens.ts';

/** What JSON strings escape. No token stands for a text with these in it, so a value fits wherever its token stood. */
const ESCAPED = /["\\\p{Cc}]+/u;

/** A text with tokens in place of its personal data. `vault` must know of all texts of the job before (`reserve`). */
export function maskText(text: string, spans: readonly PiiSpan[], vault: TokenVault): string {
  let masked = '';
  let from = 0;
  for (const { type, start, end, value } of spans) {
    masked += text.slice(from, start);
    const parts = value.split(/(["\\\p{Cc}]+)/u);
    masked += parts.map((part) => (part === '' || ESCAPED.test(part) ? part : vault.issue(type, part))).join('');
    from = end;
  }
  return masked + text.slice(from);
}

/** Reads a JSON text, changes its strings and numbers, and writes it again; a text that is no JSON is changed as a whole. */
function inJson(text: string, change: (text: string) => string): string {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return change(text);
    const before = JSON.stringify(value);
    const after = JSON.stringify(deep(value, change, true));
    return after === before ? text : after;
  } catch (error) {
    if (error instanceof SyntaxError) return change(text);
    throw error;
  }
}

/** A JSON value with its strings changed, and with `numbers` a number that would be changed as a text. */
function deep(value: unknown, change: (text: string) => string, numbers: boolean): unknown {
  if (typeof value === 'string') return change(value);
  if (typeof value === 'number' && numbers) {
    const changed = change(String(value));
    return changed === String(value) ? value : changed;
  }
  if (Array.isArray(value)) return value.map((item) => deep(item, change, numbers));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [change(key), deep(child, change, numbers)]));
}

/** Of a JSON Schema, what is written for people or is a value; its keywords, names and patterns stay. */
const SCHEMA_TEXTS = new Set(['description', 'title', 'enum', 'const', 'default', 'examples']);

function inSchema(schema: Record<string, unknown>, change: (text: string) => string): Record<string, unknown> {
  const inside = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(inside);
    return typeof value === 'object' && value !== null ? inSchema({ ...value }, change) : value;
  };
  return Object.fromEntries(
    Object.entries(schema).map(([key, child]) => [
      key,
      SCHEMA_TEXTS.has(key) ? deep(child, change, false) : inside(child),
    ]),
  );
}

const inCall = (call: ToolCall, change: (text: string) => string): ToolCall => ({
  ...call,
  arguments: inJson(call.arguments, change),
});

function inMessage(message: Message, change: (text: string) => string): Message {
  const { content, toolCalls } = message;
  const changed = { ...message, content: message.role === 'tool' ? inJson(content, change) : change(content) };
  return toolCalls ? { ...changed, toolCalls: toolCalls.map((call) => inCall(call, change)) } : changed;
}

function inTool(tool: Tool, change: (text: string) => string): Tool {
  const { description } = tool;
  return {
    ...tool,
    ...(description !== undefined && { description: change(description) }),
    parameters: inSchema(tool.parameters, change),
  };
}

/** Every text of a request that a person may have written: messages, calls and results of tools, what tools and schemas say, where it stops. */
export function inRequest<Request extends Pick<ChatRequest, 'messages' | 'tools' | 'responseSchema' | 'stop'>>(
  request: Request,
  change: (text: string) => string,
): Request {
  const { messages, tools, responseSchema, stop } = request;
  return {
    ...request,
    messages: messages.map((message) => inMessage(message, change)),
    ...(tools && { tools: tools.map((tool) => inTool(tool, change)) }),
    ...(stop && { stop: stop.map(change).filter((text) => text !== '') }),
    ...(responseSchema && { responseSchema: { ...responseSchema, schema: inSchema(responseSchema.schema, change) } }),
  };
}

/** A tool call of an answer with its values put back. */
export const unmaskCall = (call: ToolCall, put: (text: string) => string): ToolCall =>
  call.arguments.includes('[') ? { ...call, arguments: put(call.arguments) } : call;
