import { describe, expect, it } from 'vitest';
import { readWith } from '#src/ai/__fixtures__/read.ts';
import { AnswerError } from '#src/ai/engines/define.ts';
import { intent, IntentInput } from '#src/ai/engines/intent.ts';

const input = IntentInput.parse({ text: 'Oi, quanto custa o bolo? Quero cancelar o outro pedido.' });
const read = (answer: unknown, of = input) => readWith(intent, of, [JSON.stringify(answer)]).result;

it('takes the labels in their own spelling and drops invented sub-intents, repeats and the intent itself', () => {
  const answer = {
    intent: 'Pricing',
    confidence: 0.9,
    subIntents: ['Cancellation', 'refund wish', 'pricing', 'cancellation', 7],
  };
  expect(read(answer)).toEqual({ intent: 'pricing', confidence: 0.9, subIntents: ['cancellation'] });
});

it('knows labels of the request alone, when it names some', () => {
  const own = IntentInput.parse({ text: 'Quero falar com gente', labels: ['Falar com humano', 'outro'] });
  expect(read({ intent: 'falar_com_humano', confidence: 1 }, own)).toEqual({
    intent: 'Falar com humano',
    confidence: 1,
    subIntents: [],
  });
  expect(() => read({ intent: 'pricing', confidence: 1, subIntents: [] }, own)).toThrow(/"Falar com humano","outro"/);
});

it.each([
  ['a label that is none', { intent: 'refund', confidence: 0.5, subIntents: [] }, /must be one of/],
  ['a confidence above 1', { intent: 'pricing', confidence: 80, subIntents: [] }, /confidence/],
  ['no label', { confidence: 0.5 }, /intent/],
])('refuses %s with a hint', (_, answer, hint) => {
  expect(() => read(answer)).toThrow(AnswerError);
  expect(() => read(answer)).toThrow(hint);
});

describe('the request', () => {
  it.each([
    [['a'], 'at least two'],
    [['a b', 'A_B'], 'different'],
    [Array.from({ length: 51 }, (_, at) => `l${at}`), 'at most 50'],
  ])('refuses the labels %j', (labels, message) => {
    expect(IntentInput.safeParse({ text: 'oi', labels }).error?.issues[0]?.message).toContain(message);
  });

  it('asks in the language of the text for one of the labels, in a schema that has no others', () => {
    const asked = intent.ask(IntentInput.parse({ text: 'How much is the cake?', labels: ['x "y"', 'z'] }));
    expect(asked.messages[0]?.content).toContain(String.raw`"x \"y\"", "z"`);
    expect(asked.messages[0]?.content).toMatch(/^Tell what a customer wants/);
    expect(asked.responseSchema?.schema).toMatchObject({ properties: { intent: { enum: ['x "y"', 'z'] } } });
  });
});
