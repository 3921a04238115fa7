import { describe, expect, it } from 'vitest';
import { periodOf, winnerOf, type CreditPeriod, type PlanClaim, type PlanSource } from '#src/modules/billing/claims.ts';
import type { Plan } from '#src/http/access-token.ts';

const at = (text: string): Date => new Date(`${text}T12:00:00Z`);
const claim = (source: PlanSource, plan: Plan, endsAt: string | null = null): PlanClaim => ({
  source,
  plan,
  override: null,
  endsAt: endsAt === null ? null : at(endsAt),
});

describe('of a licence and a subscription counts', () => {
  const cases: [
    what: string,
    license: [Plan, string | null] | null,
    subscription: [Plan, string | null] | null,
    PlanSource | null,
  ][] = [
    ['nothing, when there is none', null, null, null],
    ['the licence, alone', ['starter', null], null, 'license'],
    ['the subscription, alone', null, ['starter', '2027-01-01'], 'subscription'],
    ['the better plan of the licence, though it ends sooner', ['pro', '2026-12-01'], ['starter', null], 'license'],
    [
      'the better plan of the subscription, though it ends sooner',
      ['starter', null],
      ['pro', '2026-12-01'],
      'subscription',
    ],
    ['of equal plans the licence that lasts longer', ['pro', '2027-02-01'], ['pro', '2027-01-01'], 'license'],
    ['of equal plans the subscription that lasts longer', ['pro', '2027-01-01'], ['pro', '2027-02-01'], 'subscription'],
    ['of equal plans the subscription without an end', ['pro', '2027-01-01'], ['pro', null], 'subscription'],
    ['of equal plans the licence without an end', ['pro', null], ['pro', '2027-01-01'], 'license'],
    ['the licence, where both end at once', ['pro', '2027-01-01'], ['pro', '2027-01-01'], 'license'],
    ['the licence, where neither ends', ['enterprise', null], ['enterprise', null], 'license'],
  ];
  for (const [what, license, subscription, winner] of cases)
    it(what, () => {
      const claims = [
        ...(license ? [claim('license', ...license)] : []),
        ...(subscription ? [claim('subscription', ...subscription)] : []),
      ];
      expect(winnerOf(claims)?.source ?? null).toBe(winner);
      expect(winnerOf(claims.toReversed())?.source ?? null).toBe(winner);
    });
});

describe('credits are given for', () => {
  const now = at('2027-01-31');
  const was = (source: PlanSource, endsAt: string, claimEndsAt: string | null = null): CreditPeriod => ({
    source,
    anchorAt: at('2026-12-31'),
    endsAt: at(endsAt),
    claimEndsAt: claimEndsAt === null ? null : at(claimEndsAt),
  });

  it('a month from now at first, by the calendar', () => {
    expect(periodOf(null, claim('license', 'pro'), now)).toMatchObject({ anchorAt: now, endsAt: at('2027-02-28') });
  });

  it('the period of a subscription, also where that is a day or two longer than the month', () => {
    const ends = { endsAt: at('2027-03-03') };
    expect(periodOf(null, claim('subscription', 'pro', '2027-03-03'), now)).toMatchObject(ends);
    expect(periodOf(null, claim('subscription', 'pro', '2028-01-31'), now)).toMatchObject({ endsAt: at('2027-02-28') });
  });

  it('what is left of a licence, when that is less than a month, and nothing once it has ended', () => {
    expect(periodOf(null, claim('license', 'pro', '2027-02-10'), now)).toMatchObject({ endsAt: at('2027-02-10') });
    expect(periodOf(null, claim('license', 'pro', '2027-01-31'), now)).toBeNull();
  });

  it('the month that runs, as long as it runs, whatever gives the plan then', () => {
    const running = was('license', '2027-02-05');
    expect(periodOf(running, claim('license', 'enterprise', '2028-01-01'), now)).toBe(running);
    expect(periodOf(running, claim('subscription', 'pro', '2027-02-28'), now)).toBe(running);
    const paid = was('subscription', '2027-02-05', '2027-02-05');
    expect(periodOf(paid, claim('subscription', 'enterprise', '2027-02-05'), now)).toBe(paid);
    expect(periodOf(paid, claim('license', 'enterprise', '2028-02-05'), now)).toBe(paid);
  });

  it('a new month when a subscription was renewed, though the old one has an hour to run', () => {
    const paid = was('subscription', '2027-02-01', '2027-02-01');
    const next = periodOf(paid, claim('subscription', 'pro', '2027-03-01'), now);
    expect(next).toMatchObject({ anchorAt: now, endsAt: at('2027-03-01'), claimEndsAt: at('2027-03-01') });
    expect(periodOf(next, claim('subscription', 'pro', '2027-03-01'), now)).toBe(next);
  });

  it('the month after, from the same day on, also when months were missed', () => {
    expect(periodOf(was('license', '2027-01-31'), claim('license', 'pro'), now)).toMatchObject({
      anchorAt: at('2026-12-31'),
      endsAt: at('2027-02-28'),
    });
    const late = periodOf(was('license', '2027-01-31'), claim('license', 'pro'), at('2027-05-10'));
    expect(late?.endsAt).toEqual(at('2027-05-31'));
  });
});
