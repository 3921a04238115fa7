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

const always = (quota: number): Record<Plan, number> => ({ free: quota, pro: quota, business: quota });

/** Every limit there is. `RATE_LIMIT_SCALE` multiplies them all. */
export const POLICIES = {
  ip: { by: 'ip', windowSeconds: 60, quota: always(1200) },
  user: { by: 'user', windowSeconds: 60, quota: { free: 300, pro: 600, business: 1200 } },
  workspace: { by: 'workspace', windowSeconds: 60, quota: { free: 600, pro: 3000, business: 12_000 } },
  ai: { by: 'user', windowSeconds: 60, quota: { free: 20, pro: 60, business: 240 } },
  login: { by: 'ip', windowSeconds: 60, quota: always(30), isGuarded: true },
  register: { by: 'ip', windowSeconds: 60, quota: always(10), isGuarded: true },
  refresh: { by: 'ip', windowSeconds: 300, quota: always(150) },
  mail: { by: 'ip', windowSeconds: 60, quota: always(5), isGuarded: true },
  secret: { by: 'user', windowSeconds: 60, quota: always(10), isGuarded: true },
  ticket: { by: 'user', windowSeconds: 60, quota: always(60) },
  unknown: { by: 'ip', windowSeconds: 60, quota: always(120), isGuarded: true },
} as const satisfies Record<string, Policy>;

export type PolicyName = keyof typeof POLICIES;

/** What every request of a known caller counts against, and of an unknown one. */
export const OF_KNOWN = ['ip', 'user', 'workspace'] as const satisfies PolicyName[];
export const OF_PUBLIC = ['ip'] as const satisfies PolicyName[];
/** A token that is not good: whoever tries many is guessing. */
export const OF_REFUSED = ['ip', 'unknown'] as const satisfies PolicyName[];
