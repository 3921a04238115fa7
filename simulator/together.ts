import { openaiError, openaiWire, piecewise } from './openai-shape.ts';
import type { Failure } from './wire.ts';

const SPENT: Failure = {
  status: 402,
  type: 'credit_limit',
  code: '',
  message: 'Credit limit exceeded, please add credit in your settings.',
};

/** Together: OpenAI's shape, ends with `eos`, has `usage: null` before the counts. */
export const together = openaiWire({
  name: 'together',
  base: '/v1',
  models: ['meta-llama/Llama-3.3-70B-Instruct-Turbo', 'openai/gpt-oss-20b'],
  embeds: true,
  failures: {
    quota: SPENT,
    payment_required: SPENT,
    // A 403 is always about the length.
    forbidden: null,
    model_not_found: {
      status: 404,
      type: 'invalid_request_error',
      code: 'model_not_available',
      message: 'Unable to access the model.',
    },
    context_overflow: {
      status: 403,
      type: 'invalid_request_error',
      code: '',
      message: '`inputs` tokens + `max_new_tokens` must be <= 131073. Given: 140000 `inputs` tokens.',
    },
    capacity: {
      status: 503,
      type: 'service_unavailable',
      code: '',
      message: 'The engine is overloaded, please try again later.',
    },
  },
  failure: openaiError,
  reasoning: (reasoning_content) => ({ reasoning_content }),
  toolDeltas: piecewise,
  finish: (finish) => (finish === 'stop' ? 'eos' : finish),
  nullUsage: true,
  lastUsage: (usage) => ({ usage }),
});
