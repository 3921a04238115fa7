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

/** Builds the table from lists of entries; of two equal entries the first given stays. */
export function phraseTable<Value>(lists: Iterable<readonly [Value, string]>): PhraseTable<Value> {
  const exact = new Map<string, Value>();
  const stems = new Map<string, Value>();
  const phrases = new Map<string, { words: string[]; value: Value }[]>();
  let size = 0;
  for (const [value, list] of lists) {
    for (const entry of list.split(',').map((text) => text.trim().split(/\s+/u))) {
      const [first = ''] = entry;
      if (first === '') continue;
      size += 1;
      if (entry.length > 1) phrases.set(first, [...(phrases.get(first) ?? []), { words: entry, value }]);
      else if (!first.endsWith('*')) exact.set(first, exact.get(first) ?? value);
      else stems.set(first.slice(0, -1), stems.get(first.slice(0, -1)) ?? value);
    }
  }
  for (const list of phrases.values()) list.sort((a, b) => b.words.length - a.words.length);
  return { size, find: (words, at) => findPhrase(phrases, words, at) ?? findWord(exact, stems, words[at] ?? '') };
}

function findPhrase<Value>(
  phrases: Map<string, { words: string[]; value: Value }[]>,
  words: readonly string[],
  at: number,
): { value: Value; length: number } | undefined {
  const found = phrases.get(words[at] ?? '')?.find((phrase) =>
    phrase.words.every((part, offset) => {
      const word = words[at + offset];
      return part.endsWith('*') ? word?.startsWith(part.slice(0, -1)) : word === part;
    }),
  );
  return found && { value: found.value, length: found.words.length };
}

function findWord<Value>(exact: Map<string, Value>, stems: Map<string, Value>, word: string) {
  const whole = exact.get(word);
  if (whole !== undefined) return { value: whole, length: 1 };
  for (let length = Math.min(word.length, 16); length >= SHORTEST_STEM; length -= 1) {
    const value = stems.get(word.slice(0, length));
    if (value !== undefined) return { value, length: 1 };
  }
  return undefined;
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
