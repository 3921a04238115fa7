import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { Plan } from '#src/http/access-token.ts';
import { SYSTEM } from '#src/modules/audit/audit.ts';
import { createPlanCare } from '#src/modules/billing/plan-care.ts';
import { findBroken } from '#src/modules/billing/reconcile.query.ts';
import { setPlan, type PlanChange } from '#src/modules/billing/set-plan.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let owner: TestUser;
beforeAll(async () => {
  test = await openTestApp({ STARTING_CREDITS: '0' });
});
afterAll(() => test.close());
beforeEach(async () => {
  owner = await aUser(test.rt);
});

const DAY_MS = 86_400_000;
const inDays = (days: number): Date => new Date(Date.now() + days * DAY_MS);
const set = (plan: Plan, change: Partial<PlanChange> = {}): Promise<Plan> => {
  const workspaceId = owner.workspace.id;
  const all = { source: 'subscription', reason: 'paid', actor: SYSTEM, ...change } as const;
  return inWorkspaceTx(test.rt.orm, { workspaceId }, (em) => setPlan(em, workspaceId, plan, all));
};
const get = async (url: string) => (await test.app.inject({ url, headers: owner.headers })).json();
const balance = async (): Promise<number> => (await get('/api/ai/credits')).balance;
const events = async (): Promise<unknown[]> =>
  (
    await test.rt.systemPool.query(
      `select data from outbox_event where workspace_id = $1 and type = 'billing.plan_changed' order by id`,
      [owner.workspace.id],
    )
  ).rows.map(({ data }) => data);

it('changes the plan, tells of it once, and gives its credits until the period ends', async () => {
  const periodEnd = inDays(20);
  expect(await set('starter', { periodEnd })).toBe('starter');
  await set('starter', { periodEnd });
  expect((await get('/api/workspaces')).data[0].plan).toBe('starter');
  const { balance: credits, lots } = await get('/api/ai/credits');
  expect({ credits, lots }).toEqual({ credits: 5000, lots: [{ remaining: 5000, expiresAt: periodEnd.toISOString() }] });
  expect(await events()).toEqual([{ from: 'free', to: 'starter', source: 'subscription', reason: 'paid' }]);
  const { data } = await get('/api/audit');
  expect(data.filter(({ action }: { action: string }) => action === 'workspace.plan_changed')).toHaveLength(1);
  expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
});

it('gives one month of credits to a hundred who say the same at once', async () => {
  const periodEnd = inDays(30);
  await Promise.all(Array.from({ length: 100 }, () => set('pro', { periodEnd })));
  expect(await balance()).toBe(25_000);
  expect(await events()).toHaveLength(1);
});

it('gives the difference for a better plan, takes nothing back for a lesser one, and no more for going up again', async () => {
  const periodEnd = inDays(30);
  const after: [Plan, number][] = [
    ['starter', 5000],
    ['pro', 25_000],
    ['starter', 25_000],
    ['free', 25_000],
    ['pro', 25_000],
    ['enterprise', 250_000],
  ];
  for (const [plan, credits] of after) {
    expect(await set(plan, { periodEnd })).toBe(plan);
    expect(await balance()).toBe(credits);
  }
  await set('enterprise', { periodEnd: inDays(61) });
  expect(await balance()).toBe(500_000);
});

it('counts the better of two sources, and goes on with the other when one ends', async () => {
  await set('starter', { periodEnd: inDays(30) });
  const override = { limits: { members: 1, contacts: null }, features: { webhooks: false } };
  expect(await set('pro', { source: 'license', override })).toBe('pro');
  expect(await get(`/api/workspaces/${owner.workspace.id}/usage`)).toMatchObject({
    plan: 'pro',
    members: { used: 1, limit: 1 },
    apiKeys: { limit: 50 },
  });
  const webhook = { name: 'w', url: 'https://example.com/', events: ['*'] };
  const refused = await test.app.inject({
    method: 'POST',
    url: '/api/webhooks',
    headers: owner.headers,
    payload: webhook,
  });
  expect(refused.json()).toMatchObject({ status: 403, code: 'plan_feature' });
  expect(await set('free', { source: 'license', reason: 'revoked' })).toBe('starter');
  expect((await get(`/api/workspaces/${owner.workspace.id}/usage`)).members.limit).toBe(10);
  expect(await set('free', { reason: 'canceled' })).toBe('free');
  expect(await events()).toEqual([
    { from: 'free', to: 'starter', source: 'subscription', reason: 'paid' },
    { from: 'starter', to: 'pro', source: 'license', reason: 'paid' },
    { from: 'pro', to: 'starter', source: 'subscription', reason: 'revoked' },
    { from: 'starter', to: 'free', source: null, reason: 'canceled' },
  ]);
  expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
});

const care = (defaultPlan: Plan) => createPlanCare({ ...test.rt, graceDays: 7, defaultPlan })();
const status = () => get('/api/license/status');

describe('DEFAULT_PLAN', () => {
  it('is what workspaces have from the beginning, however they are made, and gives no credits', async () => {
    const all = await openTestApp({ DEFAULT_PLAN: 'enterprise', STARTING_CREDITS: '0' });
    try {
      const user = await aUser(all.rt);
      const read = async (url: string, payload?: object) =>
        (
          await all.app.inject({
            method: payload ? 'POST' : 'GET',
            url,
            headers: user.headers,
            ...(payload && { payload }),
          })
        ).json();
      expect(user.workspace.plan).toBe('enterprise');
      expect(await read('/api/workspaces', { name: 'Filial' })).toMatchObject({ plan: 'enterprise' });
      expect(await read('/api/license/status')).toMatchObject({
        plan: 'enterprise',
        source: null,
        creditsPerMonth: 0,
        limits: { contacts: null },
        features: { ownProviderKeys: true },
      });
      expect((await read('/api/ai/credits')).balance).toBe(0);
    } finally {
      await all.close();
    }
  });

  it('holds for workspaces that there were before, as soon as it is changed, and back', async () => {
    await care('pro');
    expect(await status()).toMatchObject({ plan: 'pro', source: null, creditsPerMonth: 0 });
    await care('pro');
    await care('free');
    expect(await status()).toMatchObject({ plan: 'free', source: null });
    expect(await events()).toEqual([
      { from: 'free', to: 'pro', source: null, reason: 'default' },
      { from: 'pro', to: 'free', source: null, reason: 'default' },
    ]);
    expect(await balance()).toBe(0);
  });

  it('is what remains where a better plan ends; a lesser one gives its credits, month by month, and nothing else', async () => {
    await care('pro');
    expect(await set('enterprise', { source: 'license' })).toBe('enterprise');
    expect(await status()).toMatchObject({ source: 'license', creditsPerMonth: 250_000 });
    expect(await set('free', { source: 'license', reason: 'expired' })).toBe('pro');
    const before = await balance();
    expect(await set('starter', { source: 'license', override: { limits: { channels: 1 } } })).toBe('pro');
    expect(await status()).toMatchObject({
      plan: 'pro',
      source: null,
      creditsPerMonth: 5000,
      limits: { channels: 10 },
    });
    await test.rt.systemPool.query(
      `update plan_credits set ends_at = now() - interval '1 second', anchor_at = anchor_at - interval '1 month' where workspace_id = $1`,
      [owner.workspace.id],
    );
    await care('pro');
    expect(await balance()).toBe(before + 5000);
    await care('free');
    expect(await status()).toMatchObject({ plan: 'starter', source: 'license', limits: { channels: 1 } });
  });
});
