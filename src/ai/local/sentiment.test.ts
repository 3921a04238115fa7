import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { macroF1, readCases, readChats } from '#src/ai/local/measure.ts';
import { sentimentOf } from '#src/ai/local/sentiment.ts';
import { anyChar } from '#test/any-char.ts';

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
    fc.string({ unit: anyChar }),
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

/** Of processor time: what else the machine does, does not count. */
const seconds = (work: () => unknown) => {
  const started = process.cpuUsage();
  work();
  return process.cpuUsage(started).user / 1e6;
};

it('takes time linear in the text', () => {
  for (const unit of ['a', 'não ', '!', 'mas bom ', '😍', "a'", '\n', 'nao vale ', 'muito ', 'k', 'aaa '])
    expect([unit, seconds(() => sentimentOf(unit.repeat(200_000 / unit.length))) < 4]).toEqual([unit, true]);
});

it('reads at least five thousand short messages a second', () => {
  const texts = readChats('chat-heldout').map((one) => one.text);
  const some = (count: number) => {
    for (let at = 0; at < count; at += 1) sentimentOf(texts[at % texts.length] ?? '');
  };
  some(2000);
  expect(
    Math.min(
      seconds(() => some(5000)),
      seconds(() => some(5000)),
    ),
  ).toBeLessThan(1);
});
