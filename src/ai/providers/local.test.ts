import { describe, expect, it } from 'vitest';
import type { Engine } from '#src/ai/engines/define.ts';
import { engines } from '#src/ai/engines/index.ts';
import type { ChatRequest, EngineName } from '#src/ai/model.ts';
import { createLocal } from '#src/ai/providers/local.ts';

const local = createLocal();
const turn = (engine: EngineName, input: unknown): ChatRequest => ({
  model: 'local-v1',
  messages: [],
  maxOutputTokens: 1,
  task: { engine, input },
});

async function chunksOf(request: ChatRequest, signal = new AbortController().signal) {
  return Array.fromAsync(local.stream(request, signal));
}

/** What the engine makes of the provider's stream, as the router would. */
async function resultOf<Input, Result>(engine: Engine<Input, Result>, body: object) {
  const input = engine.input.parse(body);
  const reader = engine.read(input);
  const chunks = await chunksOf(turn(engine.name, input));
  const shown = chunks.map((chunk) => (chunk.type === 'text' ? reader.push(chunk.text) : '')).join('');
  const { rest, result } = reader.end({ finishReason: 'stop', toolCalls: [] });
  expect(engine.result.parse(result)).toEqual(result);
  return { shown: shown + rest, result, chunks };
}

it('streams a copilot’s reply word by word and says that no model made it', async () => {
  const { shown, result, chunks } = await resultOf(engines.copilot, {
    context: { nome: 'Joana', produto: 'Bolo de cenoura', preço: 'R$ 45,00' },
    conversationHistory: [{ role: 'user', content: 'Qual o valor do bolo de cenoura?' }],
  });
  expect(shown).toBe('Oi, Joana! O valor de bolo de cenoura é R$ 45,00 😉 Quer que eu já separe pra você?');
  expect(result).toMatchObject({
    suggestion: { text: shown, reasoning: expect.stringContaining('nenhum modelo de IA foi usado') },
  });
  expect(result).toHaveProperty('alternatives.length', 2);
  expect(chunks.length).toBeGreaterThan(15);
});

it('answers in the asked language and tone', async () => {
  const { shown } = await resultOf(engines.copilot, {
    context: 'cliente pergunta o preço',
    language: 'en',
    tone: 'formal',
  });
  expect(shown).toMatch(/^Thank you for contacting us/);
});

it.each([3, 4, 5])('gives %d different smart replies', async (count) => {
  const { shown, result } = await resultOf(engines['smart-replies'], { message: 'cadê meu pedido?', count });
  expect(shown).toBe('');
  expect(result).toHaveProperty('replies.length', count);
});

it('reads the sentiment of one and of a hundred', async () => {
  expect((await resultOf(engines.sentiment, { text: 'ameeei' })).result).toMatchObject({ sentiment: 'positive' });
  const { result } = await resultOf(engines.sentiment, {
    texts: Array.from({ length: 100 }, (_, at) => (at % 2 ? 'péssimo' : 'ótimo')),
  });
  expect(result).toHaveProperty('items.length', 100);
  expect(result).toHaveProperty('items[99].sentiment', 'negative');
});

describe('the stream', () => {
  it('ends once, with a count of words marked as estimated', async () => {
    const chunks = await chunksOf(turn('sentiment', { text: 'muito bom mesmo' }));
    expect(chunks.filter(({ type }) => type === 'end')).toEqual([chunks.at(-1)]);
    expect(chunks.at(-1)).toMatchObject({ usage: { inputTokens: 4, estimated: true } });
  });

  it('stops with the signal’s own reason', async () => {
    const reason = new Error('cancelled by the user');
    await expect(chunksOf(turn('sentiment', { text: 'a' }), AbortSignal.abort(reason))).rejects.toBe(reason);
    const abort = new AbortController();
    const stream = local.stream(turn('copilot', { context: 'oi' }), abort.signal)[Symbol.asyncIterator]();
    await stream.next();
    abort.abort(reason);
    await expect(stream.next()).rejects.toBe(reason);
  });

  it('cannot chat, and says so', async () => {
    expect(local.supports('chat')).toBe(false);
    await expect(chunksOf(turn('chat', {}))).rejects.toMatchObject({ failure: 'model_gone' });
  });
});
