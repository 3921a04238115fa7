import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { detectLanguage, languageOf } from '#src/ai/local/language.ts';

it.each([
  ['Oi, qual o valor da entrega?', 'pt'],
  ['vcs aceitam pix?', 'pt'],
  ['n gostei, achei mto caro', 'pt'],
  ['excelente', 'pt'],
  ['entrega no prazo e como descrito no site', 'pt'],
  ['perfeito como sempre', 'pt'],
  ['Hi, how much is the shipping?', 'en'],
  ["it doesn't work", 'en'],
  ['hola, ¿cuánto cuesta el envío?', 'es'],
  ['muy buena atención, gracias', 'es'],
  ['no me gusta', 'es'],
  ['', 'pt'],
  ['12345', 'pt'],
])('%s is %s', (text, language) => expect(detectLanguage(text)).toBe(language));

it('finds the language of at least nine in ten labelled messages', () => {
  const cases = ['tuning', 'heldout'].flatMap((name) =>
    readFileSync(new URL(`__fixtures__/sentiment-${name}.tsv`, import.meta.url), 'utf8')
      .trim()
      .split('\n'),
  );
  const wrong = cases.filter((line) => detectLanguage(line.split('\t')[2] ?? '') !== line.split('\t')[1]);
  expect(wrong.length / cases.length).toBeLessThan(0.1);
});

it('takes the asked language before the written one, by its primary subtag', () => {
  expect(languageOf('en-US', 'qual o valor?')).toBe('en');
  expect(languageOf('PT-br', 'how much?')).toBe('pt');
  expect(languageOf('de', 'how much is it?')).toBe('en');
});
