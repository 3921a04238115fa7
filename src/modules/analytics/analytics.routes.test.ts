import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '#src/lib/ids.ts';
import { findDueExports, purgeExports } from '#src/modules/analytics/exports.query.ts';
import { runExport } from '#src/modules/analytics/exports.ts';
import { rollUpAll } from '#src/modules/analytics/rollup.ts';
import { latencyQuantile, LATENCY_ENDS_MS } from '#src/modules/analytics/sources/latency.ts';
import { book, type Fact } from '#test/analytics.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { untilDayLasts } from '#test/day.ts';

let test: TestApp;
let owner: TestUser;
let member: TestUser;
beforeAll(async () => {
  test = await openTestApp({ DEFAULT_PLAN: 'enterprise', AI_USAGE_KEEP_MONTHS: '120' });
  owner = await aUser(test.rt, { name: 'Ana' });
  member = await aUser(test.rt, { name: '=Bia' });
  await aMember(test.rt, owner.workspace.id, member.user.id, 'viewer');
});
afterAll(() => test.close());

const fact = (fields: Partial<Fact> & { startedAt: Date }): Fact => ({
  engine: 'copilot',
  provider: 'openai',
  model: 'a',
  userId: owner.user.id,
  outcome: 'delivered',
  isOwnKey: false,
  tokens: 10,
  costNano: 1_000_000,
  latencyMs: 100,
  ...fields,
});
const count = (workspaceId = owner.workspace.id) =>
  rollUpAll({ pool: test.rt.pool, keepMonths: 1200, log: test.rt.log }, workspaceId);
const setZone = (timeZone: string) =>
  test.rt.systemPool.query('update workspace set time_zone = $2 where id = $1', [owner.workspace.id, timeZone]);

const ask = (method: 'GET' | 'POST', path: string, user = owner, payload?: object) =>
  test.app.inject({
    method,
    url: `/api/analytics/${path}`,
    headers: { ...user.headers, 'x-workspace-id': owner.workspace.id },
    ...(payload ? { payload } : {}),
  });
const get = async (path: string, user = owner) => {
  const answer = await ask('GET', path, user);
  expect(`${path}: ${answer.statusCode} ${answer.statusCode < 300 ? '' : answer.body}`).toBe(`${path}: 200 `);
  return answer.json();
};

const ago = (days: number) => new Date(Date.now() - days * 86_400_000);

const order = async (payload: object, user = owner): Promise<string> => {
  const answer = await ask('POST', 'export', user, { from: '2026-02-10', to: '2026-02-11', ...payload });
  expect(answer.statusCode).toBe(202);
  expect(answer.json()).toMatchObject({ status: 'queued', downloadUrl: null });
  expect(answer.headers['location']).toBe(`/api/analytics/exports/${answer.json().id}`);
  return answer.json().id;
};
const work = async (): Promise<void> => {
  for (const { workspaceId, jobId } of await findDueExports(test.rt.systemPool, 100))
    await runExport({ pool: test.rt.pool, log: test.rt.log }, workspaceId, jobId);
};
const file = async (id: string, user = owner) => (await ask('GET', `exports/${id}/download`, user)).body;

describe('the dashboard', () => {
  it('shows today, 7 and 30 days beside what was before, and says how new it is', async () => {
    await untilDayLasts('America/Sao_Paulo');
    const facts = [0, 0, 1, 3, 8, 20, 40].map((days) => fact({ startedAt: ago(days) }));
    facts.push(fact({ startedAt: ago(0), userId: member.user.id, outcome: 'failed', latencyMs: 3000 }));
    await book(test.rt.systemPool, owner.workspace.id, facts);
    const stale = await get('dashboard');
    expect(stale.today.kpis.calls.value).toBe(0);
    expect(Date.parse(stale.asOf)).toBeLessThanOrEqual(Date.now());
    const asked = Date.now() - 1000;
    await count();
    const whole = await get('dashboard');
    expect(Date.parse(whole.asOf)).toBeGreaterThanOrEqual(asked);
    expect(whole).toMatchObject({ scope: 'workspace', timeZone: 'America/Sao_Paulo' });
    expect(whole.today.kpis).toMatchObject({
      calls: { value: 3, previous: 1 },
      failures: { value: 1, previous: 0 },
      costUsd: { value: 0.003, previous: 0.001 },
      credits: { value: 1.5, previous: 0.5 },
    });
    expect(whole.today.kpis.latencyP95Ms.value).toBeGreaterThan(2640);
    expect(whole.today.kpis.latencyP95Ms.value).toBeLessThan(3360);
    expect(whole.last7Days.kpis.calls).toEqual({ value: 5, previous: 1 });
    expect(whole.last30Days.kpis.calls).toEqual({ value: 7, previous: 1 });
    const own = await get('dashboard', member);
    expect(own.scope).toBe('own');
    expect(own.last30Days.kpis).toMatchObject({
      calls: { value: 1, previous: 0 },
      failures: { value: 1, previous: 0 },
    });
  });
});

