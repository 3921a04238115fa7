import { embeddings, openaiWire } from './openai-shape.ts';
import type { Failure, Wire } from './wire.ts';

const LIMITED: Failure = { status: 429, type: 'rate_limited', code: '1300', message: 'Rate limit exceeded' };

/** Nine letters and digits. */
const callId = (id: string) =>
  id
    .replaceAll(/[^a-zA-Z0-9]/g, '')
    .padStart(9, '0')
    .slice(-9);

/** Its errors stand at the top of the body; the two of its gateway and of its validation have a `detail` in place of all that. */
function failure({ status, message, type, code }: Failure): unknown {
  if (status === 401) return { detail: 'Unauthorized' };
  if (status === 422) return { detail: [{ type: 'missing', loc: ['body', 'messages'], msg: message }] };
  return { object: 'error', message, type, param: null, code: code || null };
}

const shape = openaiWire({
  name: 'mistral',
  base: '/v1',
  models: ['mistral-large-latest', 'mistral-small-latest'],
  embeds: false,
  failures: {
    rate_limit: LIMITED,
    rate_limit_date: LIMITED,
    rate_limit_ms: LIMITED,
    quota: { status: 402, type: 'payment_required', code: '', message: 'The credit of your account is used up.' },
    model_not_found: { status: 400, type: 'invalid_model', code: '1500', message: 'Invalid model: none-such' },
    context_overflow: {
      status: 400,
      type: 'invalid_request_prompt',
      code: '3051',
      message: 'Prompt contains 300000 tokens, too large for model with 262144 maximum context length',
    },
    capacity: {
      status: 429,
      type: 'invalid_request_error',
      code: '',
      message: 'Service tier capacity exceeded for this model.',
    },
    server_error: { status: 500, type: 'internal_server_error', code: '1000', message: 'Internal server error' },
    unavailable: { status: 503, type: 'unreachable_backend', code: '1100', message: 'Service unavailable.' },
  },
  streamFailure: {
    status: 429,
    type: 'invalid_request_error',
    code: '',
    message: 'Service tier capacity exceeded for this model.',
  },
  failure,
  reasoning: (text) => ({ content: [{ type: 'thinking', thinking: [{ type: 'text', text }] }] }),
  callId,
  toolDeltas: (call, index) => [
    { tool_calls: [{ index, id: callId(call.id), function: { name: call.name, arguments: call.arguments } }] },
  ],
  nullUsage: false,
  lastUsage: (usage) => ({ usage }),
});

/** Mistral: OpenAI's shape, whole tool calls in one piece, reasoning as a part of the content, counts beside the last choices. */
export const mistral: Wire = {
  ...shape,
  others: {
    ...shape.others,
    'POST /v1/embeddings': (body) => ({
      id: 'embd-simulated',
      ...embeddings({ ...body, dimensions: body['output_dimension'] ?? 1024 }),
    }),
  },
};
