import { afterAll, expect, it } from 'vitest';
import { likelyTokens } from '#src/ai/tokens.ts';
import { createTokenizer } from '#src/ai/tokenizer.ts';

const tokenizer = createTokenizer();
afterAll(() => tokenizer.close());

it('counts as the vendors do, and takes a special token for text', async () => {
  expect(await tokenizer.count('o200k_base', ['Hello, world!'])).toBe(4);
  expect(await tokenizer.count('cl100k_base', ['tiktoken is great!'])).toBe(6);
  expect(await tokenizer.count('o200k_base', ['<|endoftext|>'])).toBeGreaterThan(1);
  expect(await tokenizer.count('o200k_base', ['', 'Hello, world!', 'Hello, world!'])).toBe(8);
});

it.each([
  ['one long run', 'a'.repeat(400_000)],
  ['spaces, then marks', ' '.repeat(200_000) + '!'.repeat(200_000)],
  ['special tokens', '<|endoftext|>'.repeat(30_000)],
  ['half emoji', '\ud83d'.repeat(200_000)],
])('is quick with %s', { retry: 3 }, async (_, text) => {
  let late = 0;
  let last = performance.now();
  const watch = setInterval(() => {
    late = Math.max(late, performance.now() - last);
    last = performance.now();
  }, 5);
  const began = performance.now();
  expect(await tokenizer.count('o200k_base', [text])).toBeGreaterThan(1000);
  clearInterval(watch);
  expect(performance.now() - began).toBeLessThan(8000);
  // The server goes on meanwhile.
  expect(late).toBeLessThan(1000);
});

it('starts again after it was left alone, and refuses what waits when it is closed', async () => {
  const short = createTokenizer(10);
  expect(await short.count('o200k_base', ['one'])).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(await short.count('o200k_base', ['one two'])).toBe(2);
  const waits = short.count('o200k_base', ['three']);
  await Promise.all([expect(waits).rejects.toThrow('closed'), short.close()]);
});

it('likely tokens are near the count, and pieces add up', async () => {
  const texts = [
    'Olá! Gostaria de saber o preço da camiseta azul tamanho M, e se vocês entregam em São Paulo até sexta-feira.',
    'Claro! A entrega para o seu CEP leva de 2 a 4 dias úteis e custa R$ 18,90. Posso separar o tamanho M para você?',
    'Hello! I would like to know the price of the blue shirt in size M, and whether you can deliver by Friday.',
    '¡Hola! Quisiera saber cuánto cuesta el envío a Bogotá y si tienen disponible la chaqueta en color verde.',
    '{"sentiment":"negative","confidence":0.87,"reasons":["o cliente reclama do atraso"],"urgency":"high"}',
    '你好，我想知道这件蓝色衬衫的价格，以及你们能否在星期五之前送到上海。',
  ];
  for (const text of texts) {
    const ratio = likelyTokens(text) / (await tokenizer.count('o200k_base', [text]));
    expect(ratio).toBeGreaterThan(0.75);
    expect(ratio).toBeLessThan(1.3);
    expect(likelyTokens(text.slice(0, 17)) + likelyTokens(text.slice(17))).toBeCloseTo(likelyTokens(text), 6);
  }
});
