const WORDS: Record<string, number> = {
  um: 1, uma: 1, dois: 2, duas: 2, tres: 3, quatro: 4, cinco: 5, seis: 6, sete: 7, oito: 8, nove: 9, dez: 10, onze: 11, doze: 12, treze: 13, quatorze: 14, catorze: 14,
  quinze: 15, dezesseis: 16, dezessete: 17, dezoito: 18, dezenove: 19, vinte: 20, trinta: 30, quarenta: 40, cinquenta: 50, sessenta: 60, setenta: 70, oitenta: 80, noventa: 90,
  cem: 100, cento: 100, duzentos: 200, duzentas: 200, trezentos: 300, trezentas: 300, quatrocentos: 400, quatrocentas: 400, quinhentos: 500, quinhentas: 500, seiscentos: 600, setecentos: 700, oitocentos: 800, novecentos: 900,
  one: 1, two: 2, three: 3, four: 4, five: 5, six: 6, seven: 7, eight: 8, nine: 9, ten: 10, eleven: 11, twelve: 12, fifteen: 15, twenty: 20, thirty: 30, forty: 40, fifty: 50, sixty: 60, seventy: 70, eighty: 80, ninety: 90,
  uno: 1, dos: 2, cuatro: 4, siete: 7, ocho: 8, nueve: 9, diez: 10, veinte: 20, treinta: 30, cuarenta: 40, cincuenta: 50, cien: 100, ciento: 100, doscientos: 200, trescientos: 300, quinientos: 500,
}; // prettier-ignore
const SCALES: Record<string, number> = {
  hundred: 100, mil: 1e3, thousand: 1e3, k: 1e3, mi: 1e6, milhao: 1e6, milhoes: 1e6, million: 1e6, millon: 1e6, millones: 1e6, bi: 1e9, bilhao: 1e9, bilhoes: 1e9,
}; // prettier-ignore
const values = new Map(Object.entries(WORDS));
const scales = new Map(Object.entries(SCALES));

const longestFirst = (words: Iterable<string>) => [...words].toSorted((a, b) => b.length - a.length).join('|');

/** One number word of the three languages, without accents, in a pattern; scales are `SCALE`. */
export const NUMBER_WORD = longestFirst([
  ...values.keys(),
  'hundred',
  'mil',
  'thousand',
  'milhao',
  'milhoes',
  'million',
  'meio',
  'meia',
]);
export const SCALE = longestFirst([...scales.keys()].filter((scale) => scale !== 'hundred'));

/** What a scale word multiplies by; 1 for none. */
export function scaleOf(word: string | undefined): number {
  return (word && scales.get(word)) || 1;
}

/** The value of number words ("mil e duzentos", "cinquenta e dois", "two hundred"); undefined where they are none. */
export function valueOfWords(text: string): number | undefined {
  let total = 0;
  let group = 0;
  let seen = false;
  for (const word of text.split(/[\s-]+/u)) {
    if (word === '' || word === 'e' || word === 'and' || word === 'y') continue;
    const value = word === 'meio' || word === 'meia' ? 0.5 : values.get(word);
    const scale = scales.get(word);
    if (value === undefined && scale === undefined) return undefined;
    seen = true;
    if (value !== undefined) group += value;
    else if (scale === 100) group = (group || 1) * 100;
    else {
      total += (group || 1) * (scale ?? 1);
      group = 0;
    }
  }
  return seen ? total + group : undefined;
}

/** The value of digits as Brazil ("1.234,56") or the United States ("1,234.56") write them. A single mark before one or two last digits is the decimal one. */
export function valueOfDigits(text: string): number {
  const decimal = /[.,](\d{1,2})$/u.exec(text);
  const whole = (decimal ? text.slice(0, decimal.index) : text).replaceAll(/[.,]/gu, '');
  return Number(`${whole}.${decimal?.[1] ?? '0'}`);
}
