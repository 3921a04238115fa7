import { sha256 } from '#src/lib/secrets.ts';
import { newCode, typedLetters } from '#src/modules/billing/topup-code.ts';

/** A new key of a licence: 100 random bits, as top-up codes are written. */
export const newKey = (): string => newCode('WHL');

/** What is stored of a key, however it was typed. */
export const hashOfKey = (key: string): Buffer => sha256(`license.v1:${typedLetters(key, 'WHL')}`);
