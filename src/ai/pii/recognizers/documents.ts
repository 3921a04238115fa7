import {
  isBoleto,
  isCnh,
  isCnpj,
  isCpf,
  isLuhn,
  isPis,
  isSaoPauloRg,
  isVoterId,
} from '#src/ai/pii/recognizers/check-digits.ts';
import type { Subject } from '#src/ai/pii/recognizers/context.ts';
import type { DigitRun } from '#src/ai/pii/recognizers/digit-runs.ts';
import type { Found, PiiType } from '#src/ai/pii/span.ts';

/** Reads a run of digits as one kind of number. */
export type RunReader = (run: DigitRun, subject: Subject) => Found | undefined;

export const found = (
  type: PiiType,
  { start, end, digits }: Pick<DigitRun, 'start' | 'end' | 'digits'>,
  score: number,
): Found => ({
  type,
  start,
  end,
  normalized: digits,
  score: Math.min(1, score),
});

/** A number proved by its check digits: sure where it is cut as usual or the words before name it, else not taken. */
function proved(type: PiiType, usual: readonly number[], run: DigitRun, { contexts }: Subject): Found | undefined {
  const weight = contexts.weight(type, run.start);
  if (weight === 0 && !run.isCutAt(usual) && !run.isSpelled) return undefined;
  return found(type, run, (run.isWhole ? 0.75 : 0.85) + 0.2 * weight);
}

const cpf: RunReader = (run, subject) => (isCpf(run.digits) ? proved('cpf', [3, 6, 9], run, subject) : undefined);

const cnpj: RunReader = (run, subject) =>
  isCnpj(run.digits) ? proved('cnpj', [2, 5, 8, 12], run, subject) : undefined;

/** Issuers whose numbers are seen in Brazil, with the lengths they have (ISO/IEC 7812 and the issuers' own ranges). */
const ISSUERS: [RegExp, readonly number[]][] = [
  [/^4/, [13, 16, 19]],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, [16]],
  [/^3[47]/, [15]],
  [/^3(?:0[0-5]|[689])/, [14, 16]],
  [/^(?:6011|64[4-9]|65)/, [16, 19]],
  [/^35(?:2[89]|[3-8])/, [16]],
  [/^(?:50[0-9]|627780|636297|636368|606282|3841)/, [13, 16, 19]],
];
const isIssued = (digits: string): boolean =>
  ISSUERS.some(([prefix, lengths]) => lengths.includes(digits.length) && prefix.test(digits));

const card: RunReader = (run, subject) =>
  isLuhn(run.digits) && isIssued(run.digits)
    ? proved('card', run.digits.length < 16 ? [4, 10] : [4, 8, 12, 16], run, subject)
    : undefined;

const boleto: RunReader = (run) => (isBoleto(run.digits) ? found('boleto', run, 0.99) : undefined);

/** A number whose check digits prove little: eleven digits are a phone number too. The words before must name it. */
const named =
  (type: PiiType, holds: (digits: string) => boolean): RunReader =>
  (run, { contexts }) => {
    const weight = contexts.weight(type, run.start);
    return weight > 0 && holds(run.digits) ? found(type, run, 0.3 + 0.65 * weight) : undefined;
  };

/** CEP: five and three digits with a dash, or eight that the words before name. */
const cep: RunReader = (run, { contexts }) => {
  if (run.digits < '01' || !run.isCutAt([2, 5])) return undefined;
  const isDashed = run.lastCut?.gap === '-' && run.lastCut.at === 5;
  const weight = contexts.weight('cep', run.start);
  if (isDashed) return found('cep', run, 0.6 + 0.35 * weight);
  return weight > 0 ? found('cep', run, 0.3 + 0.5 * weight) : undefined;
};

/** Some states write their letters before the number. */
const STATE =
  /(?:^|[^A-Za-z])((?:AC|AL|AM|AP|BA|CE|DF|ES|GO|MA|MG|MS|MT|PA|PB|PE|PI|PR|RJ|RN|RO|RR|RS|SC|SE|SP|TO)[- ]?)$/;

/** RG has no form all states share: seven to nine digits, the last perhaps X, that the words before name. */
const rg: RunReader = (run, { text, contexts }) => {
  const weight = contexts.weight('rg', run.start);
  if (weight === 0) return undefined;
  const mark = run.digits.length < 9 ? /^[- ]?[Xx](?![0-9A-Za-z])/.exec(text.slice(run.end, run.end + 3)) : null;
  const number = mark ? `${run.digits}X` : run.digits;
  const state = STATE.exec(text.slice(Math.max(0, run.start - 4), run.start));
  const whole = {
    start: run.start - (state?.[1]?.length ?? 0),
    end: run.end + (mark?.[0].length ?? 0),
    digits: number,
  };
  return found('rg', whole, (isSaoPauloRg(number) ? 0.5 : 0.35) + 0.45 * weight);
};

/** By count of digits, who reads it. */
export const DOCUMENTS: Partial<Record<number, readonly RunReader[]>> = {
  7: [rg],
  8: [rg, cep],
  9: [rg],
  11: [cpf, named('pis', isPis), named('cnh', isCnh)],
  12: [named('voter_id', isVoterId)],
  13: [card],
  14: [cnpj, card],
  15: [card],
  16: [card],
  19: [card],
  47: [boleto],
  48: [boleto],
};
