import {
  embedding,
  isObject,
  readMessages,
  type Failure,
  type Json,
  type Reply,
  type Usage,
  type Wire,
} from './wire.ts';

export const CREATED = 1_790_000_000;
export const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;

/** What the providers that took over OpenAI's chat completions do in their own way. */
export interface OpenaiShape {
  name: string;
  /** Before `/chat/completions`: `/v1`, `/openai/v1`. */
  base: string;
  models: readonly string[];
  embeds: boolean;
  failures?: Wire['failures'];
  streamFailure?: Failure;
  failure: (failure: Failure) => unknown;
  /** The field of a message in which the model reasons; undefined: it never shows it. */
  reasoning?: (text: string) => Json;
  /** Its form of a call's id. */
  callId?: (id: string) => string;
  /** A tool call as pieces of a message. */
  toolDeltas: (call: Reply['toolCalls'][number], index: number) => Json[];
  finish?: (finish: Reply['finish']) => string;
  /** Whether every chunk before the last has `usage: null`. */
  nullUsage: boolean;
  /** What stands beside the last chunk's `choices`; undefined: the counts come in a chunk of their own, to who asked for them. */
  lastUsage?: (usage: Json) => Json;
}

/** The name first, then the arguments in pieces: what a caller must assemble by `index`. */
export function piecewise(call: Reply['toolCalls'][number], index: number): Json[] {
  return [
    { tool_calls: [{ index, id: call.id, type: 'function', function: { name: call.name, arguments: '' } }] },
    ...(call.arguments.match(/[^]{1,8}/gu) ?? []).map((piece) => ({
      tool_calls: [{ index, function: { arguments: piece } }],
    })),
  ];
}

export const openaiError = ({ message, type, code }: Failure) => ({ error: { message, type, param: null, code } });

function usage(counts: Usage): Json {
  return {
    prompt_tokens: counts.inputTokens,
    completion_tokens: counts.outputTokens,
    total_tokens: counts.inputTokens + counts.outputTokens,
    prompt_tokens_details: { cached_tokens: counts.cachedInputTokens },
    completion_tokens_details: { reasoning_tokens: counts.reasoningTokens },
  };
}

function schemaOf(body: Json): Json | undefined {
  const format = body['response_format'];
  const asked = isObject(format) && isObject(format['json_schema']) ? format['json_schema']['schema'] : undefined;
  if (isObject(asked)) return asked;
  return isObject(format) && format['type'] === 'json_object' ? { type: 'object', properties: {} } : undefined;
}

export function embeddings(body: Json): Json {
  const inputs = Array.isArray(body['input']) ? body['input'] : [body['input']];
  const size = typeof body['dimensions'] === 'number' ? body['dimensions'] : 1536;
  const tokens = inputs.reduce((sum: number, text) => sum + Math.ceil(String(text).length / 4), 0);
  const encode = (vector: number[]) =>
    body['encoding_format'] === 'base64' ? Buffer.from(new Float32Array(vector).buffer).toString('base64') : vector;
  return {
    object: 'list',
    model: body['model'],
    data: inputs.map((text, index) => ({
      object: 'embedding',
      index,
      embedding: encode(embedding(String(text), size)),
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

/** A wire of this shape. */
export function openaiWire(own: OpenaiShape): Wire {
  const finishOf = (reply: Reply) => own.finish?.(reply.finish) ?? reply.finish;
  const chunkOf = (reply: Reply, delta: Json, finish: string | null, more: Json = {}) =>
    event({
      id: reply.id,
      object: 'chat.completion.chunk',
      created: CREATED,
      model: reply.model,
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
      ...(own.nullUsage || reply.nullUsage ? { usage: null } : {}),
      ...more,
    });
  return {
    name: own.name,
    chat: [`POST ${own.base}/chat/completions`],
    others: {
      [`GET ${own.base}/models`]: () => modelList(own),
      ...(own.embeds ? { [`POST ${own.base}/embeddings`]: embeddings } : {}),
    },
    ...(own.failures ? { failures: own.failures } : {}),
    ...(own.streamFailure ? { streamFailure: own.streamFailure } : {}),
    streamType: 'text/event-stream',
    keepAlive: () => ': keep-alive\n\n',
    ask: (body) => ({
      ...readMessages(body),
      schema: schemaOf(body),
      mustCallTool: ['required', 'any'].includes(String(body['tool_choice'])) || isObject(body['tool_choice']),
      stream: body['stream'] === true,
      wantsUsage: isObject(body['stream_options']) && body['stream_options']['include_usage'] === true,
    }),
    opening: (reply) => [chunkOf(reply, { role: 'assistant', content: '' }, null)],
    contents: (reply) => [
      ...(own.reasoning ? reply.reasoning.map(own.reasoning) : []).map((delta) => chunkOf(reply, delta, null)),
      ...reply.parts.map((content) => chunkOf(reply, { content }, null)),
      ...reply.toolCalls.flatMap(own.toolDeltas).map((delta) => chunkOf(reply, delta, null)),
    ],
    closing(reply, ask) {
      const counts = reply.usage && usage(reply.usage);
      const beside = counts && own.lastUsage?.(counts);
      const alone = counts && !own.lastUsage && ask.wantsUsage;
      return [
        chunkOf(reply, {}, finishOf(reply), beside),
        ...(alone ? [event({ ...envelope(reply, 'chat.completion.chunk'), choices: [], usage: counts })] : []),
        'data: [DONE]\n\n',
      ];
    },
    whole: (reply) => ({
      ...envelope(reply, 'chat.completion'),
      choices: [{ index: 0, message: messageOf(reply, own), logprobs: null, finish_reason: finishOf(reply) }],
      ...(reply.usage ? { usage: usage(reply.usage) } : {}),
    }),
    failure: own.failure,
    failureFrame: (failure) => event(own.failure(failure)),
  };
}

const envelope = (reply: Reply, object: string) => ({ id: reply.id, object, created: CREATED, model: reply.model });

function messageOf(reply: Reply, own: OpenaiShape): Json {
  const called = reply.toolCalls.map((call) => ({
    id: own.callId?.(call.id) ?? call.id,
    type: 'function',
    function: { name: call.name, arguments: call.arguments },
  }));
  return {
    role: 'assistant',
    content: called.length > 0 ? null : reply.parts.join(''),
    ...(own.reasoning && reply.reasoning.length > 0 ? own.reasoning(reply.reasoning.join('')) : {}),
    ...(called.length > 0 ? { tool_calls: called } : {}),
  };
}

const modelList = ({ models, name }: OpenaiShape) => ({
  object: 'list',
  data: models.map((id) => ({ id, object: 'model', created: CREATED, owned_by: name })),
});
