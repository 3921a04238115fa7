import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { negatives, positives } from '#src/ai/local/__fixtures__/generated-documents.ts';
import { entitiesOf } from '#src/ai/local/entities/index.ts';
import { readMarked, scoresOf } from '#src/ai/local/measure.ts';
import { anyChar } from '#test/any-char.ts';

// A Wednesday.
const CLOCK = { now: new Date('2026-03-11T10:00:00-03:00'), timeZone: 'America/Sao_Paulo' };
const dates = (text: string, clock = CLOCK) =>
  entitiesOf(text, clock).date.map(({ value, normalized }) => [value, normalized]);
const money = (text: string) => entitiesOf(text, CLOCK).money.map(({ value, normalized }) => [value, normalized]);

it('finds documents by their check digits, and nothing that only looks like one', () => {
  const pairs = [...positives(5000, 11), ...negatives(5000, 12)].map(({ text, documents }) => ({
    wanted: documents,
    found: entitiesOf(text, CLOCK).document.map(({ normalized }) => normalized),
  }));
  const { precision, recall, wanted } = scoresOf(pairs);
  expect(wanted).toBe(5000);
  expect(recall).toBeGreaterThanOrEqual(0.995);
  expect(precision).toBeGreaterThanOrEqual(0.98);
});

it('keeps the quality on messages that docs/accuracy.md states', () => {
  const read = readMarked('entities-heldout').map(({ text, spans }) => {
    const found = Object.entries(entitiesOf(text, CLOCK)).flatMap(([type, list]) =>
      list.map(({ start, end, normalized }) => ({ key: `${type}:${start}-${end}`, normalized })),
    );
    return { spans, found };
  });
  const { precision, recall } = scoresOf(
    read.map(({ spans, found }) => ({ wanted: spans.map(({ key }) => key), found: found.map(({ key }) => key) })),
  );
  expect(precision).toBeGreaterThan(0.93);
  expect(recall).toBeGreaterThan(0.94);
  for (const { spans, found } of read) {
    for (const { key, normalized } of spans) {
      const same = found.find((one) => one.key === key);
      if (normalized && same) expect(same.normalized).toBe(normalized);
    }
  }
});

describe('dates', () => {
  it.each([
    ['amanhã às 15h', '2026-03-12T15:00:00-03:00'],
    ['sexta que vem', '2026-03-13'],
    ['daqui a 2 dias', '2026-03-13'],
    ['dia 15/03', '2026-03-15'],
    ['às 14h30', '2026-03-11T14:30:00-03:00'],
    ['às 9h', '2026-03-12T09:00:00-03:00'],
    ['às 8 da noite de sábado', '2026-03-14T20:00:00-03:00'],
    ['quarta', '2026-03-18'],
    ['dia 10', '2026-04-10'],
    ['dia 11', '2026-03-11'],
    ['mês que vem', '2026-04-01'],
    ['tomorrow at 3pm', '2026-03-12T15:00:00-03:00'],
    ['mañana a las 10:30', '2026-03-12T10:30:00-03:00'],
    ['June 20, 2026', '2026-06-20'],
    ['há 3 dias', '2026-03-08'],
    ['daqui a meia hora', '2026-03-11T10:30:00-03:00'],
    ['29/02/2028', '2028-02-29'],
  ])('%s is %s', (text, iso) => expect(dates(text)).toEqual([[text, iso]]));

  it.each([
    'segunda via do boleto',
    'quarta série',
    'quinta marcha não entra',
    'prazo de 24h',
    'em 12x de',
    '3/4 da pizza',
    '31/02/2026',
    'nota 10/10 voltaria',
    'chegou em 3 dias',
    'tamanho 42',
    'pedido 12/2025',
  ])('%s has none', (text) => expect(dates(text)).toEqual([]));

  it('tells them from the clock of the asked time zone, also over a change of it', () => {
    const late = new Date('2026-03-12T01:00:00Z');
    expect(dates('hoje', { now: late, timeZone: 'America/Sao_Paulo' })).toEqual([['hoje', '2026-03-11']]);
    expect(dates('hoje', { now: late, timeZone: 'Asia/Tokyo' })).toEqual([['hoje', '2026-03-12']]);
    const summer = { now: new Date('2026-03-27T12:00:00Z'), timeZone: 'Europe/Lisbon' };
    expect(dates('hoje às 15h e domingo às 15h', summer)).toEqual([
      ['hoje às 15h', '2026-03-27T15:00:00+00:00'],
      ['domingo às 15h', '2026-03-29T15:00:00+01:00'],
    ]);
  });
});

describe('money', () => {
  it.each([
    ['R$ 1.234,56', 'BRL 1234.56'],
    ['R$50', 'BRL 50.00'],
    ['50 conto', 'BRL 50.00'],
    ['cinquenta reais', 'BRL 50.00'],
    ['mil e duzentos reais', 'BRL 1200.00'],
    ['10 reais e 50 centavos', 'BRL 10.50'],
    ['US$ 20', 'USD 20.00'],
    ['$1,299.99', 'USD 1299.99'],
    ['2 mil', 'BRL 2000.00'],
    ['2 milhões de reais', 'BRL 2000000.00'],
    ['R$ 450 mil', 'BRL 450000.00'],
    ['€ 15,50', 'EUR 15.50'],
    ['three pesos', 'three pesos'],
  ])('%s is %s', (text, normalized) => expect(money(text)).toEqual([[text, normalized]]));

  it.each(['2 mil pessoas', 'pedido 48213', 'peso 12,50 kg', '30% de desconto', 'tamanho 42', '3 unidades'])(
    '%s is none',
    (text) => expect(money(text)).toEqual([]),
  );
});

it('gives offsets in the text as it came, and no overlaps, for any text', () => {
  const piece = fc.constantFrom(
    'R$ 20', 'amanhã', ' às 15h', '529.982.247-25', 'Ana Souza', '😀', 'Rua A, 12', '\u200b', '１２', ' ', 'a@b.co', 'Padaria Sol', 'dia 5', 'é', '11 98765-4321',
  ); // prettier-ignore
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(piece).map((parts) => parts.join(' ')),
        fc.string({ unit: anyChar }),
      ),
      (text) => {
        const all = Object.values(entitiesOf(text, CLOCK)).flat();
        for (const { value, start, end, normalized, confidence } of all) {
          expect(text.slice(start, end)).toBe(value);
          expect(normalized).not.toBe('');
          expect(confidence).toBeGreaterThan(0);
          expect(confidence).toBeLessThanOrEqual(1);
        }
        const sorted = all.toSorted((a, b) => a.start - b.start);
        for (const [at, { start }] of sorted.entries()) expect(start).toBeGreaterThanOrEqual(sorted[at - 1]?.end ?? 0);
      },
    ),
  );
});

/** Of processor time. */
const millis = (text: string) => {
  const started = process.cpuUsage();
  entitiesOf(text, CLOCK);
  return process.cpuUsage(started).user / 1000;
};

it('takes time linear in the text, also in the worst there is', () => {
  const units = ['1', '1 ', 'um ', 'mil e ', 'dia 1', '12/', 'segunda ', 'hoje ', '1h', 'as ', 'R$', '1.000.', 'Rua ', 'Rua A ', 'Av. a b c d e ', 'Ana ', 'A ', 'Aa & ', 'Ana da ', 'a.', 'a.b.', 'com.', '@', 'http://', '0800', 'em 1 ', 'proxima ', 'á', '😀', '\n', ' ']; // prettier-ignore
  for (const unit of units) expect([unit, millis(unit.repeat(200_000 / unit.length)) < 2500]).toEqual([unit, true]);
});
