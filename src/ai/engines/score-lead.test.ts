import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { readWith } from '#src/ai/__fixtures__/read.ts';
import { AnswerError } from '#src/ai/engines/define.ts';
import { gradeOf, scoreLead, ScoreLeadInput } from '#src/ai/engines/score-lead.ts';

const input = ScoreLeadInput.parse({ features: { orçamento: 5000, pediu_preço: true, origem: 'indicação' } });
const read = (answer: object, of = input) => readWith(scoreLead, of, [JSON.stringify(answer)]).result;
const points = { orçamento: 30.04, pediu_preço: 45, origem: -5 };

it('adds up the points itself, whatever sum the model claims', () => {
  const claimed = { points, recommendation: 'Ligar hoje.', score: 99, grade: 'A', contributions: [] };
  expect(read(claimed)).toEqual({
    score: 70,
    grade: 'B',
    contributions: [
      { feature: 'pediu_preço', value: true, points: 45 },
      { feature: 'orçamento', value: 5000, points: 30 },
      { feature: 'origem', value: 'indicação', points: -5 },
    ],
    recommendation: 'Ligar hoje.',
    modelVersion: 'score-lead-1',
  });
});

it('gives a score that is the sum of the points cut to 0…100, with its grade, for any points', () => {
  const anyPoints = fc.record({
    orçamento: fc.double({ min: -100, max: 100, noNaN: true }),
    pediu_preço: fc.double({ min: -100, max: 100, noNaN: true }),
    origem: fc.integer({ min: -100, max: 100 }),
  });
  fc.assert(
    fc.property(anyPoints, (given) => {
      const { score, grade, contributions } = read({ points: given, recommendation: 'x' });
      const sum = contributions.reduce((total, one) => total + one.points, 0);
      expect(score).toBeCloseTo(Math.min(100, Math.max(0, sum)), 6);
      expect(grade).toBe(gradeOf(score));
      expect(contributions.map(({ feature }) => feature).toSorted()).toEqual(
        Object.keys(input.features ?? {}).toSorted(),
      );
    }),
  );
});

it.each([
  [100, 'A'],
  [80, 'A'],
  [79.9, 'B'],
  [60, 'B'],
  [40, 'C'],
  [20, 'D'],
  [19.9, 'E'],
  [0, 'E'],
])('grades %s as %s', (score, grade) => {
  expect(gradeOf(score)).toBe(grade);
});

it.each([
  [
    'a feature without points',
    { points: { orçamento: 1, origem: 2 }, recommendation: 'x' },
    /missing: \["pediu_preço"\]/,
  ],
  ['points that are no number', { points: { ...points, origem: '5' }, recommendation: 'x' }, /points\.origem/],
  ['points out of range', { points: { ...points, origem: 500 }, recommendation: 'x' }, /points\.origem/],
  ['no recommendation', { points, recommendation: ' ' }, /recommendation/],
])('refuses %s with a hint', (_, answer, hint) => {
  expect(() => read(answer)).toThrow(AnswerError);
  expect(() => read(answer)).toThrow(hint);
});

it('takes a contact, whose features are looked up, or features', () => {
  const contactId = '01900000-0000-7000-8000-000000000001';
  expect(ScoreLeadInput.safeParse({ contactId }).success).toBe(true);
  for (const wrong of [{}, { contactId: 'x' }]) expect(ScoreLeadInput.safeParse(wrong).success).toBe(false);
});

it('asks for a number for each feature, in the language of their names', () => {
  const asked = scoreLead.ask(input);
  expect(asked.messages[0]?.content).toMatch(/^Avalie um lead/);
  expect(asked.messages[1]?.content).toContain('"origem": "indicação"');
  expect(asked.responseSchema?.schema).toMatchObject({
    properties: { points: { required: Object.keys(input.features ?? {}) } },
  });
});

it.each([
  [{}, 'at least one'],
  [{ '1': 2 }, 'a letter'],
  [{ a: Number.NaN }, ''],
  [Object.fromEntries(Array.from({ length: 51 }, (_, at) => [`f${at}`, 1])), 'at most 50'],
])('refuses bad features', (features, message) => {
  const { success, error } = ScoreLeadInput.safeParse({ features });
  expect(success).toBe(false);
  expect(JSON.stringify(error?.issues)).toContain(message);
});
