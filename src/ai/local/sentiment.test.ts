import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { macroF1, readCases } from '#src/ai/local/measure.ts';
import { sentimentOf } from '#src/ai/local/sentiment.ts';

const f1 = (name: string) =>
  macroF1(readCases(`sentiment-${name}`).map(({ label, text }) => ({ label, guess: sentimentOf(text).sentiment })));

it('keeps the quality that docs/accuracy.md states', () => {
  expect(f1('tuning')).toBeGreaterThan(0.97);
  expect(f1('heldout')).toBeGreaterThan(0.95);
});

it('counts macro-F1 over all labels alike', () => {
  const pairs = [
    { label: 'a', guess: 'a' },
    { label: 'a', guess: 'b' },
    { label: 'b', guess: 'b' },
  ];
  expect(macroF1(pairs)).toBeCloseTo((2 / 3 + 2 / 3) / 2);
});

const score = (text: string) => sentimentOf(text).score;
const confidence = (text: string) => sentimentOf(text).confidence;

describe('what changes a word', () => {
  it.each([
    ['mto bom', 'bom'],
    ['bom demais', 'bom'],
    ['top d+', 'top'],
    ['muito bom!!!', 'muito bom'],
    ['BOM mesmo', 'bom mesmo'],
    ['ameeei', 'gostei'],
    ['bom', 'pouco bom'],
    ['bom, mas caro', 'caro, mas horrível'],
    ['caro, mas bom', 'bom, mas caro'],
    ['bom 😍', 'bom 😡'],
    ['very good', 'good'],
    ['good', 'not good'],
    ["it's good", "it isn't good"],
    ['muy bueno', 'bueno'],
  ])('%s is better than %s', (better, worse) => expect(score(better)).toBeGreaterThan(score(worse)));

  it.each([
    ['mto bom', 'positive'],
    ['n gostei', 'negative'],
    ['top d+', 'positive'],
    ['vlw', 'positive'],
    ['aff', 'negative'],
    ['pessimo', 'negative'],
    ['péssimo', 'negative'],
    ['ameeei', 'positive'],
    ['nada ruim', 'positive'],
    ['não é nada mal', 'positive'],
    ['não foi bom', 'negative'],
    ['não. bom!', 'positive'],
    ['bom dia', 'neutral'],
    ['é bom pra pele oleosa?', 'neutral'],
    ['', 'neutral'],
    ['constructor __proto__ toString', 'neutral'],
  ])('%s is %s', (text, sentiment) => expect(sentimentOf(text).sentiment).toBe(sentiment));
});

it('names feelings, and none that was denied', () => {
  expect(sentimentOf('que raiva, estou indignada 😡').emotions[0]).toBe('anger');
  expect(sentimentOf('muito obrigada!').emotions).toEqual(['gratitude']);
  expect(sentimentOf('não estou triste').emotions).toEqual([]);
  expect(sentimentOf('qual o valor?')).toMatchObject({ sentiment: 'neutral', emotions: [] });
});

it('is surer of strong evidence than of weak or of evidence both ways', () => {
  expect(confidence('excelente, perfeito, amei!')).toBeGreaterThan(confidence('bom'));
  expect(confidence('bom')).toBeGreaterThan(confidence('lindo e bom e péssimo'));
});

it('stays in range for any text', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.constantFrom('não', 'bom', 'mas', '!', '😡', 'péssimo', 'very', '?')).map((words) => words.join(' ')),
  );
  fc.assert(
    fc.property(text, (text) => {
      const { sentiment, score, confidence } = sentimentOf(text);
      expect(Math.abs(score)).toBeLessThanOrEqual(1);
      expect(confidence).toBeGreaterThanOrEqual(0);
      expect(confidence).toBeLessThanOrEqual(1);
      expect(Math.sign(score)).toBe(sentiment === 'positive' ? 1 : sentiment === 'negative' ? -1 : Math.sign(score));
    }),
  );
});

const seconds = (text: string) => {
  const started = performance.now();
  sentimentOf(text);
  return (performance.now() - started) / 1000;
};

it('takes time linear in the text', () => {
  for (const unit of ['a', 'não ', '!', 'mas bom ', '😍', "a'", '\n'])
    expect(seconds(unit.repeat(50_000))).toBeLessThan(1);
});

it('reads at least five thousand short messages a second', () => {
  const texts = ['tuning', 'heldout'].flatMap((name) => readCases(`sentiment-${name}`).map((one) => one.text));
  const started = performance.now();
  for (let count = 0; count < 5000; count += 1) sentimentOf(texts[count % texts.length] ?? '');
  expect(performance.now() - started).toBeLessThan(1000);
});
