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

it('tells an intent, also among labels of one’s own', async () => {
  const { result } = await resultOf(engines.intent, { text: 'quanto custa o plano mensal?' });
  expect(result).toMatchObject({ intent: 'pricing' });
  const own = { text: 'minha encomenda não chegou, cadê o rastreio?', labels: ['Financeiro', 'Entrega'] };
  expect((await resultOf(engines.intent, own)).result).toMatchObject({ intent: 'Entrega' });
});

it('extracts entities with their places, dates told from its clock', async () => {
  const clock = { now: () => new Date('2026-03-11T10:00:00-03:00'), timeZone: 'America/Sao_Paulo' };
  const text = 'Sou Marina Alves, cpf 390.533.447-05, pago cinquenta reais amanhã às 15h';
  const chunks = await Array.fromAsync(
    createLocal(clock).stream(turn('extract-entities', { text }), new AbortController().signal),
  );
  const reader = engines['extract-entities'].read({ text });
  for (const chunk of chunks) if (chunk.type === 'text') reader.push(chunk.text);
  expect(reader.end({ finishReason: 'stop', toolCalls: [] }).result).toMatchObject({
    entities: {
      person: [{ value: 'Marina Alves', start: 4, end: 16 }],
      document: [{ normalized: '39053344705' }],
      money: [{ value: 'cinquenta reais', normalized: 'BRL 50.00' }],
      date: [{ value: 'amanhã às 15h', normalized: '2026-03-12T15:00:00-03:00' }],
    },
  });
});

it('sums a conversation up out of its own sentences, word by word', async () => {
  const { shown, result } = await resultOf(engines.summarize, {
    messages: [
      { role: 'user', content: 'O fogão chegou amassado. Quero a troca.' },
      { role: 'assistant', content: 'Vou verificar o estoque e te aviso amanhã.' },
    ],
  });
  expect(shown).toContain('O fogão chegou amassado.');
  expect(result).toMatchObject({ summary: shown, actionItems: ['Vou verificar o estoque e te aviso amanhã.'] });
});

it('scores a lead by points that add up', async () => {
  const features = { intent: 'purchase', budget: 1000, diasSemContato: 2 };
  const { result } = await resultOf(engines['score-lead'], { features });
  const points = result.contributions.reduce((sum, contribution) => sum + contribution.points, 0);
  expect(result.score).toBeCloseTo(points);
  expect(result).toMatchObject({
    modelVersion: 'rules-2026-11b',
    contributions: [{ feature: 'intent', points: 20 }, {}, {}],
  });
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
