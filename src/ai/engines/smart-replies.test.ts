import { expect, it } from 'vitest';
import { AnswerError } from '#src/ai/engines/define.ts';
import { smartReplies, SmartRepliesInput } from '#src/ai/engines/smart-replies.ts';

function read(answer: string, input: object = {}, finishReason: 'stop' | 'length' = 'stop') {
  const reader = smartReplies.read(SmartRepliesInput.parse({ message: 'Quanto custa?', ...input }));
  expect(
    answer
      .split('')
      .map((character) => reader.push(character))
      .join(''),
  ).toBe('');
  const { rest, result } = reader.end({ finishReason, toolCalls: [] });
  expect(rest).toBe('');
  expect(smartReplies.result.safeParse(result).success).toBe(true);
  return result.replies;
}

const replies = ['Oi! Já confirmo.', 'Vou confirmar.', 'Confirmaremos.', 'Só um instante.'].map((text) => ({
  text,
  tone: 'neutral',
  confidence: 0.7,
}));

it.each([
  ['bare JSON', JSON.stringify({ replies })],
  ['a list', JSON.stringify(replies)],
  [
    'a json block with talk around it',
    `Claro:\n\`\`\`json\n${JSON.stringify({ replies }, null, 2)}\n\`\`\`\nEspero ter ajudado!`,
  ],
  ['talk around bare JSON', `Aqui: ${JSON.stringify({ replies })} pronto`],
])('reads %s and gives exactly the asked count', (_, answer) => {
  expect(read(answer)).toEqual(replies.slice(0, 3));
  expect(read(answer, { count: 4 })).toEqual(replies);
});

it.each([
  '1. Oi! Já confirmo 😊\n2) "Vou confirmar."\n3. Prezado cliente, confirmaremos.',
  '- Oi! Já confirmo 😊\n* Vou confirmar.\n• Prezado cliente, confirmaremos.',
])('reads a list of lines, telling the tone by its words', (answer) => {
  expect(read(answer).map(({ text, tone }) => [text, tone])).toEqual([
    ['Oi! Já confirmo 😊', 'friendly'],
    ['Vou confirmar.', 'neutral'],
    ['Prezado cliente, confirmaremos.', 'formal'],
  ]);
});

it.each([
  ['too few', JSON.stringify({ replies: replies.slice(0, 2) }), /exactly 3 replies, all different: there were 2/],
  [
    'two that differ only in case and accents',
    JSON.stringify({ replies: [...replies.slice(0, 2), { ...replies[1], text: 'VOU CONFIRMÁR' }] }),
    /there were 2/,
  ],
  [
    'an unknown tone',
    JSON.stringify({ replies: replies.map((reply) => ({ ...reply, tone: 'angry' })) }),
    /replies\[0\]\.tone/,
  ],
  [
    'a confidence out of range',
    JSON.stringify({ replies: replies.map((reply) => ({ ...reply, confidence: 80 })) }),
    /replies\[0\]\.confidence/,
  ],
  ['prose', 'Não sei.', /not JSON/],
  ['nothing', '  ', /empty/],
  ['another shape', '{"answers": []}', /list "replies"/],
])('refuses %s with a hint a model can follow', (_, answer, hint) => {
  expect(() => read(answer)).toThrow(AnswerError);
  expect(() => read(answer)).toThrow(hint);
});

it('says when the token limit cut the answer', () => {
  expect(() => read('{"replies": [{"text": "Oi', {}, 'length')).toThrow(/token limit/);
});

it('cleans what Postgres cannot hold', () => {
  const dirty = replies.map((reply, at) => (at === 0 ? { ...reply, text: 'Oi\u0000 \ud83d!' } : reply));
  expect(read(JSON.stringify({ replies: dirty }))[0]?.text).toBe('Oi \ufffd!');
});

it('asks for JSON of exactly that many replies', () => {
  const asked = smartReplies.ask(SmartRepliesInput.parse({ message: 'Oi', count: 5 }));
  expect(asked.responseSchema?.schema).toMatchObject({ properties: { replies: { minItems: 5, maxItems: 5 } } });
  expect(asked.messages[0]?.content).toContain('exatamente 5 respostas');
});

it.each([
  [{ message: '' }, 'must not be empty'],
  [{ message: ' \n' }, 'only white space'],
  [{ message: 'oi', count: 2 }, '3 to 5'],
  [{ message: 'oi', count: 3.5 }, '3 to 5'],
  [{}, 'message'],
])('refuses %j saying what is wrong', (body, message) => {
  expect(JSON.stringify(SmartRepliesInput.safeParse(body).error?.issues)).toContain(message);
});
