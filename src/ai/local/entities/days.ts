import { addDays, addMonths, type Day, isBefore, isDay, weekdayOf } from '#src/ai/local/entities/calendar.ts';
import { NUMBER_WORD, valueOfWords } from '#src/ai/local/entities/number-words.ts';

/** A stretch that names a day, or a moment so many minutes from now. */
export interface DayFound {
  start: number;
  end: number;
  day: Day;
  minutesFromNow?: number;
  confidence: number;
}

const NOT_INSIDE = String.raw`(?<![\p{L}\p{N}/.,-])`;
const ENDS = String.raw`(?![\p{L}\p{N}])`;
const COUNT = String.raw`(?:\d{1,3}|${NUMBER_WORD})`;

const SHIFTS: Record<string, number> = {
  hoje: 0, today: 0, tonight: 0, hoy: 0, amanha: 1, tomorrow: 1, 'depois de amanha': 2, 'day after tomorrow': 2, 'pasado manana': 2, manana: 1, ontem: -1, yesterday: -1, ayer: -1,
  anteontem: -2, 'antes de ontem': -2, anteayer: -2,
}; // prettier-ignore
const shifts = new Map(Object.entries(SHIFTS));
const SHIFTED = new RegExp(
  `${NOT_INSIDE}(?<!\\bla )(?:the )?(?<word>${[...shifts.keys()].toSorted((a, b) => b.length - a.length).join('|')})${ENDS}`,
  'gu',
);

const WEEKDAYS = [
  ['domingo', 'sunday'],
  ['segunda', 'monday', 'lunes'],
  ['terca', 'tuesday', 'martes'],
  ['quarta', 'wednesday', 'miercoles'],
  ['quinta', 'thursday', 'jueves'],
  ['sexta', 'friday', 'viernes'],
  ['sabado', 'saturday'],
];
const ORDINAL = /^(?:segunda|terca|quarta|quinta|sexta)$/u;
// "Segunda via", "quarta série", "quinta marcha": bare, such a word is a day only before these.
const DAY_GOES_ON =
  /^\s*(?:$|[.,;:!?)\n])|^\s(?:as|a|de manha|de tarde|de noite|da manha|pela|cedo|que|eu|voce|vcs|nao|ou|e|dia|tem|pode|ta|esta|to|as|por|no|na|pra|para|depois|antes|ja|sem|\d)(?![\p{L}])/u;
const WEEKDAY = new RegExp(
  String.raw`${NOT_INSIDE}(?<before>(?:proxim[oa]|ess[ea]|est[ea]|next|this|last|proximo|este)\s)?(?<name>${WEEKDAYS.flat().join('|')})(?:[ -]feira)?(?<after>\s(?:que vem|passad[oa]|retrasad[oa]|proxim[oa]))?${ENDS}`,
  'gu',
);

const UNITS: [unit: RegExp, days: number, months: number, minutes: number][] = [
  [/^(?:dias?|days?)$/u, 1, 0, 0],
  [/^(?:semanas?|weeks?)$/u, 7, 0, 0],
  [/^(?:mes|meses|months?)$/u, 0, 1, 0],
  [/^(?:anos?|years?)$/u, 0, 12, 0],
  [/^(?:horas?|hours?|hrs?|h)$/u, 0, 0, 60],
  [/^(?:minutos?|min|mins|minutes?)$/u, 0, 0, 1],
];
const UNIT = 'dias?|days?|semanas?|weeks?|meses|mes|months?|anos?|years?|horas?|hours?|minutos?|minutes?|mins?|h';
const AHEAD = new RegExp(
  String.raw`${NOT_INSIDE}(?<lead>daqui a|daqui|dentro de|em|in|en)\s(?<count>${COUNT})\s?(?<unit>${UNIT})${ENDS}`,
  'gu',
);
const AGO = new RegExp(
  String.raw`${NOT_INSIDE}(?:(?:ha|faz|hace)\s(?<count>${COUNT})\s(?<unit>${UNIT})|(?<count2>${COUNT})\s(?<unit2>${UNIT})\s(?:atras|ago))${ENDS}`,
  'gu',
);
/** How long something took, not when it is. */
const TOOK =
  /(?:chegou|chegaram|veio|vieram|entregou|entregaram|recebi|levou|demorou|ficou pronto|entregue|quebrou|parou|pago|parcelad[oa]|dividid[oa])\s(?:\p{L}{1,12}\s){0,2}$/u;

const SPANS: [pattern: RegExp, of: (today: Day) => Day][] = [
  [
    /(?:semana que vem|proxima semana|next week|semana proxima)/u,
    (today) => addDays(today, 7 - ((weekdayOf(today) + 6) % 7)),
  ],
  [/(?:semana passada|last week)/u, (today) => addDays(today, -7 - ((weekdayOf(today) + 6) % 7))],
  [/(?:mes que vem|proximo mes|next month|mes proximo)/u, (today) => ({ ...addMonths(today, 1), day: 1 })],
  [/(?:mes passado|last month)/u, (today) => ({ ...addMonths(today, -1), day: 1 })],
  [/(?:ano que vem|proximo ano|next year)/u, (today) => ({ year: today.year + 1, month: 1, day: 1 })],
];

