import type {
  Content,
  EmbedContentRequest,
  FunctionCallPart,
  FunctionCallingMode,
  FunctionDeclaration,
  GenerateContentRequest,
  GenerationConfig,
  Part,
  ToolConfig,
} from '@google/generative-ai';
import { factsOf } from '#src/ai/catalog.ts';
import type { ChatRequest, Message, Tool } from '#src/ai/model.ts';
import { inDialect, schemaInWords, type SchemaDialect } from '#src/ai/providers/schema-dialect.ts';
import { objectIn } from '#src/ai/providers/tool-arguments.ts';

// The SDK sends every field it is given; these are younger than its types.
interface Config extends GenerationConfig {
  responseJsonSchema?: Record<string, unknown>;
  seed?: number;
  thinkingConfig?: { thinkingBudget: number } | { thinkingLevel: 'low' };
}
interface Declaration extends FunctionDeclaration {
  parametersJsonSchema?: Record<string, unknown>;
}
interface SignedCall extends FunctionCallPart {
  thoughtSignature: string;
}
interface EmbedRequest extends EmbedContentRequest {
  outputDimensionality?: number;
}

/** Our turn as the body of a `generateContent`. */
export function googleBody(request: ChatRequest): GenerateContentRequest {
  const { messages, tools, responseSchema } = request;
  const system = messages.filter(({ role }) => role === 'system').map(({ content }) => content);
  // Models before Gemini 3 refuse a JSON answer where there are tools.
  const inWords = responseSchema && tools?.length && !thinksInLevels(request.model);
  if (inWords) system.push(schemaInWords(responseSchema.schema));
  return {
    contents: turnsOf(messages),
    generationConfig: configOf(request, inWords ? undefined : responseSchema?.schema),
    ...(system.length > 0 ? { systemInstruction: { role: 'system', parts: [{ text: system.join('\n\n') }] } } : {}),
    ...(tools?.length ? { tools: [{ functionDeclarations: tools.map(googleTool) }] } : {}),
  };
}

/** What must be called. @param any the SDK's word for "one of these", which only the loaded SDK has */
export function googleToolConfig(
  { tools, toolChoice }: ChatRequest,
  any: FunctionCallingMode,
): { toolConfig?: ToolConfig } {
  if (!tools?.length || !toolChoice) return {};
  const allowed = toolChoice === 'required' ? {} : { allowedFunctionNames: [toolChoice.name] };
  return { toolConfig: { functionCallingConfig: { mode: any, ...allowed } } };
}

const thinksInLevels = (model: string) => /^gemini-([3-9]|\d\d)/.test(model);

function configOf(request: ChatRequest, schema: Record<string, unknown> | undefined): Config {
  const facts = factsOf('google', request.model);
  const thinkingConfig = thinkingOf(request.model);
  return {
    maxOutputTokens: Math.min(request.maxOutputTokens, facts.maxOutputTokens),
    ...(request.temperature !== undefined && facts.supportsTemperature ? { temperature: request.temperature } : {}),
    ...(request.stop?.length ? { stopSequences: request.stop } : {}),
    ...(request.seed === undefined ? {} : { seed: request.seed }),
    ...(thinkingConfig ? { thinkingConfig } : {}),
    ...(schema ? { responseMimeType: 'application/json' } : {}),
    // An object without properties is refused; then it is just some JSON.
    ...(schema && (schema['properties'] || schema['type'] !== 'object')
      ? { responseJsonSchema: inDialect(schema, jsonSchema) }
      : {}),
  };
}

/** Thoughts count into `maxOutputTokens` and leave nothing of a small bound for the answer, so as little of them as the model allows. */
function thinkingOf(model: string): Config['thinkingConfig'] {
  if (thinksInLevels(model)) return { thinkingLevel: 'low' };
  if (model.startsWith('gemini-2.5-flash')) return { thinkingBudget: 0 };
  return model.startsWith('gemini-2.5-pro') ? { thinkingBudget: 128 } : undefined;
}

const KEYWORDS = new Set(
  'type format title description items prefixItems minItems maxItems minimum maximum anyOf properties additionalProperties required $id $defs $ref $anchor propertyOrdering'.split(
    ' ',
  ),
);

/** What the API's reference lists for `responseJsonSchema` and `parametersJsonSchema`. */
const jsonSchema: SchemaDialect = (keyword, value) =>
  KEYWORDS.has(keyword) ||
  (keyword === 'enum' &&
    Array.isArray(value) &&
    value.every((one) => typeof one === 'string' || typeof one === 'number'));

const OPENING: Content = { role: 'user', parts: [{ text: '(The conversation begins.)' }] };

/** User and model in turn; the answers to one turn's calls must stand together in the turn after it. */
function turnsOf(messages: readonly Message[]): Content[] {
  const turns: Content[] = [];
  for (const message of messages) {
    if (message.role === 'system') continue;
    const parts = partsOf(message, messages);
    const role = message.role === 'assistant' ? 'model' : 'user';
    const last = turns.at(-1);
    if (last?.role === role) last.parts.push(...parts);
    else if (parts.length > 0) turns.push({ role, parts });
  }
  return turns[0]?.role === 'user' ? turns : [OPENING, ...turns];
}

function partsOf({ role, content, toolCalls, toolCallId }: Message, all: readonly Message[]): Part[] {
  if (role === 'tool') {
    // Gemini knows a call by its name.
    const name = all.flatMap((message) => message.toolCalls ?? []).find((call) => call.id === toolCallId)?.name ?? '';
    return [{ functionResponse: { name, response: responseOf(content) } }];
  }
  return [...(content === '' ? [] : [{ text: content }]), ...(toolCalls ?? []).map(callPart)];
}

/**
 * Gemini 3 refuses its own calls without the signature of the thought behind them, which is too long to travel as a call's id. This
 * value, which its guide names for calls of other models, stands for any.
 */
function callPart(call: { name: string; arguments: string }, at: number): Part {
  const part: FunctionCallPart = { functionCall: { name: call.name, args: objectIn(call.arguments) } };
  if (at > 0) return part;
  const signed: SignedCall = { ...part, thoughtSignature: 'skip_thought_signature_validator' };
  return signed;
}

/** A tool's answer must be an object here. */
function responseOf(content: string): object {
  try {
    const value: unknown = JSON.parse(content);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Plain text.
  }
  return { result: content };
}

function googleTool({ name, description, parameters }: Tool): Declaration {
  const properties = parameters['properties'];
  const hasAny = typeof properties === 'object' && properties !== null && Object.keys(properties).length > 0;
  return {
    name,
    ...(description ? { description } : {}),
    ...(hasAny ? { parametersJsonSchema: inDialect(parameters, jsonSchema) } : {}),
  };
}

/** One text of a batch to be embedded. */
export function googleEmbedRequest(text: string, dimensions: number | undefined): EmbedRequest {
  return {
    content: { role: 'user', parts: [{ text }] },
    ...(dimensions ? { outputDimensionality: dimensions } : {}),
  };
}
