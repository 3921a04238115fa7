import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { intentOf, INTENTS } from '#src/ai/local/intent.ts';
import { macroF1, readCases, readChats } from '#src/ai/local/measure.ts';
import { labelOf } from '#src/ai/local/own-labels.ts';
import { sentimentOf } from '#src/ai/local/sentiment.ts';
import { SENTIMENTS, trainingMessages, trainingReviews } from '#src/ai/local/training/messages.ts';
import { fitSentiment, stored } from '#src/ai/local/training/train.ts';

const share = (pairs: { label: string; guess: string }[]) =>
  pairs.filter(({ label, guess }) => label === guess).length / pairs.length;

describe('on messages it never learned from', () => {
  const chats = readChats('chat-heldout');

  it('keeps the quality of sentiment that docs/accuracy.md states', () => {
    const pairs = chats.map(({ label, text }) => ({ label, guess: sentimentOf(text).sentiment }));
    expect(macroF1(pairs)).toBeGreaterThan(0.87);
  });

  it('keeps the quality of intents that docs/accuracy.md states', () => {
    const inChats = chats.map(({ intent, text }) => ({ label: intent, guess: intentOf(text).intent }));
    const inThree = readCases('intent-heldout').map(({ label, text }) => ({ label, guess: intentOf(text).intent }));
    expect(share(inChats)).toBeGreaterThan(0.8);
    expect(macroF1(inThree)).toBeGreaterThan(0.73);
  });

  it('shares no message with those it learned from, but for the shortest', () => {
    const learned = new Set([...trainingMessages(), ...trainingReviews()].map(({ text }) => text.toLowerCase()));
    const same = chats.filter(({ text }) => text.length > 20 && learned.has(text.toLowerCase()));
    expect(same).toEqual([]);
  });
});

const Stored = z.object({ weights: z.base64() });
const bytesOf = (json: string) => Buffer.from(Stored.parse(JSON.parse(json)).weights, 'base64');

it('has the weights that its training messages give', () => {
  const kept = bytesOf(readFileSync(new URL('weights/sentiment.json', import.meta.url), 'utf8'));
  const again = bytesOf(stored(SENTIMENTS, fitSentiment()));
  expect(again.length).toBe(kept.length);
  // Exponentials may differ in their last bit from one processor to the next.
  const other = again.filter((byte, at) => byte !== kept[at]).length;
  expect(other / kept.length).toBeLessThan(0.01);
});

it('knows every label of its messages', () => {
  for (const { sentiment, intent, language } of [...trainingMessages(), ...trainingReviews()]) {
    expect(SENTIMENTS).toContain(sentiment);
    expect(INTENTS).toContain(intent);
    expect(['pt', 'en', 'es']).toContain(language);
  }
});

describe('labels of a workspace’s own', () => {
  const labels = ['Financeiro', 'Entrega', 'Suporte técnico', 'Vendas', 'Elogio', 'Outros'];
  it.each([
    ['minha encomenda não chegou, qual o rastreio?', 'Entrega'],
    ['fui cobrado duas vezes na fatura do cartão', 'Financeiro'],
    ['o sistema dá erro na tela de login', 'Suporte técnico'],
    ['quero comprar 10 unidades', 'Vendas'],
    ['amei o atendimento, parabéns!', 'Elogio'],
    ['xyz', 'Outros'],
  ])('sorts "%s" under %s', (text, label) => expect(labelOf(text, labels).intent).toBe(label));

  it('takes a label’s own words, in any spelling of it', () => {
    expect(labelOf('tem vaga para aula de natação?', ['musculacao', 'aula_de_natacao']).intent).toBe('aula_de_natacao');
    const { intent, confidence } = labelOf('xyz', ['azul', 'verde']);
    expect(intent).toBe('azul');
    expect(confidence).toBeLessThanOrEqual(0.5);
  });
});