const MONTHS = [
  'jan',
  'fev|feb|ene',
  'mar',
  'abr|apr',
  'mai|may',
  'jun',
  'jul',
  'ago|aug',
  'set|sep',
  'out|oct',
  'nov',
  'dez|dec|dic',
];
const MONTH =
  'janeiro|january|enero|fevereiro|february|febrero|marco|march|marzo|abril|april|maio|may|mayo|junho|june|junio|julho|july|julio|agosto|august|setembro|september|septiembre|outubro|october|octubre|novembro|november|noviembre|dezembro|december|diciembre';
const SPELLED = new RegExp(
  String.raw`${NOT_INSIDE}(?:(?:dia\s)?(?<day>\d{1,2})(?:o|º|st|nd|rd|th)?\s(?:de\s|of\s)?(?<month>${MONTH})|(?<month2>${MONTH})\s(?<day2>\d{1,2})(?:st|nd|rd|th)?)(?:(?:\s(?:de|del)\s|,?\s)(?<year>\d{4}))?${ENDS}`,
  'gu',
);
const SLASHED = new RegExp(
  String.raw`${NOT_INSIDE}(?<lead>dia\s)?(?<day>\d{1,2})[/.-](?<month>\d{1,2})(?:[/.-](?<year>\d{4}|\d{2}))?(?![\p{L}\p{N}%/]|[.,-]\d)`,
  'gu',
);
const ISO = /(?<![\p{L}\p{N}/.-])(?<year>\d{4})-(?<month>\d{2})-(?<day>\d{2})(?![\p{L}\p{N}-])/gu;
const DAY_ALONE = new RegExp(
  String.raw`${NOT_INSIDE}(?:dia|day)\s(?<day>\d{1,2})(?!\s?(?:[/:%-]\s?\d|de\s(?:${MONTH})|[.,]\d|x\b|dias))${ENDS}`,
  'gu',
);
/** Words that speak of a date before `25/12`: without one, and without two digits each, it may be a fraction. */
const SPEAKS_OF_DATES =
  /(?:dia|em|ate|para|pra|pro|no|desde|de|data|vence|vencimento|nasc\p{L}{0,8}|marcad[oa]|agendad[oa]|on|until|el)[\s:]{1,2}(?:o\s|dia\s)?$/u;
const SPEAKS_OF_THE_PAST =
  /(?:comprei|paguei|recebi|fiz|pedi|foi|era|desde|chegou|veio|marcaram|disseram|compramos|fui|estive|ontem|nasci|nascid[oa]|nasc)[\s,:]{1,2}(?:\p{L}{1,9}\s){0,3}$/u;
const LOOK_BACK = 48;

const countOf = (text: string) => (/^\d/u.test(text) ? Number(text) : (valueOfWords(text) ?? 0));

function shifted(today: Day, unit: string, count: number): Pick<DayFound, 'day' | 'minutesFromNow'> {
  const [, days = 0, months = 0, minutes = 0] = UNITS.find(([name]) => name.test(unit)) ?? [];
  if (minutes > 0) return { day: today, minutesFromNow: Math.round(minutes * count) };
  return { day: addDays(addMonths(today, months * count), Math.round(days * count)) };
}

/** The day of a weekday: the coming one, never today; "passada" the one before today, "retrasada" a week before that. */
function weekday(name: string, modifier: string, today: Day): Day {
  const wanted = WEEKDAYS.findIndex((names) => names.includes(name));
  const ahead = (wanted - weekdayOf(today) + 7) % 7 || 7;
  if (/retrasad/u.test(modifier)) return addDays(today, ahead - 14);
  if (/passad|last/u.test(modifier)) return addDays(today, ahead - 7);
  return addDays(today, ahead);
}

/** Without a year: the next such day, or the last one where the words before speak of the past. */
function withYear(month: number, day: number, today: Day, isPast: boolean): Day {
  const thisYear = { year: today.year, month, day };
  if (isPast) return isBefore(today, thisYear) ? { ...thisYear, year: today.year - 1 } : thisYear;
  return isBefore(thisYear, today) ? { ...thisYear, year: today.year + 1 } : thisYear;
}

function yearOf(text: string): number {
  return text.length === 2 ? 2000 + Number(text) - (Number(text) > 69 ? 100 : 0) : Number(text);
}

