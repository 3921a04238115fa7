import type { Fault } from './script.ts';

/** What a chat request asks, whatever its wire format. */
export interface Ask {
  model: string;
  /** The text of the last user message. */
  prompt: string;
  /** All text sent, for counting. */
  promptChars: number;
  schema: Record<string, unknown> | undefined;
  tools: { name: string; parameters: Record<string, unknown> }[];
  mustCallTool: boolean;
  stream: boolean;
  /** Whether the caller asked for token counts in the stream. */
  wantsUsage: boolean;
}

export interface Usage {
  inputTokens: number;
  outputTokens: number;
  cachedInputTokens: number;
  /** Also part of the input. */
  cacheWriteTokens: number;
  reasoningTokens: number;
}

/** What the simulated model answers. */
export interface Reply {
  id: string;
  model: string;
  parts: string[];
  /** What the model thinks before it answers, in pieces. */
  reasoning: string[];
  toolCalls: { id: string; name: string; arguments: string }[];
  finish: 'stop' | 'length' | 'tool_calls' | 'content_filter';
  /** Undefined where the provider sends none. */
  usage: Usage | undefined;
  /** `usage: null` stands where there is no count yet. */
  nullUsage: boolean;
}

/** A failure before the answer; each wire puts it into its own body. */
export interface Failure {
  status: number;
  type: string;
  code: string;
  message: string;
  /** What it asks to wait, where it asks that. */
  waitMs?: number;
}

/** One provider's wire format. To add a provider, write one of these and list it in server.ts. */
export interface Wire {
  /** Also the first segment of its paths: `/groq/openai/v1/chat/completions`. OpenAI and Ollama are found without it too. */
  name: string;
  /** `METHOD /path` of the chat calls, after the name; `*` stands for anything but a slash, as in `POST /v1beta/models/*:generateContent`. */
  chat: readonly string[];
  /** The other calls it answers: `METHOD /path`, as in `chat`, → the JSON answer. */
  others: Record<string, (body: Record<string, unknown>, path: string) => unknown>;
  streamType: string;
  /** Where its failures are others than `FAILURES` has; null: it has no such failure, and answers as if none was asked for. */
  failures?: Partial<Record<Fault, Failure | null>>;
  /** What comes as an error inside a 200, where it is not `STREAM_FAILURE`. */
  streamFailure?: Failure;
  /** False: it says nothing about waits in its headers. */
  waitHeaders?: false;
  /** A frame that carries no content and only keeps the connection alive. */
  keepAlive(reply: Reply): string;
  ask(body: Record<string, unknown>, path: string): Ask;
  /** Frames before, with and after the content; each is one whole event of the stream. */
  opening(reply: Reply): string[];
  contents(reply: Reply): string[];
  closing(reply: Reply, ask: Ask): string[];
  whole(reply: Reply): unknown;
  failure(failure: Failure): unknown;
  /** A failure inside a stream that began with status 200. */
  failureFrame(failure: Failure): string;
}

export const FAILURES: Partial<Record<Fault, Failure>> = {
  rate_limit: {
    status: 429,
    type: 'requests',
    code: 'rate_limit_exceeded',
    message: 'Rate limit reached for requests.',
  },
  rate_limit_date: {
    status: 429,
    type: 'tokens',
    code: 'rate_limit_exceeded',
    message: 'Rate limit reached for tokens per min.',
  },
  rate_limit_ms: {
    status: 429,
    type: 'requests',
    code: 'slow_down',
    message: 'Slow down: your request rate rose too fast.',
  },
  quota: {
    status: 429,
    type: 'insufficient_quota',
    code: 'insufficient_quota',
    message: 'You exceeded your current quota, please check your plan and billing details.',
  },
  unauthorized: {
    status: 401,
    type: 'invalid_request_error',
    code: 'invalid_api_key',
    message: 'Incorrect API key provided: sk-wr****ng.',
  },
  payment_required: {
    status: 402,
    type: 'billing_error',
    code: 'credit_balance_exhausted',
    message: 'Your credit balance is too low.',
  },
  forbidden: {
    status: 403,
    type: 'permission_error',
    code: 'unsupported_country_region_territory',
    message: 'Not allowed from this country.',
  },
  model_not_found: {
    status: 404,
    type: 'invalid_request_error',
    code: 'model_not_found',
    message: 'The model does not exist or you do not have access to it: model not found.',
  },
  bad_request: {
    status: 400,
    type: 'invalid_request_error',
    code: 'invalid_value',
    message: 'Invalid value for messages[0].role.',
  },
  context_overflow: {
    status: 400,
    type: 'invalid_request_error',
    code: 'context_length_exceeded',
    message: "This model's maximum context length is 128000 tokens. Please reduce the length of the messages.",
  },
  content_refused: {
    status: 400,
    type: 'invalid_request_error',
    code: 'content_policy_violation',
    message: 'The prompt was rejected by the safety system (content policy).',
  },
  server_error: {
    status: 500,
    type: 'server_error',
    code: 'internal_error',
    message: 'The server had an error while processing your request.',
  },
  unavailable: {
    status: 503,
    type: 'server_error',
    code: 'service_unavailable',
    message: 'The service is not available for a moment.',
  },
  overloaded: { status: 529, type: 'overloaded_error', code: 'overloaded', message: 'Overloaded.' },
  capacity: {
    status: 503,
    type: 'server_error',
    code: 'server_is_overloaded',
    message: 'The engine is at its capacity, please try again later.',
  },
  slow_down: { status: 503, type: 'server_error', code: 'slow_down', message: 'Slow down, please.' },
  unprocessable: {
    status: 422,
    type: 'invalid_request_error',
    code: 'unprocessable',
    message: 'The request is well-formed, but cannot be followed.',
  },
};

/** What comes as an event inside a stream, first or after some content. */
export const STREAM_FAILURE: Failure = {
  status: 503,
  type: 'server_error',
  code: 'server_is_overloaded',
  message: 'The server is overloaded, please try again later.',
};

export type Json = Record<string, unknown>;

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const objects = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isObject) : []);
export const textOf = (value: unknown): string =>
  typeof value === 'string'
    ? value
    : objects(value)
        .map((part) => (typeof part['text'] === 'string' ? part['text'] : ''))
        .join('');

/** What all chat formats with `messages` and OpenAI-like `tools` have in common. */
export function readMessages(body: Json): Pick<Ask, 'model' | 'prompt' | 'promptChars' | 'tools'> {
  const messages = objects(body['messages']);
  const texts = messages.map((message) => textOf(message['content']));
  const last = messages.findLastIndex((message) => message['role'] === 'user');
  return {
    model: typeof body['model'] === 'string' ? body['model'] : '',
    prompt: texts[last] ?? '',
    promptChars: texts.reduce((sum, text) => sum + text.length, 0),
    tools: objects(body['tools']).map((tool) => {
      const made = isObject(tool['function']) ? tool['function'] : {};
      return { name: String(made['name']), parameters: isObject(made['parameters']) ? made['parameters'] : {} };
    }),
  };
}

/** Vectors of `size` that are the same for the same text and have length 1. */
export function embedding(text: string, size: number): number[] {
  let state = 1;
  for (let at = 0; at < text.length; at++) state = (Math.imul(state, 31) + text.charCodeAt(at)) >>> 0;
  const raw = Array.from({ length: size }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  const length = Math.hypot(...raw) || 1;
  return raw.map((value) => value / length);
}
