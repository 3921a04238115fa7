import { writeFileSync } from 'node:fs';
import { INTENTS } from '#src/ai/local/intent-cues.ts';
import {
  BUCKETS,
  greetedTexts,
  intentExample,
  longerTexts,
  sentimentExample,
} from '#src/ai/local/training/examples.ts';
import { type Example, fit, type FitOptions, type Fitted } from '#src/ai/local/training/fit.ts';
import { SENTIMENTS, trainingMessages, trainingReviews } from '#src/ai/local/training/messages.ts';

const OPTIONS = { buckets: BUCKETS, epochs: 12, rate: 0.15, decay: 0.0003, seed: 7 };
const MADE_SEED = 3;
const LONGER = 12_000;
const GREETED = 500;

/** Learns the sentiment of Portuguese. */
export function fitSentiment(): Fitted {
  const own = [...trainingMessages(), ...trainingReviews()].filter(({ language }) => language === 'pt');
  const examples = [...own, ...longerTexts(own, LONGER, MADE_SEED)].map(sentimentExample);
  return fitted(examples, { ...OPTIONS, labels: SENTIMENTS.length });
}

/** Learns the intent in all three languages. */
export function fitIntent(): Fitted {
  const messages = trainingMessages();
  const examples = [...messages, ...greetedTexts(messages, GREETED, MADE_SEED)].map(intentExample);
  return fitted(examples, { ...OPTIONS, labels: INTENTS.length });
}

function fitted(examples: Example[], options: Omit<FitOptions, 'dense'>): Fitted {
  return fit(examples, { ...options, dense: examples[0]?.dense.length ?? 0 });
}

const short = (value: number) => Math.round(value * 1e4) / 1e4;

/** A model as `openModel` reads it: weights as signed bytes, the largest being 127. */
export function stored(labels: readonly string[], { weights, bias, dense }: Fitted): string {
  const largest = weights.reduce((top, weight) => Math.max(top, Math.abs(weight)), 0);
  const scale = largest / 127;
  const bytes = Int8Array.from(weights, (weight) => Math.round(weight / scale));
  return `${JSON.stringify({
    labels,
    buckets: BUCKETS,
    scale,
    bias: bias.map(short),
    dense: dense.map((row) => row.map(short)),
    weights: Buffer.from(bytes.buffer).toString('base64'),
  })}\n`;
}

function write(name: string, text: string): void {
  const file = new URL(`../weights/${name}.json`, import.meta.url);
  writeFileSync(file, text);
  process.stdout.write(`${name}: ${text.length} bytes\n`);
}

if (import.meta.main) {
  write('sentiment', stored(SENTIMENTS, fitSentiment()));
  write('intent', stored(INTENTS, fitIntent()));
}
