import { describe, expect, it } from 'vitest';
import { generated } from '#src/ai/pii/__fixtures__/generated.ts';
import { handWritten, measure } from '#src/ai/pii/__fixtures__/labelled.ts';

const SEED = 20251125;

/** The figures of docs/masking.md. */
describe('how well personal data is found', () => {
  const { positives, negatives } = generated(SEED);
  const figures = measure([...positives, ...negatives]);

  it('has enough to measure on', () => {
    expect(positives.length).toBeGreaterThanOrEqual(5000);
    expect(negatives.length).toBeGreaterThanOrEqual(5000);
    expect(handWritten().length).toBeGreaterThanOrEqual(150);
  });

  it.each([
    ...['cpf', 'cnpj', 'card', 'iban', 'boleto', 'pix_code'].map((type) => [type, 0.995, 0.98] as const),
    ...['email', 'phone', 'pix_key'].map((type) => [type, 0.98, 0.95] as const),
    ...['cep', 'rg'].map((type) => [type, 0.9, 0.9] as const),
  ])('%s: recall from %f, precision from %f on generated texts', (type, recall, precision) => {
    expect(figures.get(type)?.recall).toBeGreaterThanOrEqual(recall);
    expect(figures.get(type)?.precision).toBeGreaterThanOrEqual(precision);
  });

  it.each([
    ...['cpf', 'cnpj', 'iban', 'boleto', 'pix_code', 'pix_key', 'email', 'cep'].map((type) => [type, 1] as const),
    ['phone', 0.95],
    ['rg', 0.85],
    ['card', 0.8],
    ['name', 0.6],
  ] as const)('%s: recall from %f on messages written by hand', (type, recall) => {
    expect(measure(handWritten()).get(type)?.recall).toBeGreaterThanOrEqual(recall);
  });
});
