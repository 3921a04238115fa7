import type { Access } from '#src/ai/access.ts';
import type { Candidate, Candidates } from '#src/ai/candidates.ts';
import type { Estimates } from '#src/ai/estimates.ts';
import { type Ask, type Exclusion, exclusionOf, type ReserveCode, staticExclusion } from '#src/ai/filter.ts';
import type { Health } from '#src/ai/health.ts';
import { chooseOfTwo, type Estimate, forgiven, NEAR, qualityOf, scoresOf } from '#src/ai/strategies.ts';
import { type Strategy } from '#src/ai/model.ts';

const EXPLORE_SHARE = 0.02;
/** A mean this many times below the time left is in time. */
const DEADLINE_FACTOR = 5;
/** Not asked for so long, a target may be faster by now. */
const UNSEEN_MS = 10_000;
/** Calls at once before load tells: one machine, or a company. */
const CONCURRENCY = { own: 4, company: 64 };

/** A target in the order in which it is asked. */
export interface Ranked {
  candidate: Candidate;
  estimate: Estimate;
  score: number;
  /** Its breaker is half open: it may be asked only by the one who takes the probe. */
  needsProbe: boolean;
  reserve: ReserveCode | null;
}

export interface Decision {
  strategy: Strategy;
  order: Ranked[];
  excluded: Excluded[];
}

export interface Excluded {
  candidate: Candidate;
  exclusion: Exclusion;
}

export interface DecisionContext {
  health: Health;
  estimates: Estimates;
  access: Access;
  random: () => number;
  strategy: Strategy;
}

const COMPANIES = new Set(['openai', 'anthropic', 'google', 'groq', 'mistral', 'cohere', 'together']);

/**
 * The strategy of a job that names none: with keys of several companies `balanced`, since then there is a market to choose from; with
 * one company, or only machines of our own, `failover`, the order its operator wrote down.
 */
export function defaultStrategy(models: readonly Candidate[]): Strategy {
  const companies = new Set(models.map(({ provider }) => provider.name).filter((name) => COMPANIES.has(name)));
  return companies.size > 1 ? 'balanced' : 'failover';
}

const DAY_MS = 86_400_000;
let today = { number: -1, text: '' };
/** `YYYY-MM-DD`; the same text is asked for again and again. */
export function dayOf(epochMs: number): string {
  const number = Math.floor(epochMs / DAY_MS);
  if (today.number !== number) today = { number, text: new Date(epochMs).toISOString().slice(0, 10) };
  return today.text;
}

/** Who could be asked at all, whatever the state of things: what a job's price is bounded by. */
export function possible(models: readonly Candidate[], ask: Ask, { health, access }: DecisionContext): Candidate[] {
  const at = { health, access, today: dayOf(health.now()) };
  const excluded: Excluded[] = [];
  const left = models.filter((candidate) => {
    const exclusion = staticExclusion(candidate, ask, at);
    if (exclusion) excluded.push({ candidate, exclusion });
    return !exclusion;
  });
  return left.length > 0 ? left : affordable(excluded);
}

/** When all are too dear, the cheapest is asked with a shorter answer: the caller lowers the bound to what maxCostUsd pays for. */
function affordable(excluded: readonly Excluded[]): Candidate[] {
  const dear = excluded.filter(({ exclusion }) => exclusion.code === 'too_expensive');
  const price = ({ candidate: { facts } }: Excluded) => facts.inputUsdPerMtok + facts.outputUsdPerMtok;
  return dear
    .toSorted((a, b) => price(a) - price(b))
    .slice(0, 1)
    .map(({ candidate }) => candidate);
}

function rank(candidate: Candidate, ask: Ask, outputTokens: number, now: number, { health }: DecisionContext): Ranked {
  const { stats, provider, id, facts } = candidate;
  const { inputTokens, isStreamed } = ask;
  const estimate: Estimate = {
    firstMs: 0,
    outputTokens,
    latencyMs: 0,
    costUsd: 0,
    success: 1,
    quality: qualityOf(facts, ask.engine),
  };
  stats.expect(facts, isStreamed, inputTokens, outputTokens, now, estimate);
  // Far from the deadline the quantile, which costs a look at the whole histogram, cannot matter.
  const isNear = estimate.latencyMs * DEADLINE_FACTOR > ask.remainingMs;
  const whole90 = isNear ? stats.whole90(isStreamed, inputTokens, outputTokens, now) : undefined;
  const reserve =
    ask.needsSchema && !facts.supportsJsonSchema
      ? 'no_json_schema'
      : whole90 !== undefined && whole90 > ask.remainingMs
        ? 'too_slow'
        : null;
  const needsProbe = health.gate(provider.name, id).phase === 'half_open';
  return { candidate, estimate, score: 0, needsProbe, reserve };
}

