import { languageSeenIn } from '#src/ai/local/language.ts';
import { type Lexicon, LEXICONS, phraseTable } from '#src/ai/local/lexicon.ts';
import { EMOJI, EMOTION_WORDS, type Emotion, EMOTIONS } from '#src/ai/local/lexicons/emotions.ts';
import { fold } from '#src/ai/local/words.ts';

export interface Sentiment {
  sentiment: 'positive' | 'neutral' | 'negative';
  /** −1 to 1. */
  score: number;
  /** 0 to 1. */
  confidence: number;
  /** Strongest first. */
  emotions: Emotion[];
}

// Weights run from −4 to 4 as in VADER (Hutto and Gilbert, 2014), whose squashing x/√(x²+15) and factors these are, adjusted on the tuning messages.
const SQUASH = 15;
const NEUTRAL_BELOW = 0.2;
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
const SEPARATES = /^[!?.,;:\n]$/u;
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
    if (SEPARATES.test(word) || lexicon.contrasts.has(word)) return false;
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

/** The list to read a text by: its language's; where nothing tells the language, the list that knows most of its words. */
function lexiconFor(text: string, words: readonly string[]): Lexicon {
  const seen = languageSeenIn(text);
  if (seen) return LEXICONS[seen];
  const known = (lexicon: Lexicon) => words.filter((_, at) => lexicon.weights.find(words, at)).length;
  return Object.values(LEXICONS).reduce((best, next) => (known(next) > known(best) ? next : best));
}

/** "Nice, but slow" is about slow: what stands before the last contrast in its sentence counts less, what follows more. */
function contrasted(hits: Hit[], words: readonly string[], lexicon: Lexicon): Hit[] {
  const turn = words.findLastIndex((word) => lexicon.contrasts.has(word));
  if (turn < 0 || !hits.some((hit) => hit.at > turn)) return hits;
  return hits.map(({ at, weight }) => ({ at, weight: weight * (at < turn ? BEFORE_CONTRAST : AFTER_CONTRAST) }));
}

/**
 * The sentiment of one message by lexicon and rules, in time linear in its length. `score` is the squashed sum of weights; a text without
 * evidence is neutral with confidence 0.5; with evidence, confidence grows with its strength and falls where it points both ways.
 */
export function sentimentOf(text: string): Sentiment {
  const tokens = tokensOf(text);
  const lexicon = lexiconFor(text, tokens.words);
  const emotions = new Map<Emotion, number>();
  const hits = contrasted(hitsOf(tokens, lexicon, emotions), tokens.words, lexicon);
  if (hits.length === 0) return { sentiment: 'neutral', score: 0, confidence: 0.5, emotions: [] };
  const exclamations = Math.min(3, tokens.words.filter((word) => word === '!').length);
  const raw = hits.reduce((total, hit) => total + hit.weight, 0);
  const asked = tokens.words.at(-1) !== '?' ? 1 : raw > 0 ? ASKED_GOOD : ASKED_BAD;
  const sum = raw * (1 + exclamations * 0.1) * asked;
  const strength = hits.reduce((total, hit) => total + Math.abs(hit.weight), 0) * asked;
  const score = sum / Math.sqrt(sum * sum + SQUASH);
  const agreement = Math.min(1, Math.abs(sum) / strength);
  const sentiment = Math.abs(score) < NEUTRAL_BELOW ? 'neutral' : score > 0 ? 'positive' : 'negative';
  return {
    sentiment,
    score: round(score),
    confidence: round(sentiment === 'neutral' ? 0.5 - 0.2 * (1 - agreement) : 0.4 + 0.6 * Math.abs(score) * agreement),
    emotions: [...emotions].toSorted((a, b) => b[1] - a[1]).map(([emotion]) => emotion),
  };
}

const round = (value: number) => Math.round(value * 1000) / 1000;
