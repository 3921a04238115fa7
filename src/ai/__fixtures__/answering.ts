// The network as a fetch that answers with exactly these bytes: for what the simulator does not say.
import type { ChatRequest } from '#src/ai/model.ts';

export const TURN: ChatRequest = {
  model: 'any',
  messages: [
    { role: 'system', content: 'Be short.' },
    { role: 'user', content: 'Where is my order?' },
    {
      role: 'assistant',
      content: 'I will look.',
      toolCalls: [
        { id: 'call_1', name: 'find_order', arguments: '{"id":7}' },
        { id: 'call:2', name: 'find_phone', arguments: '[1' },
      ],
    },
    { role: 'tool', content: '{"status":"sent"}', toolCallId: 'call_1' },
    { role: 'tool', content: 'none', toolCallId: 'call:2' },
    { role: 'system', content: 'Answer in English.' },
    { role: 'user', content: 'And now?' },
  ],
  tools: [
    {
      name: 'find_order',
      description: 'Finds one',
      parameters: { type: 'object', properties: { id: { type: 'integer' } } },
    },
  ],
  maxOutputTokens: 300,
  temperature: 0.2,
  task: { engine: 'chat', input: {} },
};

export const ASK: ChatRequest = {
  model: 'any',
  messages: [{ role: 'user', content: 'Hello there' }],
  maxOutputTokens: 50,
  task: { engine: 'chat', input: {} },
};

/** What was asked, and a `fetch` that answers it. */
export function answering(body: string, init: ResponseInit = {}) {
  const asked: { url: string; headers: Headers; body: string }[] = [];
  const fetch: typeof globalThis.fetch = async (input, sent) => {
    asked.push({
      url: input instanceof Request ? input.url : String(input),
      headers: new Headers(sent?.headers),
      body: typeof sent?.body === 'string' ? sent.body : '',
    });
    return new Response(body, { headers: { 'content-type': 'application/json' }, ...init });
  };
  return { fetch, asked };
}
