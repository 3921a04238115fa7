import { randomInt } from 'node:crypto';
import { sha256 } from '#src/lib/secrets.ts';

/** Crockford's base 32: without I, L, O and U, which are misread. */
const LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const LENGTH = 20;

/** A new code: 100 random bits, in groups that can be read out. */
export function newCode(prefix = 'WH'): string {
  const letters = Array.from({ length: LENGTH }, () => LETTERS.charAt(randomInt(LETTERS.length)));
  const groups = Array.from({ length: LENGTH / 5 }, (_, at) => letters.slice(at * 5, at * 5 + 5).join(''));
  return `${prefix}-${groups.join('-')}`;
}

/** The letters of a code, however it was typed: case, blanks and dashes do not count, and misread letters are mended. */
export function typedLetters(code: string, prefix = 'WH'): string {
  const typed = code.toUpperCase().replaceAll(/[\s-]/g, '');
  // Without what they begin with, a code's own letters may begin so too.
  const letters = typed.length > LENGTH && typed.startsWith(prefix) ? typed.slice(prefix.length) : typed;
  return letters.replaceAll('O', '0').replaceAll(/[IL]/g, '1');
}

/** What is stored of a code, however it was typed. A code has enough bits for a bare digest. */
export const hashOf = (code: string): Buffer => sha256(`topup.v1:${typedLetters(code)}`);
