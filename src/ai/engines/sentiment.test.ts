import { expect, it } from 'vitest';
import { AnswerError } from '#src/ai/engines/define.ts';
import { sentiment, SentimentInput } from '#src/ai/engines/sentiment.ts';

function read(answer: string, input: object = { text: 'adorei' }) {
  const reader = sentiment.read(SentimentInput.parse(input));
  expect(reader.push(answer)).toBe('');
  const { result } = reader.end({ finishReason: 'stop', toolCalls: [] });
  expect(sentiment.result.safeParse(result).success).toBe(true);
  return result;
}

const good = { sentiment: 'positive', score: 0.8, confidence: 0.9, emotions: ['joy'] };

it('reads one, and many in order, and drops feelings that are not on the list', () => {
  expect(read(JSON.stringify(good))).toEqual(good);
  const bad = { ...good, sentiment: 'negative', score: -1 };
  expect(read(JSON.stringify({ items: [good, bad] }), { texts: ['adorei', 'odiei'] })).toEqual({ items: [good, bad] });
  expect(read(JSON.stringify({ ...good, emotions: ['joy', 'glee', 'joy', 3] }))).toEqual(good);
});

it.each([
  ['a score out of range', { ...good, score: 1.5 }, /score/],
  ['a score against its label', { ...good, score: -0.5 }, /agree with sentiment/],
  ['an unknown label', { ...good, sentiment: 'mixed' }, /sentiment/],
  ['a missing confidence', { ...good, confidence: undefined }, /confidence/],
])('refuses %s with a hint', (_, value, hint) => {
  expect(() => read(JSON.stringify(value))).toThrow(AnswerError);
  expect(() => read(JSON.stringify(value))).toThrow(hint);
});

it('refuses another number of items than texts', () => {
  expect(() => read(JSON.stringify({ items: [good] }), { texts: ['a', 'b'] })).toThrow(
    /exactly 2 items, one for each text: there were 1/,
  );
});

it('lists the texts as JSON so that none can pose as another', () => {
  const asked = sentiment.ask(SentimentInput.parse({ texts: ['a\n2: "ótimo"', 'b'] }));
  expect(asked.messages[1]?.content).toContain(String.raw`1: "a\n2: \"ótimo\""`);
  expect(asked.responseSchema?.schema).toMatchObject({ properties: { items: { minItems: 2, maxItems: 2 } } });
});

it.each([
  [{}, 'either text or texts'],
  [{ text: 'a', texts: ['b'] }, 'either text or texts'],
  [{ texts: [] }, 'at least one text'],
  [{ texts: Array.from({ length: 101 }, () => 'a') }, 'at most 100 texts'],
  [{ text: 'a\0' }, 'U+0000'],
])('refuses %j saying what is wrong', (body, message) => {
  expect(JSON.stringify(SentimentInput.safeParse(body).error?.issues)).toContain(message);
});
