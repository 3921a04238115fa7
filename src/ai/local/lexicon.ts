import type { Language } from '#src/ai/local/language.ts';
import { en } from '#src/ai/local/lexicons/en.ts';
import { es } from '#src/ai/local/lexicons/es.ts';
import { pt } from '#src/ai/local/lexicons/pt.ts';

/** A language's list as people edit it: weight → entries by comma, and the words that change a weight near them. */
export interface LexiconSource {
  weights: Record<string, string>;
  negators: string;
  intensifiers: string;
  afterIntensifiers: string;
  diminishers: string;
  contrasts: string;
}

/** Entries → value, looked up at a place in a text: whole phrases first, then words, then stems (`lind*`). */
export interface PhraseTable<Value> {
  /** The longest entry that starts at `words[at]`, and how many words it spans. */
  find(words: readonly string[], at: number): { value: Value; length: number } | undefined;
  readonly size: number;
}

const SHORTEST_STEM = 3;
const LONGEST_STEM = 16;

/** A phrase's words from the third on, and what it is worth. */
interface Phrase<Value> {
  rest: string[];
  value: Value;
}

/** Phrases by their first word, then by their second, whole or as a stem with `*`; the longest first. */
type Phrases<Value> = Map<string, Map<string, Phrase<Value>[]>>;

/** Builds the table from lists of entries; of two equal entries the first given stays. */
export function phraseTable<Value>(lists: Iterable<readonly [Value, string]>): PhraseTable<Value> {
  const exact = new Map<string, Value>();
  const stems = new Map<string, Value>();
  const phrases: Phrases<Value> = new Map();
  let size = 0;
  for (const [value, list] of lists) {
    for (const entry of list.split(',').map((text) => text.trim().split(/\s+/u))) {
      const [first = '', second, ...rest] = entry;
      if (first === '') continue;
      size += 1;
      if (second !== undefined) {
        const seconds = phrases.get(first) ?? new Map<string, Phrase<Value>[]>();
        phrases.set(first, seconds.set(second, [...(seconds.get(second) ?? []), { rest, value }]));
      } else if (!first.endsWith('*')) exact.set(first, exact.get(first) ?? value);
      else stems.set(first.slice(0, -1), stems.get(first.slice(0, -1)) ?? value);
    }
  }
  for (const seconds of phrases.values())
    for (const list of seconds.values()) list.sort((a, b) => b.rest.length - a.rest.length);
  const byStart = stemsBy(stems, SHORTEST_STEM);
  return { size, find: (words, at) => findPhrase(phrases, words, at) ?? findWord(exact, byStart, words[at] ?? '') };
}

function findPhrase<Value>(
  phrases: Phrases<Value>,
  words: readonly string[],
  at: number,
): { value: Value; length: number } | undefined {
  const seconds = phrases.get(words[at] ?? '');
  const second = words[at + 1];
  if (!seconds || second === undefined) return undefined;
  let best = restOf(seconds.get(second), words, at + 2);
  for (let length = Math.min(second.length, LONGEST_STEM); length > 0; length -= 1) {
    const found = restOf(seconds.get(`${second.slice(0, length)}*`), words, at + 2);
    if (found && (!best || found.length > best.length)) best = found;
  }
  return best;
}

/** The longest phrase of a list whose rest stands at a place. */
function restOf<Value>(list: Phrase<Value>[] | undefined, words: readonly string[], at: number) {
  const found = list?.find(({ rest }) =>
    rest.every((part, offset) => {
      const word = words[at + offset];
      return part.endsWith('*') ? word?.startsWith(part.slice(0, -1)) : word === part;
    }),
  );
  return found && { value: found.value, length: found.rest.length + 2 };
}

/** Stems by their first letters, the longest first: one look-up a word instead of one a letter. */
type Stems<Value> = Map<string, { stem: string; value: Value }[]>;

function stemsBy<Value>(stems: Map<string, Value>, letters: number): Stems<Value> {
  const list = [...stems].map(([stem, value]) => ({ stem, value })).toSorted((a, b) => b.stem.length - a.stem.length);
  return Map.groupBy(list, ({ stem }) => stem.slice(0, letters));
}

function findWord<Value>(exact: Map<string, Value>, stems: Stems<Value>, word: string) {
  const whole = exact.get(word);
  if (whole !== undefined) return { value: whole, length: 1 };
  const found = stems.get(word.slice(0, SHORTEST_STEM))?.find(({ stem }) => word.startsWith(stem));
  return found && { value: found.value, length: 1 };
}

/** A language's list, ready to be looked up. */
export interface Lexicon {
  weights: PhraseTable<number>;
  negators: Set<string>;
  intensifiers: Set<string>;
  afterIntensifiers: Set<string>;
  diminishers: Set<string>;
  contrasts: Set<string>;
}

const set = (list: string) => new Set(list.split(/\s+/u));

function compile(source: LexiconSource): Lexicon {
  return {
    weights: phraseTable(Object.entries(source.weights).map(([weight, list]) => [Number(weight), list] as const)),
    negators: set(source.negators),
    intensifiers: set(source.intensifiers),
    afterIntensifiers: set(source.afterIntensifiers),
    diminishers: set(source.diminishers),
    contrasts: set(source.contrasts),
  };
}

export const LEXICONS: Record<Language, Lexicon> = { pt: compile(pt), en: compile(en), es: compile(es) };
