import type { FoundEntity, Reading } from '#src/ai/local/entities/found.ts';
import { NUMBER_WORD, SCALE, scaleOf, valueOfDigits, valueOfWords } from '#src/ai/local/entities/number-words.ts';

const DIGITS = String.raw`\d{1,3}(?:\.\d{3}){1,4}(?:,\d{1,2})?|\d{1,3}(?:,\d{3}){1,4}(?:\.\d{1,2})?|\d{1,10}(?:[.,]\d{1,2})?`;
const WORDED = String.raw`(?:${NUMBER_WORD})(?:(?:\s+(?:e|and|y)\s+|\s+|-)(?:${NUMBER_WORD})){0,9}`;
const ENDS = String.raw`(?![\p{L}\p{N}]|[.,]\d)`;
const SCALED = String.raw`(?:\s?(?<scale>${SCALE})${ENDS})?`;

const SYMBOLS: Record<string, string> = {
  r$: 'BRL',
  brl: 'BRL',
  us$: 'USD',
  u$: 'USD',
  usd: 'USD',
  $: 'USD',
  '€': 'EUR',
  eur: 'EUR',
  '£': 'GBP',
  gbp: 'GBP',
};
/** Names of currencies by their beginnings; `''` where a name has several. */
const NAMES: [start: string, currency: string][] = [
  ['rea', 'BRL'],
  ['conto', 'BRL'],
  ['pila', 'BRL'],
  ['prata', 'BRL'],
  ['mango', 'BRL'],
  ['pau', 'BRL'],
  ['d', 'USD'],
  ['buck', 'USD'],
  ['euro', 'EUR'],
  ['libra', 'GBP'],
  ['pound', 'GBP'],
  ['peso', ''],
];
const NAME =
  'reais|real|contos?|pilas?|pratas?|mangos|paus?|dolares|dolar|dollars?|bucks?|euros?|libras?|pounds?|pesos';

const BEFORE = new RegExp(
  String.raw`(?<![\p{L}\p{N}])(?<symbol>r\$|us\$|u\$|\$|€|£|brl|usd|eur|gbp)\s?(?<digits>${DIGITS})(?![\d]|[.,]\d)${SCALED}(?:\s(?:de\s)?(?:reais|dolares|euros)${ENDS})?`,
  'gu',
);
const AFTER = new RegExp(
  String.raw`(?<![\p{L}\p{N}.,$])(?:(?<digits>${DIGITS})(?![\d]|[.,]\d)${SCALED}|(?<words>${WORDED}))\s?(?:de\s)?(?:(?<name>${NAME})|(?<cents>centavos|cents)|(?<code>€|usd|eur|brl|r\$))${ENDS}` +
    String.raw`(?:\s(?:e|and|y)\s(?:(?<more>\d{1,2})|(?<moreWords>${WORDED}))(?:\s(?:centavos|cents))${ENDS})?`,
  'gu',
);
/** "2 mil" without a currency is money where no thing follows that is counted. */
const BARE = new RegExp(
  String.raw`(?<![\p{L}\p{N}.,$/-])(?:(?<digits>\d{1,3}(?:[.,]\d{1,2})?)|(?<words>${WORDED}))\s?(?<scale>mil|k)${ENDS}(?=\s*(?:$|[.,;!?)\n])|\s(?:por|no|na|em|pra|para|ou|a vista|de entrada|de desconto|a|ate|mais|cada|so|e|pelo|pela|nesse|nessa|mensa\w{0,5})\b)`,
  'gu',
);
/** A price without a currency: cents, after a word that speaks of a price. */
const PRICED = new RegExp(
  String.raw`(?<=\b(?:por|valor|custa|custou|preco|total|fica|ficou|sai|saiu|deu|paguei|pago|pagar|cobraram|cobrou|de|a|so)\s(?:de\s|e\s|:\s?)?)(?<digits>\d{1,3}(?:\.\d{3}){0,3},\d{2})(?![\d,.]\d|\d|%|\s?(?:kg|g|ml|l|m|cm|km|%|metros?|litros?|quilos?))`,
  'gu',
);

const currencyNamed = (name: string) => NAMES.find(([start]) => name.startsWith(start))?.[1] ?? '';

/** An amount as it is stored: the currency's code and the amount with its cents. */
function written(currency: string, amount: number): string {
  return `${currency} ${amount.toFixed(2)}`;
}

function amountOf(groups: Record<string, string | undefined>): number | undefined {
  const { digits, words, scale } = groups;
  const number = digits === undefined ? valueOfWords(words ?? '') : valueOfDigits(digits);
  return number === undefined ? undefined : number * scaleOf(scale);
}

function named(match: RegExpExecArray, value: string): string | undefined {
  const groups = match.groups ?? {};
  const amount = amountOf(groups);
  if (amount === undefined) return undefined;
  if (groups['cents']) return written('BRL', amount / 100);
  const currency = groups['code'] ? (SYMBOLS[groups['code']] ?? '') : currencyNamed(groups['name'] ?? '');
  const cents = groups['more'] ? Number(groups['more']) : groups['moreWords'] ? valueOfWords(groups['moreWords']) : 0;
  return currency === '' ? value : written(currency, amount + (cents ?? 0) / 100);
}

/** Amounts of money: "R$ 1.234,56", "50 conto", "cinquenta reais", "US$ 20", "2 mil". `normalized` is `BRL 1234.56`. Linear in the text. */
export function moneyIn({ typed, flat }: Reading): FoundEntity[] {
  const found: FoundEntity[] = [];
  const add = (match: RegExpExecArray, normalized: string | undefined, confidence: number) => {
    const { index, 0: text } = match;
    if (normalized !== undefined) found.push({ start: index, end: index + text.length, normalized, confidence });
  };
  for (const match of flat.matchAll(BEFORE)) {
    const amount = amountOf(match.groups ?? {});
    if (amount !== undefined) add(match, written(SYMBOLS[match.groups?.['symbol'] ?? ''] ?? 'BRL', amount), 0.98);
  }
  for (const match of flat.matchAll(AFTER)) {
    const slang = /conto|pila|prata|mango|pau/u.test(match.groups?.['name'] ?? '');
    add(match, named(match, typed.slice(match.index, match.index + match[0].length)), slang ? 0.75 : 0.95);
  }
  for (const [pattern, confidence] of [
    [BARE, 0.55],
    [PRICED, 0.6],
  ] as const) {
    for (const match of flat.matchAll(pattern)) {
      const amount = amountOf(match.groups ?? {});
      if (amount !== undefined) add(match, written('BRL', amount), confidence);
    }
  }
  return found;
}
