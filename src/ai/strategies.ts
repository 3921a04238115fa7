import type { EngineName, Strategy } from '#src/ai/model.ts';
import type { ModelFacts } from '#src/ai/catalog.ts';
import type { Expectation } from '#src/ai/estimates.ts';

/** What a strategy compares, by target. */
export interface Estimate extends Expectation {
  /** 0..100 at this task. */
  quality: number;
}

/** Added to every cost, so that a free one has a logarithm. */
const COST_FLOOR_USD = 1e-6;
/** Scores this close are equal: between them the load decides. */
export const NEAR = 0.1;
/** Speed may cost this many times the cheapest, and this many times two credits in any case: beside a free target all are dear. */
const SPEED_COST_FACTOR = 5;
const SPEED_COST_USD = 0.002;

/**
 * The least quality a task is given, where anything has it: a label is easily right, a text that a customer reads is not.
 */
const QUALITY_FLOOR: Record<EngineName, number> = {
  copilot: 40,
  chat: 40,
  'smart-replies': 35,
  summarize: 35,
  translate: 35,
  intent: 25,
  sentiment: 25,
  'extract-entities': 25,
  'score-lead': 25,
};

/** How good a model is at a task, 0..100: the catalogue's mark. */
export const qualityOf = (facts: ModelFacts, engine: EngineName): number => facts.quality[engine];

const WEIGHTS: Record<Exclude<Strategy, 'failover'>, { cost: number; latency: number; quality: number }> = {
  cost_optimized: { cost: 1, latency: 0.25, quality: 0 },
  speed_optimized: { cost: 0.1, latency: 1, quality: 0 },
  quality_optimized: { cost: 0.1, latency: 0.2, quality: 1 },
  balanced: { cost: 0.4, latency: 0.35, quality: 0.25 },
};
const RISK_WEIGHT = 2;

/** A target's score, lower is better, and why it should not be taken while another can. */
export interface Score {
  score: number;
  short: 'quality_too_low' | 'too_expensive_for_speed' | null;
}

/**
 * Scores targets against each other: `c = ln(C′/C′min)`, `l = ln(L′/L′min)`, `q = (Qmax − Q)/25`, `r = −ln s`, weighted by the strategy.
 * With `failover` the position is the score.
 * @returns in the order of the estimates
 */
export function scoresOf(strategy: Strategy, estimates: readonly Estimate[], engine: EngineName): Score[] {
  if (strategy === 'failover') return estimates.map((_, position) => ({ score: position, short: null }));
  const weights = WEIGHTS[strategy];
  const floor = strategy === 'quality_optimized' ? 0 : QUALITY_FLOOR[engine];
  const isGoodEnough = estimates.some(({ quality }) => quality >= floor);
  let cheapest = Infinity;
  let fastest = Infinity;
  let best = 0;
  for (const { costUsd, latencyMs, quality } of estimates) {
    if (isGoodEnough && quality < floor) continue;
    if (costUsd < cheapest) cheapest = costUsd;
    if (latencyMs < fastest) fastest = latencyMs;
    if (quality > best) best = quality;
  }
  const dearest = strategy === 'speed_optimized' ? SPEED_COST_FACTOR * Math.max(cheapest, SPEED_COST_USD) : Infinity;
  return estimates.map(({ costUsd, latencyMs, quality, success }) => {
    const score =
      weights.cost * Math.log((costUsd + COST_FLOOR_USD) / (cheapest + COST_FLOOR_USD)) +
      weights.latency * Math.log(latencyMs / fastest) +
      weights.quality * ((best - quality) / 25) -
      RISK_WEIGHT * Math.log(success);
    const short =
      isGoodEnough && quality < floor ? 'quality_too_low' : costUsd > dearest ? 'too_expensive_for_speed' : null;
    return { score, short };
  });
}

/** The score as it would be, had the target never failed: what decides whether it is worth a probe. */
export const forgiven = (score: number, success: number): number =>
  score + RISK_WEIGHT * Math.log(success) - RISK_WEIGHT * Math.log(0.9);

/**
 * Power of two choices (Mitzenmacher, 1996): of two targets drawn from those about as good as the best, the less loaded one. It spreads
 * load without everybody running to the same best.
 * @param near indices to choose from, at least one
 * @param load by index: expected milliseconds · (calls under way + 1) / concurrency
 */
export function chooseOfTwo(near: readonly number[], load: (index: number) => number, random: () => number): number {
  const first = Math.floor(random() * near.length);
  const one = near[first] ?? 0;
  if (near.length < 2) return one;
  const other = near[(first + 1 + Math.floor(random() * (near.length - 1))) % near.length] ?? one;
  return load(other) < load(one) ? other : one;
}
