import { embedding, isObject, readMessages, type Failure, type Json, type Reply, type Wire } from './wire.ts';

const event = (type: string, more: Json = {}) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
const delta = (message: Json): Json => ({ delta: { message } });
const FAILED = (status: number, message: string): Failure => ({ status, type: '', code: '', message });
/** What Cohere sets before each prompt: counted, and not billed. */
const PREAMBLE_TOKENS = 495;

const FINISHES: Record<Reply['finish'], string> = {
  stop: 'COMPLETE',
  tool_calls: 'TOOL_CALL',
  length: 'MAX_TOKENS',
  content_filter: 'ERROR_TOXIC',
};

function counts({ usage }: Reply): Json {
  if (!usage) return {};
  return {
    usage: {
      billed_units: { input_tokens: usage.inputTokens, output_tokens: usage.outputTokens },
      tokens: { input_tokens: usage.inputTokens + PREAMBLE_TOKENS, output_tokens: usage.outputTokens },
      cached_tokens: usage.cachedInputTokens,
    },
  };
}

const thinks = (reply: Reply) => reply.reasoning.length > 0;

const thoughtFrames = (reply: Reply): string[] => [
  event('content-start', { index: 0, ...delta({ content: { type: 'thinking', thinking: '' } }) }),
  ...reply.reasoning.map((thinking) => event('content-delta', { index: 0, ...delta({ content: { thinking } }) })),
  event('content-end', { index: 0 }),
];

const textIndex = (reply: Reply) => (thinks(reply) ? 1 : 0);

/** The name first, then the arguments in pieces. */
function toolFrames(reply: Reply): string[] {
  return reply.toolCalls.flatMap((call, index) => [
    event('tool-call-start', {
      index,
      ...delta({ tool_calls: { id: call.id, type: 'function', function: { name: call.name, arguments: '' } } }),
    }),
    ...(call.arguments.match(/[^]{1,8}/gu) ?? []).map((piece) =>
      event('tool-call-delta', { index, ...delta({ tool_calls: { function: { arguments: piece } } }) }),
    ),
    event('tool-call-end', { index }),
  ]);
}

function embed(body: Json): unknown {
  const texts = Array.isArray(body['texts']) ? body['texts'].map(String) : [];
  const size = typeof body['output_dimension'] === 'number' ? body['output_dimension'] : 1024;
  return {
    id: 'embed_simulated',
    texts,
    embeddings: { float: texts.map((text) => embedding(text, size)) },
    response_type: 'embeddings_by_type',
    meta: {
      api_version: { version: '2' },
      billed_units: { input_tokens: texts.reduce((sum, text) => sum + Math.ceil(text.length / 4), 0) },
    },
  };
}

function schemaOf(body: Json): Json | undefined {
  const format = body['response_format'];
  if (!isObject(format) || format['type'] !== 'json_object') return undefined;
  return isObject(format['json_schema']) ? format['json_schema'] : { type: 'object', properties: {} };
}

const failure = ({ message }: Failure): Json => ({ id: 'simulated', message });

/** Cohere chat and embeddings, version 2: named events, ended by `message-end` and `[DONE]`. */
export const cohere: Wire = {
  name: 'cohere',
  chat: ['POST /v2/chat'],
  others: { 'POST /v2/embed': embed },
  streamType: 'text/event-stream',
  failures: {
    quota: FAILED(429, 'You are using a Trial key, which is limited to 1000 API calls / month.'),
    unauthorized: FAILED(401, 'invalid api token'),
    context_overflow: FAILED(400, 'too many tokens: size limit exceeded by 11326 tokens. Try using shorter inputs.'),
    capacity: FAILED(529, 'overloaded'),
    slow_down: FAILED(529, 'overloaded'),
  },
  streamFailure: FAILED(200, 'the model is overloaded'),
  keepAlive: () => ': keep-alive\n\n',
  ask(body) {
    return {
      ...readMessages(body),
      schema: schemaOf(body),
      mustCallTool: body['tool_choice'] === 'REQUIRED',
      stream: body['stream'] === true,
      wantsUsage: true,
    };
  },
  opening: (reply) => [
    event('message-start', {
      id: reply.id,
      ...delta({ role: 'assistant', content: [], tool_plan: '', tool_calls: [], citations: [] }),
    }),
    ...(thinks(reply) ? thoughtFrames(reply) : []),
    ...(reply.parts.length > 0
      ? [event('content-start', { index: textIndex(reply), ...delta({ content: { type: 'text', text: '' } }) })]
      : []),
    ...(reply.toolCalls.length > 0 ? [event('tool-plan-delta', delta({ tool_plan: 'I will look it up.' }))] : []),
  ],
  contents: (reply) => [
    ...reply.parts.map((text) => event('content-delta', { index: textIndex(reply), ...delta({ content: { text } }) })),
    ...toolFrames(reply),
  ],
  closing: (reply) => [
    ...(reply.parts.length > 0 ? [event('content-end', { index: textIndex(reply) })] : []),
    event('message-end', { id: reply.id, delta: { finish_reason: FINISHES[reply.finish], ...counts(reply) } }),
    'data: [DONE]\n\n',
  ],
  whole: (reply) => ({
    id: reply.id,
    finish_reason: FINISHES[reply.finish],
    message: {
      role: 'assistant',
      content: [
        ...(thinks(reply) ? [{ type: 'thinking', thinking: reply.reasoning.join('') }] : []),
        ...(reply.parts.length > 0 ? [{ type: 'text', text: reply.parts.join('') }] : []),
      ],
      ...(reply.toolCalls.length > 0
        ? {
            tool_plan: 'I will look it up.',
            tool_calls: reply.toolCalls.map((call) => ({
              id: call.id,
              type: 'function',
              function: { name: call.name, arguments: call.arguments },
            })),
          }
        : {}),
    },
    ...counts(reply),
  }),
  failure,
  failureFrame: ({ message }) =>
    event('message-end', { id: 'simulated', delta: { finish_reason: 'ERROR', error: message } }) + 'data: [DONE]\n\n',
};
