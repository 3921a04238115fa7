import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { newKey } from '#src/modules/billing/license-key.ts';
import { createPlanCare } from '#src/modules/billing/plan-care.ts';
import { findBroken } from '#src/modules/billing/reconcile.query.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

const GRACE_DAYS = 5;
let test: TestApp;
let owner: TestUser;
let tend: () => Promise<void>;
beforeAll(async () => {
  test = await openTestApp({ STARTING_CREDITS: '0', LICENSE_GRACE_DAYS: String(GRACE_DAYS) });
  const { orm, systemPool, log } = test.rt;
  tend = createPlanCare({ orm, systemPool, log, graceDays: GRACE_DAYS, defaultPlan: 'free' });
});
afterAll(() => test.close());
beforeEach(async () => {
  owner = await aUser(test.rt);
});

const ask = (url: string, payload?: object, user = owner, app = test) =>
  app.app.inject({ method: payload ? 'POST' : 'GET', url, headers: user.headers, ...(payload && { payload }) });
const ops = (url: string, payload: object) => {
  const basic = Buffer.from(`${test.config.OPS_USER}:${test.config.OPS_PASSWORD}`).toString('base64');
  return test.app.inject({ method: 'POST', url, headers: { authorization: `Basic ${basic}` }, payload });
};
const opsGet = async (url: string) => {
  const basic = Buffer.from(`${test.config.OPS_USER}:${test.config.OPS_PASSWORD}`).toString('base64');
  return (await test.app.inject({ url, headers: { authorization: `Basic ${basic}` } })).json();
};
const make = async (body: object): Promise<{ id: string; key: string }> => {
  const made = await ops('/ops/licenses', body);
  expect([made.statusCode, made.body]).toEqual([201, expect.any(String)]);
  return made.json().licenses[0];
};
const activate = (key: string, user = owner, more: object = {}) => ask('/api/license/activate', { key, ...more }, user);
const status = async (user = owner) => (await ask('/api/license/status', undefined, user)).json();
const balance = async () => (await ask('/api/ai/credits')).json().balance;
const query = async (sql: string, ...values: unknown[]) => (await test.rt.systemPool.query(sql, values)).rows;
const events = async (type: string) =>
  (
    await query(
      'select data from outbox_event where workspace_id = $1 and type = $2 order by id',
      owner.workspace.id,
      type,
    )
  ).map(({ data }) => data);
/** Its clock is put so many days on. */
const pass = async (days: number) => {
  const by = `interval '${days} days'`;
  await query(`update license set expires_at = expires_at - ${by} where used_by_workspace = $1`, owner.workspace.id);
  await query(`update plan_claim set ends_at = ends_at - ${by} where workspace_id = $1`, owner.workspace.id);
  await query(
    `update plan_credits set ends_at = ends_at - ${by}, anchor_at = anchor_at - ${by} where workspace_id = $1`,
    owner.workspace.id,
  );
};

const idsOf = ({ data }: { data: { id: string }[] }) => data.map(({ id }) => id);

