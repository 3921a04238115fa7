import {
  embedding,
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

const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;
const ofType = (name: string, more: Json): Json => ({ '@type': `type.googleapis.com/google.rpc.${name}`, ...more });

const STATUSES: Record<number, string> = {
  400: 'INVALID_ARGUMENT',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

/** `type` is the status of the error where it is not that of the HTTP status, `code` the reason or the quota in its details. */
const FAILED = (status: number, type: string, code: string, message: string): Failure => ({
  status,
  type,
  code,
  message,
});
const OVERLOADED = FAILED(503, '', '', 'The model is overloaded. Please try again later.');

function failure({ status, type, code, message, waitMs }: Failure): Json {
  const details = [
    ...(code === 'API_KEY_INVALID' ? [ofType('ErrorInfo', { reason: code, domain: 'googleapis.com' })] : []),
    ...(code.startsWith('Generate') ? [ofType('QuotaFailure', { violations: [{ quotaId: code }] })] : []),
    ...(waitMs === undefined ? [] : [ofType('RetryInfo', { retryDelay: `${waitMs / 1000}s` })]),
  ];
  const named = type === 'FAILED_PRECONDITION' ? type : (STATUSES[status] ?? 'UNKNOWN');
  return { error: { code: status, message, status: named, ...(details.length > 0 ? { details } : {}) } };
}

/** Thoughts are counted beside the answer. */
function counts(usage: Usage | undefined): Json {
  if (!usage) return {};
  return {
    usageMetadata: {
      promptTokenCount: usage.inputTokens,
      candidatesTokenCount: usage.outputTokens - usage.reasoningTokens,
      totalTokenCount: usage.inputTokens + usage.outputTokens,
      ...(usage.cachedInputTokens > 0 ? { cachedContentTokenCount: usage.cachedInputTokens } : {}),
      ...(usage.reasoningTokens > 0 ? { thoughtsTokenCount: usage.reasoningTokens } : {}),
    },
  };
}

const FINISHES: Record<Reply['finish'], string> = {
  stop: 'STOP',
  tool_calls: 'STOP',
  length: 'MAX_TOKENS',
  content_filter: 'SAFETY',
};

const response = (reply: Reply, parts: Json[], more: Json = {}, usage = reply.usage): Json => ({
  candidates: [{ content: { role: 'model', parts }, index: 0, ...more }],
  ...counts(usage),
  modelVersion: reply.model,
  responseId: reply.id,
});

/** Google reads the model's calls itself; one it cannot read ends the answer. */
function callParts(reply: Reply): Json[] {
  return reply.toolCalls.flatMap(({ name, arguments: text }) => {
    try {
      return [{ functionCall: { name, args: JSON.parse(text) as unknown } }];
    } catch {
      return [];
    }
  });
}

const isMalformed = (reply: Reply) => callParts(reply).length < reply.toolCalls.length;

/** The end: why the model stopped, or, where nothing was said, why the filter before it did not let it speak. */
function last(reply: Reply, parts: Json[]): Json {
  if (reply.finish === 'content_filter' && reply.parts.length === 0)
    return { promptFeedback: { blockReason: 'PROHIBITED_CONTENT' }, ...counts(reply.usage), modelVersion: reply.model };
  const finishReason = isMalformed(reply) ? 'MALFORMED_FUNCTION_CALL' : FINISHES[reply.finish];
  return response(reply, parts, { finishReason });
}

const thoughts = (reply: Reply): Json[] => reply.reasoning.map((text) => ({ text, thought: true }));

function schemaOf(config: Json): Json | undefined {
  const schema = config['responseJsonSchema'] ?? config['responseSchema'];
  if (isObject(schema)) return schema;
  return config['responseMimeType'] === 'application/json' ? { type: 'object', properties: {} } : undefined;
}

const partsText = (content: unknown): string => (isObject(content) ? textOf(content['parts']) : '');

function askOf(body: Json, path: string): Ask {
  const contents = objects(body['contents']);
  const last = contents.findLast((one) => one['role'] === 'user' && partsText(one) !== '');
  const tools = objects(body['tools']).flatMap((tool) => objects(tool['functionDeclarations']));
  const config = isObject(body['generationConfig']) ? body['generationConfig'] : {};
  const calling = isObject(body['toolConfig']) ? body['toolConfig']['functionCallingConfig'] : undefined;
  return {
    model: /models\/([^/:]+):/.exec(path)?.[1] ?? '',
    prompt: partsText(last),
    promptChars: [body['systemInstruction'], ...contents].map(partsText).join('').length,
    tools: tools.map((tool) => {
      const parameters = tool['parametersJsonSchema'] ?? tool['parameters'];
      return { name: String(tool['name']), parameters: isObject(parameters) ? parameters : {} };
    }),
    schema: schemaOf(config),
    mustCallTool: isObject(calling) && calling['mode'] === 'ANY',
    stream: path.endsWith(':streamGenerateContent'),
    wantsUsage: true,
  };
}

function vectorOf(request: Json): Json {
  const size = typeof request['outputDimensionality'] === 'number' ? request['outputDimensionality'] : 3072;
  return { values: embedding(partsText(request['content']), size) };
}

/** Gemini: unnamed events without an end marker; an error in the middle is bare JSON. */
export const google: Wire = {
  name: 'google',
  chat: ['POST /v1beta/models/*:generateContent', 'POST /v1beta/models/*:streamGenerateContent'],
  others: {
    'POST /v1beta/models/*:embedContent': (body) => ({ embedding: vectorOf(body) }),
    'POST /v1beta/models/*:batchEmbedContents': (body) => ({ embeddings: objects(body['requests']).map(vectorOf) }),
  },
  streamType: 'text/event-stream',
  waitHeaders: false,
  failures: {
    quota: FAILED(
      429,
      '',
      'GenerateRequestsPerDayPerProjectPerModel-FreeTier',
      'You exceeded your current quota, please check your plan and billing details.',
    ),
    unauthorized: FAILED(400, '', 'API_KEY_INVALID', 'API key not valid. Please pass a valid API key.'),
    payment_required: FAILED(
      400,
      'FAILED_PRECONDITION',
      '',
      'Gemini API free tier is not available in your country. Please enable billing on your project.',
    ),
    forbidden: FAILED(400, 'FAILED_PRECONDITION', '', 'User location is not supported for the API use.'),
    context_overflow: FAILED(
      400,
      '',
      '',
      'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).',
    ),
    // The answer says so, with status 200.
    content_refused: null,
    overloaded: OVERLOADED,
    capacity: OVERLOADED,
    slow_down: OVERLOADED,
    unprocessable: FAILED(400, '', '', 'The request cannot be followed.'),
  },
  streamFailure: OVERLOADED,
  keepAlive: () => ': keep-alive\n\n',
  ask: askOf,
  opening: (reply) => thoughts(reply).map((part) => event(response(reply, [part]))),
  contents: (reply) => [
    ...reply.parts.map((text) =>
      event(response(reply, [{ text }], {}, reply.usage && { ...reply.usage, outputTokens: 1, reasoningTokens: 0 })),
    ),
    ...callParts(reply).map((part) => event(response(reply, [part]))),
  ],
  closing: (reply) => [event(last(reply, [{ text: '' }]))],
  whole: (reply) =>
    last(reply, [
      ...thoughts(reply),
      ...(reply.parts.length > 0 ? [{ text: reply.parts.join('') }] : []),
      ...callParts(reply),
    ]),
  failure,
  failureFrame: (failed) => `${JSON.stringify(failure(failed), undefined, 2)}\n`,
};
