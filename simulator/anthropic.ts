import {
  isObject,
  objects,
  textOf,
  type Ask,
  type Failure,
  type Json,
  type Reply,
  type Usage,
  type Wire,
} from './wire.ts';

const event = (type: string, more: Json = {}) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
const idOf = (reply: Reply) => reply.id.replace('chatcmpl', 'msg');
const thinks = (reply: Reply) => reply.reasoning.length > 0;

const TYPES: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  422: 'invalid_request_error',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};

/** Its codes are the `error_code` of the details. */
const FAILED = (status: number, code: string, message: string): Failure => ({ status, type: '', code, message });

function failure({ status, code, message }: Failure): Json {
  const details = OWN_CODES.has(code) ? { details: { error_code: code } } : {};
  return {
    type: 'error',
    error: { type: TYPES[status] ?? 'api_error', message, ...details },
    request_id: 'req_simulated',
  };
}

const OWN_CODES = new Set(['enforced_spend_limit_reached', 'ramp_limit_exceeded']);

/** Cached input is counted beside the input. */
function counts(usage: Usage | undefined): Json {
  if (!usage) return {};
  return {
    usage: {
      input_tokens: usage.inputTokens - usage.cachedInputTokens - usage.cacheWriteTokens,
      cache_read_input_tokens: usage.cachedInputTokens,
      cache_creation_input_tokens: usage.cacheWriteTokens,
      output_tokens: usage.outputTokens,
      output_tokens_details: { thinking_tokens: usage.reasoningTokens },
    },
  };
}

const STOPS: Record<Reply['finish'], string> = {
  stop: 'end_turn',
  length: 'max_tokens',
  tool_calls: 'tool_use',
  content_filter: 'refusal',
};

const message = (reply: Reply, more: Json): Json => ({
  id: idOf(reply),
  type: 'message',
  role: 'assistant',
  model: reply.model,
  content: [],
  stop_reason: null,
  stop_sequence: null,
  ...more,
});

const textIndex = (reply: Reply) => (thinks(reply) ? 1 : 0);
const textStop = (reply: Reply) =>
  reply.parts.length > 0 ? [event('content_block_stop', { index: textIndex(reply) })] : [];

function thoughtFrames(reply: Reply): string[] {
  return [
    event('content_block_start', { index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } }),
    ...reply.reasoning.map((thinking) =>
      event('content_block_delta', { index: 0, delta: { type: 'thinking_delta', thinking } }),
    ),
    event('content_block_delta', { index: 0, delta: { type: 'signature_delta', signature: 'c2ln' } }),
    event('content_block_stop', { index: 0 }),
  ];
}

/** A block for each call: its name, then its arguments in pieces, the first of them empty. */
function toolFrames(reply: Reply): string[] {
  const first = textIndex(reply) + (reply.parts.length > 0 ? 1 : 0);
  return reply.toolCalls.flatMap((call, at) => {
    const index = first + at;
    const block = { type: 'tool_use', id: call.id.replace('call', 'toolu'), name: call.name, input: {} };
    return [
      event('content_block_start', { index, content_block: block }),
      ...['', ...(call.arguments.match(/[^]{1,8}/gu) ?? [])].map((piece) =>
        event('content_block_delta', { index, delta: { type: 'input_json_delta', partial_json: piece } }),
      ),
      event('content_block_stop', { index }),
    ];
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // What a model that writes no JSON comes to where it is not streamed.
    return text;
  }
}

function askOf(body: Json): Ask {
  const messages = objects(body['messages']);
  const texts = [textOf(body['system']), ...messages.map((one) => textOf(one['content']))];
  const last = messages.findLast((one) => one['role'] === 'user' && textOf(one['content']) !== '');
  const config = isObject(body['output_config']) ? body['output_config'] : {};
  const format = isObject(config['format']) ? config['format'] : {};
  const choice = isObject(body['tool_choice']) ? body['tool_choice']['type'] : undefined;
  return {
    model: typeof body['model'] === 'string' ? body['model'] : '',
    prompt: textOf(last?.['content']),
    promptChars: texts.join('').length,
    tools: objects(body['tools']).map((tool) => ({
      name: String(tool['name']),
      parameters: isObject(tool['input_schema']) ? tool['input_schema'] : {},
    })),
    schema: isObject(format['schema']) ? format['schema'] : undefined,
    mustCallTool: choice === 'any' || choice === 'tool',
    stream: body['stream'] === true,
    wantsUsage: true,
  };
}

/** Anthropic messages: named events, ended by `message_stop`. */
export const anthropic: Wire = {
  name: 'anthropic',
  chat: ['POST /v1/messages'],
  others: {},
  streamType: 'text/event-stream; charset=utf-8',
  failures: {
    rate_limit_ms: FAILED(429, 'ramp_limit_exceeded', 'Your organization has increased its usage too quickly.'),
    quota: FAILED(429, 'enforced_spend_limit_reached', 'You have reached your specified API usage limits.'),
    context_overflow: FAILED(400, '', 'prompt is too long: 250000 tokens > 200000 maximum'),
    content_refused: FAILED(400, '', 'Output blocked by content filtering policy'),
    capacity: FAILED(529, '', 'Overloaded'),
    slow_down: FAILED(529, '', 'Overloaded'),
  },
  streamFailure: FAILED(529, '', 'Overloaded'),
  keepAlive: () => event('ping'),
  ask: askOf,
  opening: (reply) => [
    event('message_start', { message: message(reply, counts(reply.usage && { ...reply.usage, outputTokens: 1 })) }),
    event('ping'),
    ...(thinks(reply) ? thoughtFrames(reply) : []),
    ...(reply.parts.length > 0
      ? [event('content_block_start', { index: textIndex(reply), content_block: { type: 'text', text: '' } })]
      : []),
  ],
  contents: (reply) => [
    ...reply.parts.map((text) =>
      event('content_block_delta', { index: textIndex(reply), delta: { type: 'text_delta', text } }),
    ),
    ...(reply.toolCalls.length > 0 ? [...textStop(reply), ...toolFrames(reply)] : []),
  ],
  closing: (reply) => [
    ...(reply.toolCalls.length > 0 ? [] : textStop(reply)),
    event('message_delta', {
      delta: { stop_reason: STOPS[reply.finish], stop_sequence: null },
      ...counts(reply.usage),
    }),
    event('message_stop'),
  ],
  whole: (reply) =>
    message(reply, {
      content: [
        ...(thinks(reply) ? [{ type: 'thinking', thinking: reply.reasoning.join(''), signature: 'c2ln' }] : []),
        ...(reply.parts.length > 0 ? [{ type: 'text', text: reply.parts.join('') }] : []),
        ...reply.toolCalls.map((call) => ({
          type: 'tool_use',
          id: call.id.replace('call', 'toolu'),
          name: call.name,
          input: parsed(call.arguments),
        })),
      ],
      stop_reason: STOPS[reply.finish],
      ...counts(reply.usage),
    }),
  failure,
  failureFrame: (failed) => `event: error\ndata: ${JSON.stringify(failure(failed))}\n\n`,
};
