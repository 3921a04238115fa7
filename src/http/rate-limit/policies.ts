import { ConfigError, type Config } from '#src/config.ts';
import type { Plan } from '#src/http/access-token.ts';

/** Whose requests a policy counts together: those of a network, of a person or key, of a workspace. */
export type CountedBy = 'ip' | 'user' | 'workspace';

export interface Policy {
  by: CountedBy;
  windowSeconds: number;
  /** Requests in a window, by the workspace's plan. */
  quota: Record<Plan, number>;
  /** What guessing would profit from: counted in one process alone, while Redis is away, it admits a part of its quota only. */
  isGuarded?: true;
}

const byPlan = (free: number, starter: number, pro: number, enterprise: number): Record<Plan, number> => ({
  free,
  starter,
  pro,
  enterprise,
});
const always = (quota: number): Record<Plan, number> => byPlan(quota, quota, quota, quota);

/** Every limit there is. `RATE_LIMITS` changes single ones, `RATE_LIMIT_SCALE` multiplies them all. */
export const POLICIES = {
  ip: { by: 'ip', windowSeconds: 60, quota: always(1200) },
  user: { by: 'user', windowSeconds: 60, quota: byPlan(300, 450, 600, 1200) },
  workspace: { by: 'workspace', windowSeconds: 60, quota: byPlan(600, 1500, 3000, 12_000) },
  ai: { by: 'user', windowSeconds: 60, quota: byPlan(20, 40, 60, 240) },
  login: { by: 'ip', windowSeconds: 60, quota: always(30), isGuarded: true },
  register: { by: 'ip', windowSeconds: 60, quota: always(10), isGuarded: true },
  refresh: { by: 'ip', windowSeconds: 300, quota: always(150) },
  mail: { by: 'ip', windowSeconds: 60, quota: always(5), isGuarded: true },
  secret: { by: 'user', windowSeconds: 60, quota: always(10), isGuarded: true },
  /** Counted before the password of operators is looked at; the board's pages and scrapers need a tenth of it. */
  ops: { by: 'ip', windowSeconds: 60, quota: always(600), isGuarded: true },
  /** Codes of credits, right or wrong: by person and by network. */
  topup: { by: 'user', windowSeconds: 900, quota: always(5), isGuarded: true },
  'topup-network': { by: 'ip', windowSeconds: 900, quota: always(5), isGuarded: true },
  /** Keys of licences, likewise. */
  license: { by: 'user', windowSeconds: 900, quota: always(5), isGuarded: true },
  'license-network': { by: 'ip', windowSeconds: 900, quota: always(5), isGuarded: true },
  ticket: { by: 'user', windowSeconds: 60, quota: always(60) },
  unknown: { by: 'ip', windowSeconds: 60, quota: always(120), isGuarded: true },
} as const satisfies Record<string, Policy>;

/** A route as an operator names it to give it a limit of its own: `GET /api/contacts/:id`. */
type RouteName = `${string} /${string}`;
const ROUTE = /^(GET|POST|PUT|PATCH|DELETE) \/[\w\-/:.*]*$/;
export const isRouteName = (name: string): name is RouteName => ROUTE.test(name);

type BuiltIn = keyof typeof POLICIES;
const isBuiltIn = (name: string): name is BuiltIn => Object.hasOwn(POLICIES, name);

export type PolicyName = BuiltIn | RouteName;

/**
 * The limits there are, with what the operator has changed by `RATE_LIMITS`.
 * @throws ConfigError naming the entry that cannot be
 */
export function readPolicies({ RATE_LIMITS }: Pick<Config, 'RATE_LIMITS'>): ReadonlyMap<PolicyName, Policy> {
  const policies = new Map<PolicyName, Policy>();
  for (const name of Object.keys(POLICIES)) if (isBuiltIn(name)) policies.set(name, POLICIES[name]);
  for (const [name, { by, windowSeconds, quota }] of Object.entries(RATE_LIMITS)) {
    const wrong = (what: string) =>
      new ConfigError(`The configuration is not usable:\n  RATE_LIMITS: "${name}" ${what}`);
    const plans = typeof quota === 'number' ? always(quota) : quota;
    if (isBuiltIn(name)) {
      const own: Policy = POLICIES[name];
      if (by !== undefined && by !== own.by) throw wrong(`counts by ${own.by}, which cannot be changed`);
      policies.set(name, {
        ...own,
        windowSeconds: windowSeconds ?? own.windowSeconds,
        quota: { ...own.quota, ...plans },
      });
    } else if (isRouteName(name)) {
      const { free, starter = free, pro = starter, enterprise = pro } = plans ?? {};
      if (
        windowSeconds === undefined ||
        free === undefined ||
        starter === undefined ||
        pro === undefined ||
        enterprise === undefined
      )
        throw wrong('is a route: it needs windowSeconds and a quota, at least for free');
      policies.set(name, { by: by ?? 'user', windowSeconds, quota: { free, starter, pro, enterprise } });
    } else throw wrong(`is neither a route, like "GET /api/jobs", nor one of ${Object.keys(POLICIES).join(', ')}`);
  }
  return policies;
}

/** What every request of a known caller counts against, and of an unknown one. */
export const OF_KNOWN = ['ip', 'user', 'workspace'] as const satisfies PolicyName[];
export const OF_PUBLIC = ['ip'] as const satisfies PolicyName[];
/** A token that is not good: whoever tries many is guessing. */
export const OF_REFUSED = ['ip', 'unknown'] as const satisfies PolicyName[];