function monthAndDay(groups: Record<string, string | undefined>, today: Day, isPast: boolean): Day | undefined {
  const day = Number(groups['day'] ?? groups['day2']);
  const word = groups['month2'] ?? groups['month'] ?? '';
  const month = /^\d/u.test(word)
    ? Number(word)
    : MONTHS.findIndex((start) => new RegExp(`^(?:${start})`, 'u').test(word)) + 1;
  const year = groups['year'];
  const found = year === undefined ? withYear(month, day, today, isPast) : { year: yearOf(year), month, day };
  return isDay(found) ? found : undefined;
}

type Finder = (flat: string, today: Day) => (DayFound | undefined)[];

const at = (match: RegExpExecArray, day: Day, confidence: number): DayFound => ({
  start: match.index,
  end: match.index + match[0].length,
  day,
  confidence,
});
const beforeOf = (flat: string, index: number) => flat.slice(Math.max(0, index - LOOK_BACK), index);

const FINDERS: Finder[] = [
  (flat, today) =>
    [...flat.matchAll(SHIFTED)].map((match) =>
      at(match, addDays(today, shifts.get(match.groups?.['word'] ?? '') ?? 0), 0.95),
    ),
  (flat, today) =>
    [...flat.matchAll(WEEKDAY)].map((match) => {
      const { before = '', name = '', after = '' } = match.groups ?? {};
      const follows = flat.slice(match.index + match[0].length, match.index + match[0].length + 12);
      const isBare = ORDINAL.test(name) && match[0] === name;
      if (isBare && (!DAY_GOES_ON.test(follows) || /^\s(?:a|e)\s(?:quinta|sexta|sabado|domingo)/u.test(follows)))
        return undefined;
      return at(match, weekday(name, before + after, today), before + after ? 0.8 : isBare ? 0.7 : 0.85);
    }),
  (flat, today) =>
    [...flat.matchAll(AHEAD)].map((match) => {
      const { lead = '', count = '', unit = '' } = match.groups ?? {};
      if (lead === 'em' && TOOK.test(beforeOf(flat, match.index))) return undefined;
      return {
        ...at(match, today, lead === 'em' || lead === 'en' ? 0.65 : 0.9),
        ...shifted(today, unit, countOf(count)),
      };
    }),
  (flat, today) =>
    [...flat.matchAll(AGO)].map((match) => {
      const { count, count2, unit, unit2 } = match.groups ?? {};
      return { ...at(match, today, 0.8), ...shifted(today, unit ?? unit2 ?? '', -countOf(count ?? count2 ?? '')) };
    }),
  ...SPANS.map(
    ([pattern, of]): Finder =>
      (flat, today) =>
        [...flat.matchAll(new RegExp(`${NOT_INSIDE}${pattern.source}${ENDS}`, 'gu'))].map((match) =>
          at(match, of(today), 0.6),
        ),
  ),
  (flat, today) =>
    [...flat.matchAll(SPELLED)].map((match) => {
      const day = monthAndDay(match.groups ?? {}, today, SPEAKS_OF_THE_PAST.test(beforeOf(flat, match.index)));
      return day && at(match, day, 0.95);
    }),
  (flat, today) =>
    [...flat.matchAll(SLASHED)].map((match) => {
      const { lead, year, day: dayText = '', month: monthText = '' } = match.groups ?? {};
      const before = beforeOf(flat, match.index);
      const isMarked = lead !== undefined || SPEAKS_OF_DATES.test(before);
      const isPair = /\//u.test(match[0]) && dayText.length === 2 && monthText.length === 2 && dayText !== monthText;
      if (year === undefined && !(isMarked && match[0].includes('/')) && !isPair) return undefined;
      const day = monthAndDay(match.groups ?? {}, today, SPEAKS_OF_THE_PAST.test(before));
      return day && at(match, day, year ? 0.97 : isMarked ? 0.9 : 0.6);
    }),
  (flat) =>
    [...flat.matchAll(ISO)].map((match) => {
      const { year, month, day } = match.groups ?? {};
      const found = { year: Number(year), month: Number(month), day: Number(day) };
      return isDay(found) ? at(match, found, 0.98) : undefined;
    }),
  (flat, today) =>
    [...flat.matchAll(DAY_ALONE)].map((match) => {
      const day = Number(match.groups?.['day']);
      if (day < 1 || day > 31) return undefined;
      const isPast = SPEAKS_OF_THE_PAST.test(beforeOf(flat, match.index));
      const step = isPast ? -1 : 1;
      const passed = isPast ? day > today.day : day < today.day;
      const found = { ...addMonths({ ...today, day: 1 }, passed ? step : 0), day };
      return isDay(found) ? at(match, found, 0.8) : undefined;
    }),
];

/** The days a text names, told from today, in no order; they may overlap. Linear in the text. */
export function daysIn(flat: string, today: Day): DayFound[] {
  return FINDERS.flatMap((find) => find(flat, today)).filter((found) => found !== undefined);
}