describe('a series', () => {
  it.each([
    ['Europe/Berlin', '2025-03-30', 23],
    ['Europe/Berlin', '2025-10-26', 25],
    ['America/New_York', '2025-03-09', 23],
    ['America/New_York', '2025-11-02', 25],
    ['America/Sao_Paulo', '2025-08-04', 24],
    ['Asia/Kolkata', '2025-07-02', 24],
  ])('has each hour and day of %s, also on %s, which has %i hours', async (zone, day, hours) => {
    await setZone(zone);
    const { rows } = await test.rt.systemPool.query(`select $1::timestamp at time zone $2 as start`, [day, zone]);
    const start: Date = rows[0].start;
    const end = start.getTime() + hours * 3_600_000;
    const at = (ms: number) => fact({ startedAt: new Date(ms), engine: zone });
    // The last moment before, the first and last within, the first after.
    const moments = [start.getTime() - 1, start.getTime(), end - 1, end];
    await book(test.rt.systemPool, owner.workspace.id, moments.map(at));
    await count();
    const after = new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10);
    const byDay = await get(`timeseries?metric=ai.calls&from=${day}&to=${after}`);
    expect(byDay.data).toEqual([{ at: start.toISOString(), local: day, hours, value: 2 }]);
    expect([byDay.from, byDay.to]).toEqual([start.toISOString(), new Date(end).toISOString()]);
    const byHour = await get(`timeseries?metric=ai.calls&from=${day}&to=${after}&bucket=hour`);
    const isWhole = zone !== 'Asia/Kolkata';
    expect(byHour.data).toHaveLength(isWhole ? hours : hours + 1);
    const values = byHour.data.map(({ value }: { value: number }) => value);
    expect([values[0], values.at(-1)]).toEqual(isWhole ? [1, 1] : [2, 2]);
    expect(values.slice(1, -1).every((value: number) => value === 0)).toBe(true);
    expect(byHour.data[0].local).toMatch(isWhole ? new RegExp(`^${day}T00:00[+-]\\d\\d:00$`) : /T23:30\+05:30$/);
    const gaps = byHour.data.map((point: { at: string }, index: number) => Date.parse(point.at) - index * 3_600_000);
    expect(new Set(gaps).size).toBe(1);
  });

  it('is refused where it is no period, too long, or of nothing that is counted', async () => {
    for (const query of [
      'metric=ai.mood',
      'metric=ai.calls&from=2026-02-01&to=2026-01-01',
      'metric=ai.calls&from=2024-01-01&to=2026-01-01',
      'metric=ai.calls&from=2026-01-01&to=2026-03-01&bucket=hour',
      'metric=ai.calls&from=1000-01-01',
      'metric=ai.calls&from=2026-02-30',
      'metric=ai.calls&bucket=minute',
    ])
      expect([query, (await ask('GET', `timeseries?${query}`)).statusCode]).toEqual([query, 400]);
  });

  it('begins and ends at moments with any offset that ISO 8601 can write', async () => {
    const span = { from: '2026-01-02T00:00:00+23:59', to: '2026-01-02T00:00:00-18:00' };
    const series = await get(`timeseries?metric=ai.calls&bucket=hour&${new URLSearchParams(span).toString()}`);
    expect(series).toMatchObject({ from: '2026-01-01T00:01:00.000Z', to: '2026-01-02T18:00:00.000Z' });
    expect((await ask('POST', 'export', owner, { report: 'ai', ...span })).statusCode).toBe(202);
  });
});

