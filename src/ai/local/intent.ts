import { featuresOf, tokensToRead } from '#src/ai/local/features.ts';
import { type Intent, intentNumbers } from '#src/ai/local/intent-cues.ts';
import { openModel } from '#src/ai/local/linear-model.ts';

export { type Intent, INTENTS } from '#src/ai/local/intent-cues.ts';

export interface IntentGuess {
  intent: Intent;
  /** 0 to 1: the model's probability of the intent. */
  confidence: number;
  /** What the text asks for besides, most probable first. */
  subIntents: Intent[];
}

const READ_AT_MOST = 4000;
const BESIDES = 0.15;

const model = openModel<Intent>('intent');

/** What a message wants: a linear model over its words and its cues (docs/accuracy.md). Linear in the text. */
export function intentOf(text: string): IntentGuess {
  const read = text.slice(0, READ_AT_MOST);
  const tokens = tokensToRead(read);
  if (tokens.length === 0) return { intent: 'other', confidence: 0.3, subIntents: [] };
  const chances = model.probabilities(featuresOf(tokens, model.buckets), intentNumbers(read));
  const ranked = model.labels
    .map((intent, at) => ({ intent, chance: chances[at] ?? 0 }))
    .toSorted((a, b) => b.chance - a.chance);
  const [best = { intent: 'other', chance: 0 }, ...others] = ranked;
  return {
    intent: best.intent,
    confidence: Math.round(best.chance * 100) / 100,
    subIntents: others
      .filter(({ intent, chance }) => chance >= BESIDES && intent !== 'other' && intent !== 'greeting')
      .map(({ intent }) => intent),
  };
}