/** Scores those that nothing speaks against among themselves, then the reserve behind them. */
function scored(strategy: Strategy, ranked: Ranked[], ask: Ask): Ranked[] {
  const good = ranked.filter(({ reserve }) => reserve === null);
  const judged = good.length > 0 ? good : ranked;
  const scores = scoresOf(
    strategy,
    judged.map(({ estimate }) => estimate),
    ask.engine,
  );
  for (const [at, one] of judged.entries()) {
    one.score = scores[at]?.score ?? 0;
    one.reserve ??= scores[at]?.short ?? null;
  }
  if (judged !== ranked) {
    let score = Math.max(...judged.map((one) => one.score));
    for (const one of ranked) if (!judged.includes(one)) one.score = score += 1;
  }
  const byScore = (a: Ranked, b: Ranked) => a.score - b.score;
  const first = ranked.filter(({ reserve }) => reserve === null).toSorted(byScore);
  if (first.length === ranked.length) return first;
  return [...first, ...ranked.filter(({ reserve }) => reserve !== null).toSorted(byScore)];
}

const loadOf = ({ estimate, candidate: { stats, provider } }: Ranked): number =>
  (estimate.latencyMs * (stats.inflight + 1)) / (COMPANIES.has(provider.name) ? CONCURRENCY.company : CONCURRENCY.own);

function toFront(order: Ranked[], one: Ranked | undefined): void {
  if (!one) return;
  order.splice(order.indexOf(one), 1);
  order.unshift(one);
}

/** Spreads over equals, gives a recovered target its share and a stale one a look. */
function arrange(order: Ranked[], ask: Ask, now: number, context: DecisionContext): void {
  const { random, health, strategy } = context;
  const first = order.find(({ reserve, needsProbe }) => reserve === null && !needsProbe);
  if (first && strategy !== 'failover') {
    const near: number[] = [];
    for (const [at, one] of order.entries())
      if (one.reserve === null && !one.needsProbe && one.score <= first.score + NEAR) near.push(at);
    const choice = chooseOfTwo(near, (at) => loadOf(order[at] ?? first), random);
    toFront(order, order[choice]);
    if (ask.isLowPriority && random() < EXPLORE_SHARE) {
      const unseen = order.filter(
        ({ reserve, needsProbe, candidate }) =>
          reserve === null && !needsProbe && candidate.stats.sampledAt < now - UNSEEN_MS,
      );
      toFront(order, unseen[Math.floor(random() * unseen.length)]);
    }
    const worthy = ({ needsProbe, reserve, score, estimate }: Ranked) =>
      needsProbe && reserve === null && forgiven(score, estimate.success) <= first.score + NEAR;
    toFront(order, order.find(worthy));
  }
  const held = order.filter(({ candidate: { provider, id } }) => {
    const { share } = health.gate(provider.name, id);
    return share < 1 && random() >= share;
  });
  for (const one of held) order.push(...order.splice(order.indexOf(one), 1));
}

/**
 * Who is asked, in order, and who is not and why. No waiting: what is known of health and estimates is in this process.
 * Target choice: score table of docs/routing.md, then power of two choices among the best.
 */
export function decide({ models }: Candidates, ask: Ask, context: DecisionContext): Decision {
  const { health, estimates, access, strategy } = context;
  const now = health.now();
  const at = { health, access, today: dayOf(now) };
  const usable: Candidate[] = [];
  let excluded: Excluded[] = [];
  for (const candidate of models) {
    const exclusion = exclusionOf(candidate, ask, at);
    if (exclusion === null) usable.push(candidate);
    else excluded.push({ candidate, exclusion });
  }
  // One that only has to be waited for is waited for, before one is asked that is too dear.
  if (usable.length === 0 && excluded.every(({ exclusion }) => exclusion.until === undefined)) {
    usable.push(...affordable(excluded));
    excluded = excluded.filter(({ candidate }) => !usable.includes(candidate));
  }
  const outputTokens = estimates.outputTokens(ask.engine, ask.maxOutputTokens, now);
  const ranked = usable.map((candidate) => rank(candidate, ask, outputTokens, now, context));
  const order = scored(strategy, ranked, ask);
  arrange(order, ask, now, context);
  return { strategy, order, excluded };
}
