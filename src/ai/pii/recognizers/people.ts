import type { Subject } from '#src/ai/pii/recognizers/context.ts';
import type { Found } from '#src/ai/pii/span.ts';

const MONTHS =
  'jan(?:eiro|uary)?|fev(?:ereiro)?|feb(?:ruary|rero)?|mar(?:[cç]o|ch|zo)?|abr(?:il)?|apr(?:il)?|mai(?:o)?|may(?:o)?|jun(?:ho|e|io)?|jul(?:ho|y|io)?|ago(?:sto)?|aug(?:ust)?|set(?:embro)?|sep(?:t(?:ember|iembre)?)?|out(?:ubro)?|oct(?:ober|ubre)?|nov(?:embro|ember|iembre)?|dez(?:embro)?|dec(?:ember)?|dic(?:iembre)?|ene(?:ro)?';
const NUMBERS = new Map(
  Object.entries({
    jan: 1,
    ene: 1,
    fev: 2,
    feb: 2,
    mar: 3,
    abr: 4,
    apr: 4,
    mai: 5,
    may: 5,
    jun: 6,
    jul: 7,
    ago: 8,
    aug: 8,
    set: 9,
    sep: 9,
    out: 10,
    oct: 10,
    nov: 11,
    dez: 12,
    dec: 12,
    dic: 12,
  }),
);
const DATE = new RegExp(
  String.raw`(?<!\d)(?:(?<day>\d{1,2})(?:\s?[/.-]\s?(?<month>\d{1,2})\s?[/.-]\s?|\s(?:de\s)?(?<word>${MONTHS})\.?,?\s(?:de\s|del\s)?)(?<year>\d{4}|\d{2})|(?<isoYear>\d{4})-(?<isoMonth>\d{2})-(?<isoDay>\d{2})|(?<firstWord>${MONTHS})\.?\s(?<secondDay>\d{1,2})(?:st|nd|rd|th)?,?\s(?<lastYear>\d{4}))(?!\d)`,
  'i',
);
const REACH = 40;

/** The date a match spells, `YYYY-MM-DD`, if there is such a day; two digits of a year mean the last hundred years. */
function isoDate(groups: Record<string, string | undefined>, thisYear: number): string | undefined {
  const word = groups['word'] ?? groups['firstWord'];
  const day = Number(groups['day'] ?? groups['isoDay'] ?? groups['secondDay']);
  const month = word ? NUMBERS.get(word.slice(0, 3).toLowerCase()) : Number(groups['month'] ?? groups['isoMonth']);
  const written = groups['year'] ?? groups['isoYear'] ?? groups['lastYear'] ?? '';
  const short = Number(written) + (Number(written) > thisYear % 100 ? 1900 : 2000);
  const year = written.length === 2 ? short : Number(written);
  if (month === undefined || year < 1900 || year > thisYear) return undefined;
  const date = new Date(Date.UTC(year, month - 1, day));
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date.toISOString().slice(0, 10) : undefined;
}

/** Dates of birth: the first date after words that speak of a birth. */
export function birthDates({ text, contexts }: Subject): Found[] {
  const all = new Map<number, Found>();
  const thisYear = new Date().getUTCFullYear();
  for (const from of contexts.of('birth_date')) {
    const match = DATE.exec(text.slice(from, from + REACH));
    const normalized = match && isoDate(match.groups ?? {}, thisYear);
    if (!normalized) continue;
    const start = from + match.index;
    all.set(start, { type: 'birth_date', start, end: start + match[0].length, normalized, score: 0.85 });
  }
  return [...all.values()];
}

const INTRODUCED =
  /\b(?:meu nome (?:completo )?[eé]|me chamo|nome completo ?:|nome ?:|my (?:full )?name is|full name ?:|name ?:|mi nombre (?:completo )?es|me llamo|nombre(?: completo)? ?:|titular ?:|em nome d[eoa]|benefici[aá]ri[oa] ?:)\s*/gi;
const TITLED =
  /\b(?:Sra?|Srta|Dra?|Profa?|Mrs?|Ms|Miss|Sres|D)\.\s?|\b(?:Senhora?|Seu|Dona|Doutora?|Don|Do[nñ]a|aqui [eé] [oa]|fal[oae](?:ndo)? com [oa]|this is)\s/gi;
const CAPITALIZED = /\p{Lu}[\p{L}'’]{1,24}(?:[ -](?:(?:d[aeo]s?|del|e|y|von|van)\s)?\p{Lu}[\p{L}'’]{1,24}){0,5}/uy;
const LOWER = /\p{L}[\p{L}'’]{1,24}(?: \p{L}[\p{L}'’]{0,24}){0,4}/uy;
const ENDS = /^\s*(?:[.,;!?\n]|$)/;
/** What stands after "meu nome é" or a title and is no name. */
const NO_NAME = new Set(
  `a o as os um uma the el la de do da no na em importante outro esse este aquele isso não nao sim que qual quem seu sua meu minha mesmo igual
  correto certo errado cliente senhor senhora pedido cep cpf cnpj rg not your my important wrong correct muy suyo suya otro`.split(
    /\s+/u,
  ),
);

function nameAt(text: string, start: number, isIntroduced: boolean): string | undefined {
  CAPITALIZED.lastIndex = start;
  const capitalized = CAPITALIZED.exec(text)?.[0];
  if (capitalized) return NO_NAME.has(capitalized.toLowerCase()) ? undefined : capitalized;
  LOWER.lastIndex = start;
  const lower = isIntroduced ? LOWER.exec(text)?.[0] : undefined;
  if (!lower) return undefined;
  const [first = ''] = lower.split(' ');
  if (NO_NAME.has(first.toLowerCase())) return undefined;
  // "meu nome é maria clara souza." is all name; of "me chamo joao e queria saber o preço" only the first word is sure.
  return ENDS.test(text.slice(start + lower.length, start + lower.length + 20)) && lower.split(' ').length < 5
    ? lower
    : first;
}

/** Names of people, where they introduce themselves or carry a title. Most names in a conversation stand without either and are not found. */
export function names({ text }: Subject): Found[] {
  const all: Found[] = [];
  for (const [pattern, isIntroduced] of [
    [INTRODUCED, true],
    [TITLED, false],
  ] as const) {
    for (const match of text.matchAll(pattern)) {
      const start = match.index + match[0].length;
      const name = nameAt(text, start, isIntroduced);
      if (name) {
        all.push({ type: 'name', start, end: start + name.length, normalized: name, score: isIntroduced ? 0.7 : 0.55 });
      }
    }
  }
  return all;
}
