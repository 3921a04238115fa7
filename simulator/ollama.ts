import { embedding, isObject, readMessages, type Json, type Reply, type Wire } from './wire.ts';

const CREATED = '2026-11-23T12:00:00.000000Z';
const line = (value: unknown) => `${JSON.stringify(value)}\n`;

function part(reply: Reply, message: Json): string {
  return line({
    model: reply.model,
    created_at: CREATED,
    message: { role: 'assistant', content: '', ...message },
    done: false,
  });
}

/** Ollama parses the model's arguments itself and drops what is not JSON. */
function argumentsOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

const toolCalls = (reply: Reply) =>
  reply.toolCalls.map((call) => ({ function: { name: call.name, arguments: argumentsOf(call.arguments) } }));

function last(reply: Reply, message: Json): Json {
  return {
    model: reply.model,
    created_at: CREATED,
    message: { role: 'assistant', content: '', ...message },
    done: true,
    // Ollama has no reason of its own for tool calls or filters.
    done_reason: reply.finish === 'length' ? 'length' : 'stop',
    total_duration: 1_000_000,
    load_duration: 100_000,
    ...(reply.usage
      ? {
          prompt_eval_count: reply.usage.inputTokens,
          prompt_eval_duration: 1000,
          eval_count: reply.usage.outputTokens,
          eval_duration: 1000,
        }
      : {}),
  };
}

function embed(body: Json): unknown {
  const inputs = Array.isArray(body['input']) ? body['input'] : [body['input']];
  return {
    model: body['model'],
    embeddings: inputs.map((text) => embedding(String(text), 768)),
    prompt_eval_count: inputs.reduce((sum: number, text) => sum + Math.ceil(String(text).length / 4), 0),
  };
}

/** Ollama's chat, embeddings, tags and version: newline-delimited JSON, ended by `done: true`. */
export const ollama: Wire = {
  name: 'ollama',
  chat: ['POST /api/chat'],
  others: {
    'POST /api/embed': embed,
    'GET /api/tags': () => ({
      models: [
        {
          name: 'llama3.2:latest',
          model: 'llama3.2:latest',
          modified_at: CREATED,
          size: 2_019_393_189,
          digest: 'a80c4f17acd5',
        },
      ],
    }),
    'GET /api/version': () => ({ version: '0.12.6' }),
  },
  streamType: 'application/x-ndjson',
  keepAlive: (reply) => part(reply, {}),
  ask(body) {
    const format = body['format'];
    return {
      ...readMessages(body),
      schema: isObject(format) ? format : format === 'json' ? { type: 'object', properties: {} } : undefined,
      mustCallTool: false,
      stream: body['stream'] !== false,
      wantsUsage: true,
    };
  },
  opening: () => [],
  contents: (reply) => [
    ...reply.reasoning.map((thinking) => part(reply, { thinking })),
    ...reply.parts.map((content) => part(reply, { content })),
    ...toolCalls(reply).map((call) => part(reply, { tool_calls: [call] })),
  ],
  closing: (reply) => [line(last(reply, {}))],
  whole: (reply) =>
    last(reply, {
      content: reply.parts.join(''),
      ...(reply.toolCalls.length > 0 ? { tool_calls: toolCalls(reply) } : {}),
    }),
  failure: ({ message }) => ({ error: message }),
  failureFrame: ({ message }) => line({ error: message }),
};
