import { embedding, isObject, readMessages, type Json, type Reply, type Usage, type Wire } from './wire.ts';

const CREATED = 1_790_000_000;
const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;

function chunk(reply: Reply, delta: Json, finishReason: string | null): string {
  return event({
    id: reply.id,
    object: 'chat.completion.chunk',
    created: CREATED,
    model: reply.model,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
    usage: null,
  });
}

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

/** The name first, then the arguments in pieces: what a caller must assemble by `index`. */
function toolFrames(reply: Reply): string[] {
  return reply.toolCalls.flatMap((call, index) => [
    chunk(
      reply,
      { tool_calls: [{ index, id: call.id, type: 'function', function: { name: call.name, arguments: '' } }] },
      null,
    ),
    ...(call.arguments.match(/[^]{1,8}/gu) ?? []).map((piece) =>
      chunk(reply, { tool_calls: [{ index, function: { arguments: piece } }] }, null),
    ),
  ]);
}

function embeddings(body: Json): unknown {
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

/** OpenAI chat completions, embeddings and models. */
export const openai: Wire = {
  name: 'openai',
  chat: 'POST /v1/chat/completions',
  others: {
    'POST /v1/embeddings': embeddings,
    'GET /v1/models': () => ({
      object: 'list',
      data: ['gpt-5.6-luna', 'gpt-5-nano', 'gpt-4.1-mini'].map((id) => ({
        id,
        object: 'model',
        created: CREATED,
        owned_by: 'openai',
      })),
    }),
  },
  streamType: 'text/event-stream; charset=utf-8',
  keepAlive: () => ': keep-alive\n\n',
  ask(body) {
    const choice = body['tool_choice'];
    return {
      ...readMessages(body),
      schema: schemaOf(body),
      mustCallTool: choice === 'required' || isObject(choice),
      stream: body['stream'] === true,
      wantsUsage: isObject(body['stream_options']) && body['stream_options']['include_usage'] === true,
    };
  },
  opening: (reply) => [chunk(reply, { role: 'assistant', content: '', refusal: null }, null)],
  contents: (reply) => [...reply.parts.map((content) => chunk(reply, { content }, null)), ...toolFrames(reply)],
  closing: (reply, ask) => [
    chunk(reply, {}, reply.finish),
    ...(ask.wantsUsage && reply.usage
      ? [
          event({
            id: reply.id,
            object: 'chat.completion.chunk',
            created: CREATED,
            model: reply.model,
            choices: [],
            usage: usage(reply.usage),
          }),
        ]
      : []),
    'data: [DONE]\n\n',
  ],
  whole: (reply) => ({
    id: reply.id,
    object: 'chat.completion',
    created: CREATED,
    model: reply.model,
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: reply.toolCalls.length > 0 ? null : reply.parts.join(''),
          refusal: null,
          ...(reply.toolCalls.length > 0
            ? {
                tool_calls: reply.toolCalls.map((call) => ({
                  id: call.id,
                  type: 'function',
                  function: { name: call.name, arguments: call.arguments },
                })),
              }
            : {}),
        },
        logprobs: null,
        finish_reason: reply.finish,
      },
    ],
    ...(reply.usage ? { usage: usage(reply.usage) } : {}),
  }),
  failure: ({ message, type, code }) => ({ error: { message, type, param: null, code } }),
  failureFrame: ({ message, type, code }) => event({ error: { message, type, param: null, code } }),
};
