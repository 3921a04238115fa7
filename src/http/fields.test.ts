import { expect, it } from 'vitest';
import { nameText } from '#src/http/fields.ts';

const isName = (text: string) => nameText(120).safeParse(text).success;

it.each(['Ana', 'José da Silva', '李雷', 'Ωß', '👩‍👩‍👧', '🇧🇷', 'نور', 'O’Neill & Filhos', 'नमस्ते', '1'])(
  'takes the name %j',
  (name) => {
    expect(isName(name)).toBe(true);
  },
);

it.each([
  ['nothing', ' '],
  ['a space of no width', '\u200b'],
  ['a letter that is drawn as nothing', '\u3164'],
  ['a mark on nothing', '\u0301'],
  ['two lines', 'Ana\r\nBcc: x'],
  ['a bell', 'Ana\u0007'],
  ['what turns the text around', '\u202egnp.exe'],
])('takes no name of %s', (_, name) => {
  expect(isName(name)).toBe(false);
});
