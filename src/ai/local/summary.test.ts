import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { summaryOf, type Turn } from '#src/ai/local/summary.ts';
import { anyChar } from '#test/any-char.ts';

const TALK: Turn[] = [
  { role: 'user', content: 'Oi, bom dia! Comprei uma geladeira dia 3 e ela chegou com a porta amassada.' },
  { role: 'assistant', content: 'Bom dia! Sinto muito. Pode me mandar o número do pedido?' },
  { role: 'user', content: 'É o 48213. Quero a troca, não quero desconto.' },
  { role: 'assistant', content: 'Certo. Vou verificar o estoque e te retorno até amanhã às 15h.' },
  { role: 'user', content: 'ok' },
  { role: 'assistant', content: 'Temos uma nova em estoque. A troca fica marcada para sexta, dia 13/03, sem custo.' },
  { role: 'user', content: 'Combinado, fechado então. Obrigada!' },
];
const flat = (text: string) => text.replaceAll(/[.!?…\s]+/gu, ' ').trim();
const source = flat(TALK.map(({ content }) => content).join(' '));

it('copies sentences and finds what was decided and is to do', () => {
  const { summary, keyPoints, actionItems, decisions } = summaryOf(TALK, 800);
  expect(summary).toContain('porta amassada');
  expect(keyPoints.length).toBeGreaterThan(2);
  expect(actionItems.join('\n')).toContain('Vou verificar o estoque e te retorno até amanhã às 15h');
  expect(decisions.join('\n')).toContain('Combinado, fechado então');
  for (const text of [...keyPoints, ...actionItems, ...decisions]) expect(source).toContain(flat(text));
  for (const sentence of summary.split(/(?<=[.!?]) /u)) expect(source).toContain(flat(sentence));
});

it.each([50, 120, 300])('stays within %d characters', (maxLength) => {
  const { summary } = summaryOf(TALK, maxLength);
  expect(summary.length).toBeLessThanOrEqual(maxLength);
  expect(summary.length).toBeGreaterThan(10);
});

describe('whatever it is given', () => {
  const turn = fc.record({
    role: fc.constantFrom<Turn['role']>('user', 'assistant', 'system'),
    content: fc.oneof(
      fc.string({ unit: anyChar, minLength: 1 }),
      fc.constantFrom('ok', '...', 'a'.repeat(900), 'Vou enviar. Fechado!'),
    ),
  });
  it('says something, within its room, and only once', () => {
    fc.assert(
      fc.property(fc.array(turn, { minLength: 1, maxLength: 12 }), fc.integer({ min: 50, max: 400 }), (turns, room) => {
        const { summary, keyPoints, actionItems, decisions } = summaryOf(turns, room);
        expect(summary.length).toBeLessThanOrEqual(room);
        if (turns.some(({ content }) => content.trim() !== '')) expect(summary).not.toBe('');
        for (const list of [keyPoints, actionItems, decisions]) {
          expect(new Set(list).size).toBe(list.length);
          for (const text of list) expect(text.length).toBeLessThanOrEqual(400);
        }
      }),
    );
  });

  it('takes no more time than its text is long', () => {
    for (const unit of ['vou enviar. ', 'a.', '! ', 'fechado ', 'palavra nova ', '\n']) {
      const started = process.cpuUsage();
      summaryOf([{ role: 'user', content: unit.repeat(200_000 / unit.length) }], 800);
      expect([unit, process.cpuUsage(started).user / 1000 < 3000]).toEqual([unit, true]);
    }
  });
});
