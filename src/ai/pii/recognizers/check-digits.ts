const codeAt = (text: string, at: number): number => text.charCodeAt(at) - 48;

/** The sum of the first `count` characters (value: code − 48), weighted. */
function weighted(text: string, count: number, weightAt: (at: number) => number): number {
  let sum = 0;
  for (let at = 0; at < count; at += 1) sum += codeAt(text, at) * weightAt(at);
  return sum;
}

/** Mod 11 as the Receita Federal counts it: 11 − rest, and 0 where that has two digits. */
const revenueDigit = (sum: number): number => (sum % 11 < 2 ? 0 : 11 - (sum % 11));

/** Weights 2 to 9 from the right, over and over. */
const fromTheRight = (count: number) => (at: number) => ((count - 1 - at) % 8) + 2;

const isOneDigitRepeated = (text: string): boolean => /^(.)\1*$/.test(text);

/** CPF: 11 digits, two check digits mod 11 with weights 10…2 and 11…2; a repeated digit passes the sums but is never issued. */
export function isCpf(digits: string): boolean {
  return (
    digits.length === 11 &&
    revenueDigit(weighted(digits, 9, (at) => 10 - at)) === codeAt(digits, 9) &&
    revenueDigit(weighted(digits, 10, (at) => 11 - at)) === codeAt(digits, 10) &&
    !isOneDigitRepeated(digits)
  );
}

/**
 * CNPJ, with letters too: 12 characters 0-9 A-Z of value code − 48, then two digits mod 11 with weights 2…9 from the right
 * (Receita Federal, Nota Técnica COCAD/SUARA 49/2024).
 * @param text 14 characters, upper case
 */
export function isCnpj(text: string): boolean {
  return (
    /^[0-9A-Z]{12}\d{2}$/.test(text) &&
    revenueDigit(weighted(text, 12, fromTheRight(12))) === codeAt(text, 12) &&
    revenueDigit(weighted(text, 13, fromTheRight(13))) === codeAt(text, 13) &&
    !isOneDigitRepeated(text)
  );
}

/** PIS/PASEP/NIS: 10 digits with weights 3 2 9 8 7 6 5 4 3 2, one check digit mod 11. */
export function isPis(digits: string): boolean {
  const sum = weighted(digits, 10, (at) => codeAt('3298765432', at));
  return digits.length === 11 && revenueDigit(sum) === codeAt(digits, 10) && !isOneDigitRepeated(digits);
}

/** CNH: 9 digits, weights 9…1 and 1…9; where the first check digit would be ten it is 0 and the second is lowered by two. */
export function isCnh(digits: string): boolean {
  if (digits.length !== 11 || isOneDigitRepeated(digits)) return false;
  const first = weighted(digits, 9, (at) => 9 - at) % 11;
  let second = weighted(digits, 9, (at) => at + 1) % 11;
  if (first > 9) second = (second + 9) % 11;
  return (first > 9 ? 0 : first) === codeAt(digits, 9) && (second > 9 ? 0 : second) === codeAt(digits, 10);
}

/**
 * Título de eleitor: 8 digits, the state (01 to 28), two check digits mod 11 with weights 2…9 and 7 8 9. In São Paulo and Minas Gerais a rest
 * of 0 gives 1.
 */
export function isVoterId(digits: string): boolean {
  const state = Number(digits.slice(8, 10));
  if (digits.length !== 12 || state < 1 || state > 28) return false;
  const digitOf = (sum: number) => (sum % 11 === 10 ? 0 : sum % 11 === 0 && state <= 2 ? 1 : sum % 11);
  const first = digitOf(weighted(digits, 8, (at) => at + 2));
  const second = digitOf(codeAt(digits, 8) * 7 + codeAt(digits, 9) * 8 + first * 9);
  return first === codeAt(digits, 10) && second === codeAt(digits, 11);
}

/** Luhn's mod 10, of ISO/IEC 7812. */
export function isLuhn(digits: string): boolean {
  return luhnSum(digits, digits.length % 2) % 10 === 0;
}

function luhnSum(digits: string, doubled: number): number {
  let sum = 0;
  for (let at = 0; at < digits.length; at += 1) {
    const value = codeAt(digits, at) * (at % 2 === doubled ? 2 : 1);
    sum += value > 9 ? value - 9 : value;
  }
  return sum;
}

const mod10 = (block: string): number => (10 - (luhnSum(block, (block.length + 1) % 2) % 10)) % 10;

function mod11(block: string): number {
  return weighted(block, block.length, fromTheRight(block.length)) % 11;
}

/**
 * The typed line of a bank slip: 47 digits, three fields with a mod 10 digit each and one mod 11 digit over the bar code (FEBRABAN), or of a
 * utility bill: 48 digits from 8 on, four blocks of eleven with a digit each, mod 10 or 11 by the third digit.
 */
export function isBoleto(digits: string): boolean {
  return digits.length === 47 ? isBankSlip(digits) : digits.length === 48 && isBill(digits);
}

function isBankSlip(line: string): boolean {
  const fields = [line.slice(0, 10), line.slice(10, 21), line.slice(21, 32)];
  if (fields.some((field) => mod10(field.slice(0, -1)) !== codeAt(field, field.length - 1))) return false;
  const free = line.slice(4, 9) + line.slice(10, 20) + line.slice(21, 31);
  const rest = 11 - mod11(line.slice(0, 4) + line.slice(33) + free);
  return (rest > 9 ? 1 : rest) === codeAt(line, 32);
}

function isBill(line: string): boolean {
  const kind = line.charAt(2);
  if (!line.startsWith('8') || !/[6-9]/.test(kind)) return false;
  const digitOf = (block: string) => {
    if (kind < '8') return mod10(block);
    const rest = mod11(block);
    return rest < 2 ? 0 : 11 - rest;
  };
  return [0, 12, 24, 36].every((at) => digitOf(line.slice(at, at + 11)) === codeAt(line, at + 11));
}

/** RG of São Paulo, the one state whose check digit is known: mod 11 with weights 2…9, X for ten. */
export function isSaoPauloRg(text: string): boolean {
  const rest = (11 - (weighted(text, 8, (at) => at + 2) % 11)) % 11;
  return text.length === 9 && (rest === 10 ? 'X' : String(rest)) === text.charAt(8);
}
