import { featureValue, softmax } from '#src/ai/local/linear-model.ts';

export interface Example {
  features: readonly number[];
  dense: readonly number[];
  label: number;
}

export interface Fitted {
  /** By bucket × labels + label. */
  weights: Float64Array;
  bias: number[];
  dense: number[][];
}

export interface FitOptions {
  labels: number;
  buckets: number;
  dense: number;
  epochs: number;
  rate: number;
  /** How strongly word weights are pulled to zero at each step. */
  decay: number;
  seed: number;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32, Tommy Ettinger). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  return items
    .map((item) => [random(), item] as const)
    .toSorted((a, b) => a[0] - b[0])
    .map(([, item]) => item);
}

/** Multinomial logistic regression by AdaGrad (Duchi et al., 2011) with L2 on the words; classes weigh alike however many examples they have. */
export function fit(examples: readonly Example[], options: FitOptions): Fitted {
  const { labels, buckets, dense: numbers, epochs, rate, decay } = options;
  const weights = new Float64Array(buckets * labels);
  const steps = new Float64Array(buckets * labels).fill(1e-2);
  const bias = Array.from({ length: labels }, () => 0);
  const dense = Array.from({ length: labels }, () => Array.from({ length: numbers }, () => 0));
  const denseSteps = dense.map((row) => row.map(() => 1));
  const counts = Array.from({ length: labels }, (_, at) => examples.filter(({ label }) => label === at).length);
  const random = seeded(options.seed);
  for (let epoch = 0; epoch < epochs; epoch += 1) {
    for (const { features, dense: values, label } of shuffled(examples, random)) {
      const value = featureValue(features.length);
      const scores = bias.map(
        (own, at) => own + values.reduce((sum, one, place) => sum + one * (dense[at]?.[place] ?? 0), 0),
      );
      for (const bucket of features)
        for (let at = 0; at < labels; at += 1)
          scores[at] = (scores[at] ?? 0) + (weights[bucket * labels + at] ?? 0) * value;
      const weigh = Math.min(3, examples.length / labels / (counts[label] ?? 1));
      const wrong = softmax(scores).map((chance, at) => (chance - (at === label ? 1 : 0)) * weigh);
      for (let at = 0; at < labels; at += 1) {
        const slope = wrong[at] ?? 0;
        bias[at] = (bias[at] ?? 0) - rate * 0.05 * slope;
        for (const [place, one] of values.entries()) {
          const row = dense[at] ?? [];
          const stepRow = denseSteps[at] ?? [];
          stepRow[place] = (stepRow[place] ?? 1) + (slope * one) ** 2;
          row[place] = (row[place] ?? 0) - (rate * slope * one) / Math.sqrt(stepRow[place] ?? 1);
        }
        for (const bucket of features) {
          const place = bucket * labels + at;
          const pull = slope * value + decay * (weights[place] ?? 0);
          steps[place] = (steps[place] ?? 0) + pull * pull;
          weights[place] = (weights[place] ?? 0) - (rate * pull) / Math.sqrt(steps[place] ?? 1);
        }
      }
    }
  }
  return { weights, bias, dense };
}
