import { readFileSync } from 'node:fs';

/** A trained linear model as `training/train.ts` writes it. Weights are whole numbers times `scale`; `weights[bucket × labels + label]`. */
interface Stored<Label extends string> {
  labels: Label[];
  buckets: number;
  scale: number;
  /** Base64 of signed bytes. */
  weights: string;
  bias: number[];
  /** By label, the weights of the features that are not words (`dense`). */
  dense: number[][];
}

export interface LinearModel<Label extends string> {
  readonly labels: readonly Label[];
  readonly buckets: number;
  /** The probability of each label (they sum to 1), from hashed features and the features that are numbers. */
  probabilities(features: readonly number[], dense: readonly number[]): number[];
}

/** Softmax over scores, safe for large ones. */
export function softmax(scores: readonly number[]): number[] {
  const top = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - top));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** Words of a long text dilute each other: each counts as one over the root of their number. */
export function featureValue(count: number): number {
  return 1 / Math.sqrt(Math.max(1, count));
}

/** Opens the model in `weights/<name>.json`. */
export function openModel<Label extends string>(name: string): LinearModel<Label> {
  const stored: Stored<Label> = JSON.parse(readFileSync(new URL(`weights/${name}.json`, import.meta.url), 'utf8'));
  const weights = new Int8Array(Buffer.from(stored.weights, 'base64'));
  const { labels, buckets, scale, bias, dense } = stored;
  return {
    labels,
    buckets,
    probabilities(features, numbers) {
      const value = featureValue(features.length) * scale;
      const scores = bias.map(
        (own, label) => own + numbers.reduce((sum, number, at) => sum + number * (dense[label]?.[at] ?? 0), 0),
      );
      for (const bucket of features) {
        for (let label = 0; label < labels.length; label += 1) {
          scores[label] = (scores[label] ?? 0) + (weights[bucket * labels.length + label] ?? 0) * value;
        }
      }
      return softmax(scores);
    },
  };
}