describe('calls and people', () => {
  beforeAll(async () => {
    await setZone('America/Sao_Paulo');
    const startedAt = new Date('2026-02-10T15:00:00Z');
    await book(test.rt.systemPool, owner.workspace.id, [
      fact({ startedAt, costNano: 5_000_000, latencyMs: 1000 }),
      fact({ startedAt, latencyMs: 40 }),
      fact({ startedAt, provider: 'groq', outcome: 'failed', costNano: 0 }),
      fact({ startedAt, engine: 'sentiment', provider: 'groq', isOwnKey: true, userId: member.user.id }),
    ]);
    const stranger = await aUser(test.rt);
    await book(test.rt.systemPool, stranger.workspace.id, [fact({ startedAt, userId: stranger.user.id })]);
    await count(stranger.workspace.id);
    await count();
  });
  const period = 'from=2026-02-10&to=2026-02-11';

  it('are added up by engine, provider or model, the dearest first', async () => {
    const byModel = await get(`ai?${period}`);
    expect(byModel.data).toMatchObject([
      { key: 'openai/a', calls: 2, failures: 0, costUsd: 0.006, inputTokens: 20 },
      { key: 'groq/a', calls: 2, failures: 1, costUsd: 0.001, ownKeyCostUsd: 0.001 },
    ]);
    expect(byModel.total).toMatchObject({ calls: 4, failures: 1, costUsd: 0.007, inputTokens: 40, outputTokens: 12 });
    const keys = async (groupBy: string, user = owner) =>
      (await get(`ai?${period}&groupBy=${groupBy}`, user)).data.map(
        ({ key, calls }: { key: string; calls: number }) => [key, calls],
      );
    expect(await keys('engine')).toEqual([
      ['copilot', 3],
      ['sentiment', 1],
    ]);
    expect(await keys('provider')).toEqual([
      ['openai', 2],
      ['groq', 2],
    ]);
    expect(await keys('provider', member)).toEqual([['groq', 1]]);
  });

  it('are shown by member, to members only themselves', async () => {
    const { data } = await get(`team?${period}`);
    expect(data).toMatchObject([
      { userId: owner.user.id, name: 'Ana', jobsCompleted: 2, jobsFailed: 1, calls: 3, costUsd: 0.006 },
      { userId: member.user.id, name: '=Bia', jobsCompleted: 1, calls: 1, costUsd: 0.001 },
    ]);
    const own = await get(`team?${period}`, member);
    expect(own.data).toMatchObject([{ userId: member.user.id, calls: 1 }]);
    expect(own.data).toHaveLength(1);
    expect((await get('team?from=2025-06-01&to=2025-06-02')).data).toMatchObject([{ calls: 0 }, { calls: 0 }]);
  });

  it('can be had as files', async () => {
    const [ai, team, calls, own] = [
      await order({ report: 'ai' }),
      await order({ report: 'team' }),
      await order({ report: 'calls', format: 'ndjson' }),
      await order({ report: 'calls', format: 'ndjson' }, member),
    ];
    expect((await ask('GET', `exports/${ai}/download`)).statusCode).toBe(409);
    await work();
    const view = await get(`exports/${ai}`);
    expect(view).toMatchObject({ status: 'completed', rows: 3, downloadUrl: `/api/analytics/exports/${ai}/download` });
    const lines = (await file(ai)).trimEnd().split('\r\n');
    expect(lines[0]).toBe(
      '"day","engine","provider","model","calls","failures","input_tokens","cached_input_tokens","output_tokens","reasoning_tokens","cost_usd","credits"',
    );
    expect(lines[2]).toBe('"2026-02-10","copilot","openai","a","2","0","20","10","6","2","0.006","3"');
    expect(Buffer.byteLength(await file(ai))).toBe(view.sizeBytes);
    // A name that a spreadsheet would run.
    expect(await file(team)).toContain(`"'=Bia","1","0","0","1","0.001","0.5"`);
    const all = (await file(calls))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(all).toHaveLength(4);
    expect(new Set(all.map(({ user_id }) => user_id))).toEqual(new Set([owner.user.id, member.user.id]));
    const mine = (await file(own, member))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(mine).toMatchObject([{ user_id: member.user.id, engine: 'sentiment', cost_usd: 0.001 }]);
    expect((await ask('GET', `exports/${calls}`, member)).statusCode).toBe(404);
    expect((await ask('GET', `exports/${calls}/download`, member)).statusCode).toBe(404);
    expect((await ask('GET', `exports/${newId()}`)).statusCode).toBe(404);
  });

  it('are exported whole however many, by whichever worker, and gone when they expire', async () => {
    const startedAt = Date.parse('2026-02-20T12:00:00Z');
    const many = Array.from({ length: 5000 }, (_, at) => fact({ startedAt: new Date(startedAt + at - (at % 3)) }));
    await book(test.rt.systemPool, owner.workspace.id, many);
    const id = await order({ report: 'calls', from: '2026-02-20', to: '2026-02-21' });
    await Promise.all([work(), work()]);
    const seen = (await file(id)).trimEnd().split('\r\n').slice(1);
    expect(seen).toHaveLength(5000);
    expect(new Set(seen).size).toBe(5000);
    const chunks = `select count(*)::int as n from analytics_export_chunk where export_id = $1`;
    expect((await test.rt.systemPool.query(chunks, [id])).rows[0].n).toBeGreaterThan(2);
    await test.rt.systemPool.query(
      `update analytics_export set expires_at = now() - interval '1 second' where id = $1`,
      [id],
    );
    expect((await ask('GET', `exports/${id}`)).statusCode).toBe(404);
    // Somebody may have begun to read it.
    expect(await purgeExports(test.rt.systemPool)).toBe(0);
    await test.rt.systemPool.query(
      `update analytics_export set expires_at = now() - interval '61 minutes' where id = $1`,
      [id],
    );
    expect(await purgeExports(test.rt.systemPool)).toBe(1);
    expect((await test.rt.systemPool.query(chunks, [id])).rows[0].n).toBe(0);
  });

  it('are exported by another worker when one died, without what that one wrote', async () => {
    const id = await order({ report: 'ai' });
    await test.rt.systemPool.query(
      `update analytics_export set status = 'active', attempt = 1, due_at = now() - interval '1 second' where id = $1`,
      [id],
    );
    await test.rt.systemPool.query(
      `insert into analytics_export_chunk select workspace_id, id, 1, 0, 'half a line' from analytics_export where id = $1`,
      [id],
    );
    await work();
    expect((await file(id)).split('\r\n')).toHaveLength(5);
    expect(await file(id)).not.toContain('half');
  });

  it('are given up where their worker dies with every try', async () => {
    const id = await order({ report: 'ai' });
    await test.rt.systemPool.query(
      `update analytics_export set status = 'active', attempt = 5, due_at = now() - interval '1 second' where id = $1`,
      [id],
    );
    await work();
    expect(await get(`exports/${id}`)).toMatchObject({ status: 'failed', problem: { code: 'export_failed' } });
    expect((await findDueExports(test.rt.systemPool, 10)).filter(({ jobId }) => jobId === id)).toEqual([]);
  });

  it('end with an error, never as if they were whole, where the file goes while it is read', async () => {
    const id = await order({ report: 'calls', from: '2026-02-20', to: '2026-02-21' });
    await work();
    await test.rt.systemPool.query(`delete from analytics_export_chunk where export_id = $1 and chunk_no > 0`, [id]);
    const address = await test.app.listen({ port: 0, host: '127.0.0.1' });
    const answer = await fetch(`${address}/api/analytics/exports/${id}/download`, { headers: owner.headers });
    expect(answer.status).toBe(200);
    await expect(Promise.race([answer.text(), sleep(5000).then(() => 'still waiting')])).rejects.toThrow();
  });

  it('are counted anew for operators', async () => {
    const { OPS_USER, OPS_PASSWORD } = test.config;
    const headers = { authorization: `Basic ${Buffer.from(`${OPS_USER}:${OPS_PASSWORD}`).toString('base64')}` };
    const recompute = (payload: object) =>
      test.app.inject({ method: 'POST', url: '/ops/analytics/recompute', headers, payload });
    await test.rt.systemPool.query('delete from analytics_hourly');
    await test.rt.systemPool.query('delete from analytics_daily');
    const span = { from: '2026-02-10T00:00:00Z', to: '2026-02-12T00:00:00Z' };
    const answer = await recompute({ ...span, workspaceId: owner.workspace.id });
    expect([answer.statusCode, answer.json().workspaces]).toEqual([202, 1]);
    await count();
    expect((await get(`ai?${period}`)).total.calls).toBe(4);
    expect((await recompute({ ...span, workspaceId: newId() })).statusCode).toBe(404);
    expect((await recompute({ from: span.to, to: span.from })).statusCode).toBe(400);
    expect((await recompute({ from: '2001-01-01T00:00:00Z', to: '2002-01-01T00:00:00Z' })).statusCode).toBe(400);
    expect((await recompute(span)).json().workspaces).toBeGreaterThan(1);
  });
});

it('a quantile of a histogram is right to 12 %', () => {
  for (const ms of [10, 11, 99, 1000, 4321, 60_000, 160_000]) {
    const counts = [...LATENCY_ENDS_MS, Infinity].map(() => 0);
    counts[LATENCY_ENDS_MS.filter((end) => end <= ms).length] = 7;
    const found = latencyQuantile(counts, 0.95) ?? 0;
    expect(Math.abs(found - ms) / ms).toBeLessThan(0.13);
  }
  expect(latencyQuantile([0, 0], 0.5)).toBeNull();
});
