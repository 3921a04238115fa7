import { describe, expect, it } from 'vitest';
import { sameness } from '#src/ai/engines/answer-text.ts';
import { groundingOf } from '#src/ai/local/grounding.ts';
import { INTENTS } from '#src/ai/local/intent.ts';
import { repliesTo } from '#src/ai/local/replies.ts';
import { slotsOf } from '#src/ai/local/slots.ts';
import { fill, TEMPLATES, TONES } from '#src/ai/local/templates.ts';

const talk = (message: string, background = '') => ({ message, customer: message, background });

describe('slots', () => {
  it.each([
    ['Oi, meu nome é Joana, tudo bem?', '', { name: 'Joana' }],
    ['oi', 'Nome: Carlos Souza', { name: 'Carlos' }],
    ['oi', 'Customer name: anna', { name: 'Anna' }],
    ['qual o valor do bolo de cenoura?', '', { product: 'bolo de cenoura' }],
    ['Quanto custa a entrega no Centro?', '', { product: 'entrega' }],
    ['Quanto custa a cafeteira de 1,2 litro e quando chega?', '', { product: 'cafeteira de 1,2 litro' }],
    ['how much is the blue shirt for tomorrow?', '', { product: 'blue shirt' }],
    ['qual o valor do bolo?', 'Bolo de cenoura: R$ 45,00\nTorta: R$ 60,00', { product: 'bolo', price: 'R$ 45,00' }],
    ['qual o valor do bolo?', 'Bolo P: R$ 45,00\nBolo G: R$ 60,00', { product: 'bolo' }],
    ['qual o valor do bolo?', 'Torta: R$ 60,00', { product: 'bolo' }],
    ['qual o valor do bolo?', 'interesse: bolo; preço: R$ 45,00', { product: 'bolo', price: 'R$ 45,00' }],
    ['qual o valor do bolo?', 'interesse: bolo; última compra: R$ 300,00', { product: 'bolo' }],
    ['qual o valor?', 'Torta: R$ 60,00', {}],
    ['tudo bem?', '', {}],
  ])('%s with %j gives %j', (message, background, slots) => expect(slotsOf(talk(message, background))).toEqual(slots));

  it('leaves out the part whose slot is unknown', () => {
    expect(fill('Oi[, {name}]! O valor[ de {product}] é {price}.', { price: 'R$ 5' })).toBe('Oi! O valor é R$ 5.');
    expect(fill('Oi[, {name}]!', { name: 'Ana $& [x] {price}' })).toBe('Oi, Ana $& [x] {price}!');
  });
});

it.each(['pt', 'en', 'es'] as const)('has a sound template for every situation and tone in %s', (language) => {
  const texts = Object.values(TEMPLATES[language]).flatMap((tones) => TONES.map((tone) => tones[tone]));
  expect(Object.keys(TEMPLATES[language])).toEqual(expect.arrayContaining([...INTENTS]));
  for (const text of texts) {
    for (const slots of [{ price: 'R$ 5' }, { name: 'Ana', product: 'bolo', price: 'R$ 5' }]) {
      expect(fill(text, slots)).not.toMatch(/[[\]{}]|\s[!?.,]|\s{2}|^\s|\s$/u);
    }
    // A number in a template would be a made-up fact.
    expect(text).not.toMatch(/\d/u);
  }
});

it.each([
  ['oi, tudo bem?', 'greeting', /Como posso/],
  ['Quanto custa a entrega?', 'pricing', /confirmar o valor de entrega/],
  ['meu pedido veio quebrado, que absurdo', 'complaint', /sinto muito/],
  ['obrigada, amei!', 'other', /Eu que agradeço/],
  ['quero marcar um horário', 'scheduling', /dia e horário/],
  ['xyz', 'other', /mais/],
])('answers %s', (message, intent, text) => {
  const found = repliesTo(talk(message), 'pt');
  expect(found.intent).toBe(intent);
  expect(found.replies[0]?.text).toMatch(text);
  expect(found.replies[0]?.tone).toBe('friendly');
});

it('states a price only where the context does', () => {
  expect(repliesTo(talk('qual o valor do bolo?', 'Bolo: R$ 45,00'), 'pt').replies[0]?.text).toContain(
    'O valor de bolo é R$ 45,00',
  );
  for (const { text } of repliesTo(talk('qual o valor do bolo de 50 reais?'), 'pt').replies)
    expect(text).not.toMatch(/R\$|é \d/u);
});

it('gives at least five different replies to anything, the surest first', () => {
  for (const language of ['pt', 'en', 'es'] as const) {
    for (const message of ['oi', '', 'quanto custa?', 'cancelar', 'reclamação, comprar, agendar', '😡']) {
      const { replies } = repliesTo(talk(message), language, 'formal');
      expect(new Set(replies.map(({ text }) => sameness(text))).size).toBe(replies.length);
      expect(replies.length).toBeGreaterThanOrEqual(5);
      expect(replies[0]?.tone).toBe('formal');
      expect(replies[0]?.confidence).toBe(Math.max(...replies.map(({ confidence }) => confidence)));
    }
  }
});

describe('grounding', () => {
  it.each([
    ['O bolo de cenoura custa R$ 45,00', 'qual o valor do bolo de cenoura? R$ 45,00 custa', 1],
    ['O bolo custa 99', 'bolo', 0.2],
    ['Falei com a Marina ontem', 'falei ontem', 0.4],
    ['Oi!', '', 0.5],
    ['abacaxi', '', 0],
  ])('of %s in %s is %d', (reply, source, share) => expect(groundingOf(reply, source)).toBe(share));
});
