import { openaiWire, piecewise } from './openai-shape.ts';

/** Groq: OpenAI's shape under /openai/v1, counts beside the last chunk's choices and once more in `x_groq`. */
export const groq = openaiWire({
  name: 'groq',
  base: '/openai/v1',
  models: ['llama-3.3-70b-versatile', 'openai/gpt-oss-120b'],
  embeds: false,
  failures: {
    quota: {
      status: 400,
      type: 'invalid_request_error',
      code: 'blocked_api_access',
      message: 'API access is blocked: the spend limit of your organization is reached.',
    },
    context_overflow: {
      status: 413,
      type: 'tokens',
      code: 'rate_limit_exceeded',
      message: 'Request too large for model on tokens per minute (TPM): Limit 6000, Requested 140000.',
    },
    capacity: {
      status: 498,
      type: 'internal_server_error',
      code: 'capacity_exceeded',
      message: 'Flex tier capacity exceeded, please try again later.',
    },
    unprocessable: {
      status: 422,
      type: 'invalid_request_error',
      code: '',
      message: 'The model wrote a tool call that does not fit the tools of the request.',
    },
  },
  failure: ({ message, type, code }) => ({ error: { message, type, ...(code ? { code } : {}) } }),
  reasoning: (reasoning) => ({ reasoning }),
  toolDeltas: piecewise,
  nullUsage: false,
  lastUsage: (usage) => ({ usage, x_groq: { id: 'req_simulated', usage } }),
});
