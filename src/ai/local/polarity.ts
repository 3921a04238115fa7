import { type Language, languageSeenIn } from '#src/ai/local/language.ts';
import { type Lexicon, LEXICONS, phraseTable } from '#src/ai/local/lexicon.ts';
import { EMOJI, EMOTION_WORDS, type Emotion, EMOTIONS } from '#src/ai/local/lexicons/emotions.ts';
import { fold } from '#src/ai/local/words.ts';

// Weights run from −4 to 4 as in VADER (Hutto and Gilbert, 2014), whose squashing x/√(x²+15) and factors these are, adjusted on the tuning messages.
const SQUASH = 15;
const NEGATED_GOOD = -0.75;
const NEGATED_BAD = -0.5;
const NEGATION_REACH = 3;
const STRONGER = 1.35;
const WEAKER = 0.6;
const LOUD = 1.2;
const BEFORE_CONTRAST = 0.4;
const AFTER_CONTRAST = 1.3;
// "É bom para pele oleosa?" praises nothing; "por que não chegou?" does complain.
const ASKED_GOOD = 0.35;
const ASKED_BAD = 0.8;

const emojis = new Map(Object.entries(EMOJI));
const emotionWords = phraseTable(EMOTIONS.map((emotion) => [emotion, EMOTION_WORDS[emotion]] as const));
const TOKEN = /\p{L}[\p{L}\p{N}]*(?:['’]\p{L}+)?|\p{N}+|\p{Extended_Pictographic}|[!?.,;:\n]/gu;
const SEPARATORS = new Set('!?.,;:\n');
const LAUGH = /^(?:k{3,}|(?:ha|he|rs|ja){2,}h?)$/u;

interface Hit {
  at: number;
  weight: number;
}

/** Tokens as typed (for loudness) and folded (for the tables), same positions. */
function tokensOf(text: string): { typed: string[]; words: string[] } {
  const typed = (text.replace(/\bd\+/giu, 'demais').match(TOKEN) ?? []).map((token) => token.replace('’', "'"));
  return { typed, words: typed.map((token) => (LAUGH.test(token.toLowerCase()) ? 'kkk' : fold(token))) };
}

function isLoud(token: string): boolean {
  return (
    (token.length > 2 && token === token.toUpperCase() && token !== token.toLowerCase()) ||
    /(\p{L})\1{2,}/iu.test(token)
  );
}

/** Whether a negator stands shortly before. An entry that begins with one ("nada mal") is whole in itself: "não é nada mal" stays good. */
function isNegated(words: readonly string[], at: number, lexicon: Lexicon): boolean {
  if (lexicon.negators.has(words[at] ?? '')) return false;
  for (let back = at - 1; back >= Math.max(0, at - NEGATION_REACH); back -= 1) {
    const word = words[back] ?? '';
    if (SEPARATORS.has(word) || lexicon.contrasts.has(word)) return false;
    if (lexicon.negators.has(word)) return true;
  }
  return false;
}

/** A table weight as its neighbours change it: negation, strength before and after, loudness. */
function weighed(
  weight: number,
  at: number,
  length: number,
  tokens: ReturnType<typeof tokensOf>,
  lexicon: Lexicon,
): number {
  const { typed, words } = tokens;
  let result = weight;
  const before = [words[at - 1] ?? '', words[at - 2] ?? ''];
  const after = words[at + length] ?? '';
  if (before.some((word) => lexicon.intensifiers.has(word)) || lexicon.afterIntensifiers.has(after)) result *= STRONGER;
  if (lexicon.diminishers.has(before[0] ?? '')) result *= WEAKER;
  if (isLoud(typed[at] ?? '')) result *= LOUD;
  if (isNegated(words, at, lexicon)) result *= result > 0 ? NEGATED_GOOD : NEGATED_BAD;
  return result;
}

/** The first feeling among the words of one entry ("muito obrigada"). */
function feelingIn(words: readonly string[], at: number, length: number): Emotion | undefined {
  for (let place = at; place < at + length; place += 1) {
    const found = emotionWords.find(words, place);
    if (found) return found.value;
  }
  return undefined;
}

function hitsOf(tokens: ReturnType<typeof tokensOf>, lexicon: Lexicon, emotions: Map<Emotion, number>): Hit[] {
  const hits: Hit[] = [];
  const { words } = tokens;
  for (let at = 0; at < words.length;) {
    if (SEPARATORS.has(words[at] ?? '')) {
      at += 1;
      continue;
    }
    const emoji = emojis.get(words[at] ?? '');
    const found = lexicon.weights.find(words, at);
    const feeling = emoji ? emoji[1] : feelingIn(words, at, found?.length ?? 1);
    const weight = emoji ? emoji[0] : found ? weighed(found.value, at, found.length, tokens, lexicon) : 0;
    if (feeling && (emoji || found?.value !== 0) && !isNegated(words, at, lexicon)) {
      emotions.set(feeling, (emotions.get(feeling) ?? 0) + Math.max(1, Math.abs(weight)));
    }
    if (weight !== 0) hits.push({ at, weight });
    at += found?.length ?? 1;
  }
  return hits;
}

/** Where nothing tells the language: the list that knows most of the words. */
function mostKnowing(words: readonly string[]): Lexicon {
  const known = (lexicon: Lexicon) => words.filter((_, at) => lexicon.weights.find(words, at)).length;
  return Object.values(LEXICONS).reduce((best, next) => (known(next) > known(best) ? next : best));
}

/** "Nice, but slow" is about slow: what stands before the last contrast in its sentence counts less, what follows more. */
function contrasted(hits: Hit[], words: readonly string[], lexicon: Lexicon): Hit[] {
  const turn = words.findLastIndex((word) => lexicon.contrasts.has(word));
  if (turn < 0 || !hits.some((hit) => hit.at > turn)) return hits;
  return hits.map(({ at, weight }) => ({ at, weight: weight * (at < turn ? BEFORE_CONTRAST : AFTER_CONTRAST) }));
}

/** What lists and rules find in a text. */
export interface Polarity {
  /** Weights of the hits as their neighbours change them, summed; above 0 is good. */
  sum: number;
  /** The same with all of them taken as positive: how much there is to go by. */
  strength: number;
  asks: boolean;
  language: Language | undefined;
  /** Strongest first. */
  emotions: Emotion[];
}

/** Weighs a text by lexicon and rules, in time linear in its length. */
export function polarityOf(text: string): Polarity {
  const tokens = tokensOf(text);
  const language = languageSeenIn(text);
  const lexicon = language ? LEXICONS[language] : mostKnowing(tokens.words);
  const emotions = new Map<Emotion, number>();
  const hits = contrasted(hitsOf(tokens, lexicon, emotions), tokens.words, lexicon);
  const exclamations = Math.min(3, tokens.words.filter((word) => word === '!').length);
  const raw = hits.reduce((total, hit) => total + hit.weight, 0);
  const asks = tokens.words.at(-1) === '?';
  const asked = !asks ? 1 : raw > 0 ? ASKED_GOOD : ASKED_BAD;
  return {
    sum: raw * (1 + exclamations * 0.1) * asked,
    strength: hits.reduce((total, hit) => total + Math.abs(hit.weight), 0) * asked,
    asks,
    language,
    emotions: [...emotions].toSorted((a, b) => b[1] - a[1]).map(([emotion]) => emotion),
  };
}

/** x/√(x²+15), VADER's way to bring a sum into −1 to 1. */
export function squash(sum: number): number {
  return sum / Math.sqrt(sum * sum + SQUASH);
}

/** What the lists tell the model about a text: which way, how much, both ways, and whether it asks. */
export function polarityNumbers({ sum, strength, asks }: Polarity): number[] {
  const good = (strength + sum) / 2;
  const bad = (strength - sum) / 2;
  return [squash(sum), squash(good), squash(bad), strength === 0 ? 1 : 0, asks ? 1 : 0];
}