describe('a licence', () => {
  it('is activated once of a hundred times at once, also from several workspaces', async () => {
    const stranger = await aUser(test.rt);
    const { key } = await make({ plan: 'pro', days: 365 });
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, at) => activate(key, at % 2 === 0 ? owner : stranger)),
    );
    expect(answers.filter(({ statusCode }) => statusCode === 200)).toHaveLength(1);
    const refusals = answers.filter(({ statusCode }) => statusCode !== 200).map((answer) => answer.json().code);
    expect(new Set(refusals)).toEqual(new Set(['license_used', 'license_invalid']));
    expect(new Set([(await status()).plan, (await status(stranger)).plan])).toEqual(new Set(['free', 'pro']));
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  }, 120_000);

  it('is shown once, kept as a digest, and taken however it is typed', async () => {
    const { key } = await make({ plan: 'starter' });
    expect(key).toMatch(/^WHL(-[0-9A-HJKMNP-TV-Z]{5}){4}$/);
    expect(JSON.stringify(await query('select l::text as row from license l'))).not.toContain(key);
    const typed = ` ${key.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o')} `;
    expect((await activate(typed)).json()).toMatchObject({ plan: 'starter', source: 'license', priceMinor: 9900 });
    expect((await activate(key)).json()).toMatchObject({ status: 409, code: 'license_used' });
    expect((await activate(key, await aUser(test.rt))).json()).toMatchObject({ status: 422, code: 'license_invalid' });
  });

  it('gives its plan with its own limits and features, and the credits of the month', async () => {
    const limits = { members: 3, contacts: null };
    const { key, id } = await make({ plan: 'pro', days: 10, limits, features: { webhooks: false } });
    expect((await ask('/api/license/validate', { key })).json()).toEqual({
      isUsable: true,
      plan: 'pro',
      limits,
      features: { webhooks: false },
      days: 10,
    });
    expect((await activate(key)).statusCode).toBe(200);
    const { license, ...rest } = await status();
    expect(rest).toMatchObject({
      plan: 'pro',
      limits: { members: 3, contacts: null, apiKeys: 50 },
      features: { webhooks: false, campaigns: true },
    });
    const days = (new Date(license.expiresAt).getTime() - new Date(license.activatedAt).getTime()) / 86_400_000;
    expect({ id: license.id, days }).toEqual({ id, days: 10 });
    const { balance: credits, lots } = (await ask('/api/ai/credits')).json();
    expect({ credits, lots }).toEqual({ credits: 25_000, lots: [{ remaining: 25_000, expiresAt: license.expiresAt }] });
    const usage = (await ask('/api/license/usage')).json();
    expect(usage).toMatchObject({
      plan: 'pro',
      limits: {
        members: { used: 1, limit: 3, isFull: false, isExceeded: false },
        workspaces: { used: 1, limit: 10 },
        contacts: { used: 0, limit: null, isFull: false, isExceeded: false },
      },
    });
    expect((await ask('/api/license/validate', { key })).json()).toMatchObject({ isUsable: false, plan: null });
  });

  it('takes the place of a lesser one, and of a better one only when that is asked for; nothing is lost', async () => {
    const [starter, pro, again] = [
      await make({ plan: 'starter' }),
      await make({ plan: 'pro' }),
      await make({ plan: 'starter' }),
    ];
    await activate(starter.key);
    expect((await activate(pro.key)).json()).toMatchObject({ plan: 'pro' });
    expect(await balance()).toBe(25_000);
    expect((await activate(again.key)).json()).toMatchObject({ status: 409, code: 'license_active' });
    expect((await activate(again.key, owner, { replace: true })).json()).toMatchObject({ plan: 'starter' });
    expect(await balance()).toBe(25_000);
    const rows = await query(
      'select status from license where used_by_workspace = $1 order by activated_at',
      owner.workspace.id,
    );
    expect(rows.map((row) => row.status)).toEqual(['replaced', 'replaced', 'active']);
  });

  it('that was not made, was not activated in time, or was revoked is no licence; which of them is not told', async () => {
    const revoked = await make({ plan: 'pro' });
    expect((await ops('/ops/licenses/revoke', { key: revoked.key })).json()).toMatchObject({
      status: 'revoked',
      workspaceId: null,
    });
    for (const activateBy of ['2020-01-01T00:00:00Z', '0000-01-01T00:00:00Z', '9999-12-31T23:59:59Z'])
      expect((await ops('/ops/licenses', { plan: 'pro', activateBy })).json()).toMatchObject({
        status: 400,
        errors: [{ path: 'activateBy' }],
      });
    const late = await make({ plan: 'pro', activateBy: new Date(Date.now() + 3_600_000).toISOString() });
    await query('update license set activate_by = now() where id = $1', late.id);
    const answers = new Set<string>();
    for (const key of [revoked.key, late.key, newKey(), 'x', ' ']) {
      const { instance: _, ...problem } = (await activate(key)).json();
      answers.add(JSON.stringify(problem));
      answers.add((await ask('/api/license/validate', { key })).body);
    }
    expect(answers.size).toBe(2);
    expect((await status()).plan).toBe('free');
    expect((await ops('/ops/licenses/revoke', { licenseId: revoked.id })).json()).toMatchObject({
      status: 409,
      code: 'license_ended',
    });
    expect((await ops('/ops/licenses/revoke', { key: newKey() })).statusCode).toBe(404);
  });

  it('that is revoked takes its plan with it, and leaves credits that were given', async () => {
    const { key, id } = await make({ plan: 'pro' });
    await activate(key);
    expect((await ops('/ops/licenses/revoke', { licenseId: id })).json()).toMatchObject({
      workspaceId: owner.workspace.id,
    });
    expect(await status()).toMatchObject({ plan: 'free', source: null, license: null });
    expect(await balance()).toBe(25_000);
    expect((await activate(key)).json()).toMatchObject({ code: 'license_used' });
  });

  it('tells of its end, goes on for the grace, and then ends, each once', async () => {
    const { key } = await make({ plan: 'pro', days: 30 });
    await activate(key);
    await tend();
    expect(await events('license.expiring')).toEqual([]);
    await pass(24);
    await Promise.all([tend(), tend()]);
    expect(await events('license.expiring')).toMatchObject([{ phase: 'soon', plan: 'pro' }]);
    await pass(7);
    await tend();
    await tend();
    expect(await events('license.expiring')).toMatchObject([{ phase: 'soon' }, { phase: 'grace' }]);
    expect(await status()).toMatchObject({ plan: 'pro', license: { graceUntil: expect.any(String) } });
    await pass(GRACE_DAYS);
    await Promise.all([tend(), tend()]);
    expect(await status()).toMatchObject({ plan: 'free', license: null });
    expect((await events('billing.plan_changed')).map(({ to, reason }) => [to, reason])).toEqual([
      ['pro', 'activated'],
      ['free', 'expired'],
    ]);
  });

  it('gives credits each month, once, and none in its grace', async () => {
    const { key } = await make({ plan: 'pro', days: 70 });
    await activate(key);
    await Promise.all([tend(), tend()]);
    expect(await balance()).toBe(25_000);
    await pass(31);
    await Promise.all([tend(), tend()]);
    await tend();
    expect(await balance()).toBe(50_000);
    await pass(31);
    await tend();
    expect(await balance()).toBe(75_000);
    await pass(9);
    await tend();
    expect(await balance()).toBe(75_000);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });

  it('is listed for operators, page by page, by status, plan and workspace, without its key, and is revoked by its id', async () => {
    const [first, second, third] = [
      await make({ plan: 'starter' }),
      await make({ plan: 'pro', days: 30, limits: { members: 7 } }),
      await make({ plan: 'enterprise', activateBy: '2099-01-01T00:00:00.000Z' }),
    ];
    for (const { key } of [first, second]) await activate(key);
    const own = `workspaceId=${owner.workspace.id}`;
    const shown = await opsGet(`/ops/licenses?${own}`);
    expect(shown.data).toMatchObject([
      {
        id: second.id,
        status: 'active',
        plan: 'pro',
        days: 30,
        limits: { members: 7 },
        workspaceId: owner.workspace.id,
      },
      { id: first.id, status: 'replaced', plan: 'starter', days: null, expiresAt: null, endedAt: expect.any(String) },
    ]);
    expect(JSON.stringify(shown)).not.toMatch(/WHL|hash/i);
    const one = await opsGet(`/ops/licenses?${own}&limit=1`);
    const next = await opsGet(`/ops/licenses?${own}&limit=1&cursor=${one.page.nextCursor}`);
    expect([idsOf(one), idsOf(next), next.page.hasMore]).toEqual([[second.id], [first.id], false]);
    expect(idsOf(await opsGet(`/ops/licenses?${own}&status=replaced&plan=starter`))).toEqual([first.id]);
    expect(idsOf(await opsGet(`/ops/licenses?${own}&plan=enterprise`))).toEqual([]);
    expect(idsOf(await opsGet('/ops/licenses?status=unused&plan=enterprise'))).toContain(third.id);
    expect(await opsGet(`/ops/licenses/${third.id}`)).toMatchObject({
      status: 'unused',
      activateBy: '2099-01-01T00:00:00.000Z',
      workspaceId: null,
    });
    const [{ id: shownId }] = one.data;
    expect((await ops('/ops/licenses/revoke', { licenseId: shownId })).statusCode).toBe(200);
    expect(await opsGet(`/ops/licenses/${second.id}`)).toMatchObject({ status: 'revoked' });
    expect(await opsGet(`/ops/licenses/${owner.workspace.id}`)).toMatchObject({ status: 404 });
    for (const wrong of ['status=paid', 'cursor=x', 'key=x'])
      expect(await opsGet(`/ops/licenses?${wrong}`)).toMatchObject({ status: 400 });
    expect((await ask('/ops/licenses')).statusCode).toBe(401);
  });

  it('that was changed for a lesser one takes nothing away; every member sees what is exceeded, and nothing new is made', async () => {
    const viewer = await aUser(test.rt);
    await aMember(test.rt, owner.workspace.id, viewer.user.id, 'viewer');
    const headers = { ...viewer.headers, 'x-workspace-id': owner.workspace.id };
    const [pro, starter] = [await make({ plan: 'pro' }), await make({ plan: 'starter', limits: { channels: 1 } })];
    await activate(pro.key);
    const channel = (name: string) => ask('/api/channels', { name, kind: 'extension' });
    for (const name of ['A', 'B']) expect((await channel(name)).statusCode).toBe(201);
    expect((await activate(starter.key, owner, { replace: true })).json()).toMatchObject({ plan: 'starter' });
    const usage = (await ask('/api/license/usage', undefined, { ...viewer, headers })).json();
    expect(usage).toMatchObject({
      plan: 'starter',
      limits: {
        channels: { used: 2, limit: 1, isFull: true, isExceeded: true },
        members: { used: 2, limit: 10, isFull: false, isExceeded: false },
      },
      credits: null,
    });
    const { data } = (await ask('/api/channels')).json();
    expect(data.map(({ state }: { state: string }) => state)).toEqual(['active', 'active']);
    expect((await channel('C')).json()).toMatchObject({ status: 403, code: 'plan_limit' });
  });

  it('is for administrators to use and for operators to make; nobody else sees or changes one', async () => {
    const member = await aUser(test.rt);
    await aMember(test.rt, owner.workspace.id, member.user.id, 'member');
    const { key } = await make({ plan: 'pro' });
    const headers = { ...member.headers, 'x-workspace-id': owner.workspace.id };
    expect((await activate(key, { ...member, headers })).statusCode).toBe(403);
    expect((await ask('/ops/licenses', { plan: 'pro' })).statusCode).toBe(401);
    await expect(test.rt.pool.query(`update license set plan = 'enterprise'`)).rejects.toThrow(/permission denied/);
    await expect(test.rt.pool.query('delete from license')).rejects.toThrow(/permission denied/);
  });
});

it('is tried five times in a quarter of an hour, whether to activate or to look at it', async () => {
  const limited = await openTestApp({ RATE_LIMIT_SCALE: '1' });
  try {
    const user = await aUser(limited.rt);
    const key = newKey();
    const codes: number[] = [];
    for (let tries = 0; tries < 6; tries += 1) {
      const url = tries % 2 === 0 ? '/api/license/activate' : '/api/license/validate';
      codes.push((await ask(url, { key }, user, limited)).statusCode);
    }
    expect(codes).toEqual([422, 200, 422, 200, 422, 429]);
  } finally {
    await limited.close();
  }
});
