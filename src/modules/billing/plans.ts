import { z } from 'zod';
import { AppError } from '#src/errors.ts';
import { PLANS, type Plan } from '#src/http/access-token.ts';

/**
 * What a plan has a number of; `workspaces` counts those a user owns, `messagesPerDay` by the workspace's own day, `campaignsRunning` also those
 * that are scheduled. */
export const LIMITS = [
  'members',
  'invites',
  'apiKeys',
  'workspaces',
  'webhooks',
  'channels',
  'contacts',
  'messagesPerDay',
  'campaignsRunning',
] as const;
export type LimitName = (typeof LIMITS)[number];

/** What a plan has or has not. */
export const FEATURES = ['campaigns', 'webhooks', 'cloudApi', 'analyticsExport', 'ownProviderKeys'] as const;
export type Feature = (typeof FEATURES)[number];

/** What a workspace may have. */
export interface PlanTerms {
  /** Null: no limit. */
  limits: Record<LimitName, number | null>;
  features: Record<Feature, boolean>;
  /** Given each month, and gone at its end. */
  creditsPerMonth: number;
}

const UNLIMITED = null;
const EVERYTHING = { campaigns: true, webhooks: true, cloudApi: true, analyticsExport: true, ownProviderKeys: true };

/** Every plan there is ([why these](../../../docs/decisions/2026-11-26-what-plans-have.md)). `priceMinor`: a month of it in cents of a real; null: by agreement. */
export const CATALOGUE = {
  free: {
    priceMinor: 0,
    creditsPerMonth: 0,
    features: { ...EVERYTHING, analyticsExport: false, ownProviderKeys: false },
    limits: {
      members: 3,
      invites: 5,
      apiKeys: 5,
      workspaces: 2,
      webhooks: 2,
      channels: 1,
      contacts: 1000,
      messagesPerDay: 250,
      campaignsRunning: 1,
    },
  },
  starter: {
    priceMinor: 9900,
    creditsPerMonth: 5000,
    features: { ...EVERYTHING, ownProviderKeys: false },
    limits: {
      members: 10,
      invites: 20,
      apiKeys: 20,
      workspaces: 3,
      webhooks: 5,
      channels: 3,
      contacts: 10_000,
      messagesPerDay: 2000,
      campaignsRunning: 5,
    },
  },
  pro: {
    priceMinor: 29_900,
    creditsPerMonth: 25_000,
    features: EVERYTHING,
    limits: {
      members: 30,
      invites: 60,
      apiKeys: 50,
      workspaces: 10,
      webhooks: 20,
      channels: 10,
      contacts: 100_000,
      messagesPerDay: 20_000,
      campaignsRunning: 25,
    },
  },
  enterprise: {
    priceMinor: null,
    creditsPerMonth: 250_000,
    features: EVERYTHING,
    limits: {
      members: UNLIMITED,
      invites: 1000,
      apiKeys: 500,
      workspaces: UNLIMITED,
      webhooks: 100,
      channels: UNLIMITED,
      contacts: UNLIMITED,
      messagesPerDay: UNLIMITED,
      campaignsRunning: UNLIMITED,
    },
  },
} as const satisfies Record<Plan, PlanTerms & { priceMinor: number | null }>;

export const PLAN_CURRENCY = 'BRL';

const Amount = z.int().min(0).max(1_000_000_000);
export const LimitsOverride = z.partialRecord(z.enum(LIMITS), Amount.nullable());
export const FeaturesOverride = z.partialRecord(z.enum(FEATURES), z.boolean());

/** Where a licence differs from its plan. */
export interface PlanOverride {
  limits?: z.output<typeof LimitsOverride> | undefined;
  features?: z.output<typeof FeaturesOverride> | undefined;
}

/** A workspace, as far as it says what it may have. */
export interface PlanHolder {
  plan: Plan;
  planOverride?: PlanOverride | null | undefined;
}

/** What a workspace may have: what its plan says, and where its licence differs, that. */
export function termsOf({ plan, planOverride }: PlanHolder): PlanTerms {
  const { limits, features, creditsPerMonth } = CATALOGUE[plan];
  return {
    limits: { ...limits, ...planOverride?.limits },
    features: { ...features, ...planOverride?.features },
    creditsPerMonth,
  };
}

/** A limit by plan, as the functions of the database take it. */
export const limitByPlan = (name: LimitName): string =>
  JSON.stringify(Object.fromEntries(PLANS.map((plan) => [plan, CATALOGUE[plan].limits[name]])));

export const rankOf = (plan: Plan): number => PLANS.indexOf(plan);

/** How many more there may be; `Infinity` without a limit. */
export function roomFor(holder: PlanHolder, name: LimitName, used: number): number {
  const limit = termsOf(holder).limits[name];
  return limit === null ? Infinity : Math.max(0, limit - used);
}

/** @param more how many are to be added @throws AppError 403 `plan_limit` when that would be too many */
export function checkLimit(holder: PlanHolder, name: LimitName, used: number, more = 1): void {
  if (more > roomFor(holder, name, used)) throw overLimit(holder, name, used);
}

/** @returns the 403 `plan_limit` that says what there is room for */
export function overLimit(holder: PlanHolder, name: LimitName, used: number): AppError {
  const limit = termsOf(holder).limits[name];
  return new AppError(
    403,
    'plan_limit',
    `The plan ${holder.plan} has room for ${limit} ${name}; ${used} are taken. ${better(holder.plan, (terms) => isMore(terms.limits[name], limit))}`,
  );
}

/** @throws AppError 403 `plan_feature` naming the plan that has it */
export function checkFeature(holder: PlanHolder, feature: Feature): void {
  if (termsOf(holder).features[feature]) return;
  throw new AppError(
    403,
    'plan_feature',
    `The plan ${holder.plan} does not have ${feature}. ${better(holder.plan, (terms) => terms.features[feature])}`,
  );
}

const isMore = (limit: number | null, than: number | null) => than !== null && (limit === null || limit > than);

function better(plan: Plan, isFit: (terms: PlanTerms) => boolean): string {
  const next = PLANS.slice(rankOf(plan) + 1).find((one) => isFit(CATALOGUE[one]));
  return next ? `The plan ${next} has more of it.` : 'No plan has more of it; ask for a licence that does.';
}
