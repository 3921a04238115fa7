import { readFileSync } from 'node:fs';
import { badRequest } from '#src/errors.ts';

/** Read once, when the API starts: 60 kB. The product's own name is the one word everybody here has in mind. */
const COMMON: ReadonlySet<string> = new Set(
  readFileSync(`${import.meta.dirname}/common-passwords.txt`, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#')),
);
const PRODUCT = 'whatshybrid';

/**
 * Refuses passwords that are guessed first: those of the list, and the person's own name or address or the product's name, alone or
 * followed by digits and signs (`ana.lima2026!`). Longer passwords that only contain such a word pass.
 * @param path the field it came in
 * @throws AppError 400 `validation_failed` with the field's code `password_too_common`
 */
export function refuseCommonPassword(password: string, owner: { email: string; name: string }, path: string): void {
  const plain = password.normalize('NFC').toLowerCase();
  if (!COMMON.has(plain) && !isNamedAfter(plain, owner)) return;
  const message = 'is one that many people use, or one that your name or address gives away; choose another';
  throw badRequest('validation_failed', `${path}: ${message}`, [{ path, code: 'password_too_common', message }]);
}

function isNamedAfter(password: string, { email, name }: { email: string; name: string }): boolean {
  const [local = ''] = email.split('@', 1);
  const words = [email, local, name, PRODUCT].map(lettersOf).filter((word) => word !== '');
  const stem = lettersOf(password.replace(/[^\p{L}]+$/u, ''));
  return words.includes(stem) || [email, local].includes(password);
}

/** What is left of a word when signs between its letters and its digits at the end are not looked at. */
const lettersOf = (text: string) =>
  text
    .toLowerCase()
    .replace(/[^\p{L}]+$/u, '')
    .replaceAll(/[^\p{L}\p{N}]/gu, '');
