import { featuresOf, tokensToRead } from '#src/ai/local/features.ts';
import type { Emotion } from '#src/ai/local/lexicons/emotions.ts';
import { openModel } from '#src/ai/local/linear-model.ts';
import { type Polarity, polarityNumbers, polarityOf, squash } from '#src/ai/local/polarity.ts';

export interface Sentiment {
  sentiment: 'positive' | 'neutral' | 'negative';
  /** −1 to 1. */
  score: number;
  /** 0 to 1. */
  confidence: number;
  /** Strongest first. */
  emotions: Emotion[];
}

const NEUTRAL_BELOW = 0.2;
/** How much of the score the lists have; the rest has the model. */
const LISTS_SHARE = 0.5;
const LEAST_SCORE = 0.05;

const model = openModel<Sentiment['sentiment']>('sentiment');

/** By the lists alone: for the languages the model has not learned. */
function byLists({ sum, strength, emotions }: Polarity): Sentiment {
  if (strength === 0) return { sentiment: 'neutral', score: 0, confidence: 0.5, emotions };
  const score = squash(sum);
  const agreement = Math.min(1, Math.abs(sum) / strength);
  const sentiment = Math.abs(score) < NEUTRAL_BELOW ? 'neutral' : score > 0 ? 'positive' : 'negative';
  const confidence = sentiment === 'neutral' ? 0.5 - 0.2 * (1 - agreement) : 0.4 + 0.6 * Math.abs(score) * agreement;
  return { sentiment, score: round(score), confidence: round(confidence), emotions };
}

/**
 * The sentiment of one message, in time linear in its length. Portuguese is read by a linear model over words and what lexicon and rules
 * find (docs/accuracy.md), `confidence` being the model's probability of the answer; other languages by lexicon and rules alone. A text without
 * evidence is neutral.
 */
export function sentimentOf(text: string): Sentiment {
  const polarity = polarityOf(text);
  if (polarity.language !== undefined && polarity.language !== 'pt') return byLists(polarity);
  const tokens = tokensToRead(text);
  if (tokens.length === 0) return byLists(polarity);
  const chances = model.probabilities(featuresOf(tokens, model.buckets), polarityNumbers(polarity));
  const chance = Object.fromEntries(model.labels.map((label, at) => [label, chances[at] ?? 0]));
  const { positive = 0, neutral = 0, negative = 0 } = chance;
  const sentiment =
    neutral > positive && neutral > negative ? 'neutral' : positive > negative ? 'positive' : 'negative';
  const lean = LISTS_SHARE * squash(polarity.sum) + (1 - LISTS_SHARE) * (positive - negative);
  return {
    sentiment,
    score: round(agreeing(lean, sentiment)),
    confidence: round(chance[sentiment] ?? 0),
    emotions: polarity.emotions,
  };
}

/** A score on the side of its label, and near 0 for neutral. */
function agreeing(lean: number, sentiment: Sentiment['sentiment']): number {
  if (sentiment === 'positive') return Math.max(LEAST_SCORE, lean);
  if (sentiment === 'negative') return Math.min(-LEAST_SCORE, lean);
  return Math.max(-NEUTRAL_BELOW, Math.min(NEUTRAL_BELOW, lean));
}

const round = (value: number) => Math.round(value * 1000) / 1000;
