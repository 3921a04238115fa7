import { stripVTControlCharacters, styleText } from 'node:util';

/** A text from elsewhere as it may be shown: what would steer the terminal is taken out. */
export const plain = (text: string): string => text.replaceAll(/\p{Cc}+/gu, ' ').trim();

/** A text without the keys in it. */
export const redact = (text: string): string => text.replaceAll(/wh_live_[\w-]+/g, 'wh_live_…');

const segments = new Intl.Segmenter();
/** In characters as people count them. */
export const lengthOf = (text: string): number => [...segments.segment(text)].length;

/** Cut to so many characters, with a mark where it was cut. */
export function clip(text: string, width: number): string {
  const letters = [...segments.segment(text)];
  return letters.length <= width
    ? text
    : `${letters
        .slice(0, width - 1)
        .map(({ segment }) => segment)
        .join('')}…`;
}

/** 12345 as 12 345, everywhere the same. */
export const count = (value: number): string => String(value).replaceAll(/\B(?=(\d{3})+(?!\d))/g, ' ');

/** Seconds as people say them, to the two largest units. */
export function duration(seconds: number): string {
  const units = [
    ['d', Math.floor(seconds / 86_400)],
    ['h', Math.floor(seconds / 3600) % 24],
    ['min', Math.floor(seconds / 60) % 60],
    ['s', Math.floor(seconds) % 60],
  ] as const;
  const first = units.findIndex(([, amount]) => amount > 0);
  if (first < 0) return '0 s';
  return units
    .slice(first, first + 2)
    .filter(([, amount]) => amount > 0)
    .map(([unit, amount]) => `${amount} ${unit}`)
    .join(' ');
}

/** `12 created · 3 invalid`: what there is any of. */
export const tally = (counts: Record<string, number>): string =>
  Object.entries(counts)
    .filter(([, amount]) => amount > 0)
    .map(([name, amount]) => `${count(amount)} ${plain(name)}`)
    .join(' · ');

const BAR_WIDTH = 24;

/** `█████░░░` and `62 % 5/8`; `total` null where nobody knows it. */
export function bar(done: number, total: number | null): string[] {
  if (total === null) return [count(done)];
  const share = total === 0 ? 1 : Math.min(1, done / total);
  const full = Math.round(share * BAR_WIDTH);
  const shown = styleText('green', '█'.repeat(full)) + styleText('dim', '░'.repeat(BAR_WIDTH - full));
  // Rounded down: only what is all done is 100 %.
  return [shown, `${Math.floor(share * 100)} % ${count(done)}/${count(total)}`];
}

const isBar = (part: string): boolean => /^[█░]+$/.test(stripVTControlCharacters(part));

/** The parts of a line, in as many lines as they need; bars are left out where one is not enough. */
export function wrap(parts: readonly string[], width: number): string[] {
  const whole = parts.join('  ');
  if (lengthOf(stripVTControlCharacters(whole)) <= width) return [whole];
  const lines: string[] = [];
  const small = parts.filter((part) => !isBar(part)).flatMap((part) => part.split(' · '));
  for (const part of small.map((one) => clip(stripVTControlCharacters(one), width))) {
    const joined = `${lines.at(-1)}  ${part}`;
    if (lines.length > 0 && lengthOf(joined) <= width) lines[lines.length - 1] = joined;
    else lines.push(part);
  }
  return lines;
}

const MAX_CELL = 60;

/** Rows under a head, in columns as wide as they need. */
export function layOut(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map((cell) => clip(plain(cell), MAX_CELL)));
  const widths = head.map((title, at) => Math.max(lengthOf(title), ...cells.map((row) => lengthOf(row[at] ?? ''))));
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => cell + ' '.repeat(Math.max(0, (widths[at] ?? 0) - lengthOf(cell))))
      .join('  ')
      .trimEnd();
  return [styleText('bold', line(head)), ...cells.map(line)].map((text) => `${text}\n`).join('');
}
