import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPool } from '#src/db/pool.ts';
import { findDue, findLag, markSpan } from '#src/modules/analytics/rollup.query.ts';
import { rollUp, rollUpAll } from '#src/modules/analytics/rollup.ts';
import { book, figuresOf, type Fact } from '#test/analytics.ts';
import { aUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

const RUNS = Number(process.env['ANALYTICS_RUNS'] ?? 25);
const ZONES = [
  'Europe/Berlin',
  'America/New_York',
  'America/Sao_Paulo',
  'Asia/Kolkata',
  'Asia/Kathmandu',
  'Australia/Lord_Howe',
];
/** Around changes of the clock in each of the zones, so that facts fall into days of 23, 24 and 25 hours. */
const MOMENTS = ['2026-03-08', '2026-03-29', '2026-04-05', '2026-10-04', '2026-10-25', '2026-11-01'];

let test: TestRuntime;
let owner: Client;
beforeAll(async () => {
  test = await openTestRuntime();
  owner = new Client({ connectionString: test.config.DATABASE_URL });
  await owner.connect();
});
afterAll(async () => {
  await owner.end();
  await test.close();
});

// Long enough that the dates of these tests do not become too old.
const resources = () => ({ pool: test.rt.pool, keepMonths: 1200, log: test.rt.log });

async function aWorkspace(timeZone = 'America/Sao_Paulo'): Promise<{ id: string; userId: string }> {
  const user = await aUser(test.rt);
  const id = user.workspace.id;
  await setZone(id, timeZone);
  return { id, userId: user.user.id };
}
const setZone = (id: string, timeZone: string) =>
  owner.query('update workspace set time_zone = $2 where id = $1', [id, timeZone]);

const USERS = ['018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-000000000002'];
const aFact = fc.record({
  startedAt: fc
    .tuple(fc.constantFrom(...MOMENTS), fc.integer({ min: -130, max: 130 }))
    .map(([day, quarters]) => new Date(Date.parse(day) + quarters * 900_000 + 1)),
  engine: fc.constantFrom('copilot', 'sentiment'),
  provider: fc.constantFrom('openai', 'groq'),
  model: fc.constantFrom('a', 'b'),
  userId: fc.constantFrom(...USERS),
  outcome: fc.constantFrom('delivered', 'failed', 'cancelled'),
  isOwnKey: fc.boolean(),
  tokens: fc.integer({ min: 0, max: 10_000 }),
  costNano: fc.integer({ min: 0, max: 1_000_000_000 }),
  latencyMs: fc.integer({ min: 0, max: 400_000 }),
});
const fixed = (fields: Partial<Fact> = {}): Fact => ({
  startedAt: new Date('2026-05-01T12:10:00Z'),
  engine: 'copilot',
  provider: 'openai',
  model: 'a',
  userId: USERS[0] ?? '',
  outcome: 'delivered',
  isOwnKey: false,
  tokens: 10,
  costNano: 100,
  latencyMs: 50,
  ...fields,
});

const step = fc.oneof(
  fc.record({
    kind: fc.constant('book' as const),
    facts: fc.array(aFact, { minLength: 1, maxLength: 6 }),
    afterMs: fc.nat(25),
    heldMs: fc.nat(15),
    isRolledBack: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('roll up' as const), afterMs: fc.nat(30) }),
  fc.record({ kind: fc.constant('roll up and die' as const), afterMs: fc.nat(25), livesMs: fc.nat(12) }),
  fc.record({ kind: fc.constant('recompute' as const), afterMs: fc.nat(25), from: fc.constantFrom(...MOMENTS) }),
);

/** A rollup whose connection the server cuts at some point of it. */
async function rollUpAndDie(workspaceId: string, livesMs: number): Promise<void> {
  const name = `victim-${Math.random()}`;
  const pool = openPool(test.config, { name, role: 'wh_app', max: 1 }, test.rt.log);
  const working = rollUp({ ...resources(), pool }, workspaceId).catch(() => undefined);
  await sleep(livesMs);
  await owner.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [name]);
  await working;
  await pool.end();
}

async function take(
  workspaceId: string,
  one: typeof step extends fc.Arbitrary<infer Step> ? Step : never,
): Promise<void> {
  await sleep(one.afterMs);
  if (one.kind === 'roll up') return rollUpAll(resources(), workspaceId);
  if (one.kind === 'roll up and die') return rollUpAndDie(workspaceId, one.livesMs);
  if (one.kind === 'recompute') {
    const from = new Date(one.from);
    await markSpan(test.rt.systemPool, { workspaceId, from, to: new Date(from.getTime() + 86_400_000) });
    return undefined;
  }
  const client = await test.rt.pool.connect();
  try {
    await client.query('begin');
    await client.query(`select set_config('app.workspace_id', $1, true)`, [workspaceId]);
    await book(client, workspaceId, one.facts);
    await sleep(one.heldMs);
    await client.query(one.isRolledBack ? 'rollback' : 'commit');
  } finally {
    client.release();
  }
}

const marksOf = async (id: string) =>
  (await owner.query('select from analytics_mark where workspace_id = $1', [id])).rowCount;

describe('figures', () => {
  it('equal a plain recount after facts, rollups and deaths in any order and at once, in any zone', async () => {
    let facts = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 3, maxLength: 14 }),
        fc.constantFrom(...ZONES),
        fc.constantFrom(...ZONES),
        async (steps, zone, laterZone) => {
          const { id } = await aWorkspace(zone);
          await Promise.all(steps.map((one) => take(id, one)));
          await rollUpAll(resources(), id);
          const { counted, kept } = await figuresOf(test.rt.systemPool, id, zone);
          expect(kept).toEqual(counted);
          expect(await marksOf(id)).toBe(0);
          await setZone(id, laterZone);
          await rollUpAll(resources(), id);
          const later = await figuresOf(test.rt.systemPool, id, laterZone);
          expect(later.kept).toEqual(later.counted);
          facts += counted.length;
        },
      ),
      { numRuns: RUNS },
    );
    expect(facts).toBeGreaterThan(RUNS);
  });

  it('do not change when the same is counted again, and are put right where somebody spoiled them', async () => {
    const { id } = await aWorkspace();
    await book(test.rt.systemPool, id, [fixed(), fixed({ model: 'b' }), fixed({ outcome: 'failed' })]);
    const span = { workspaceId: id, from: new Date('2026-05-01T00:00:00Z'), to: new Date('2026-05-02T00:00:00Z') };
    await rollUpAll(resources(), id);
    const first = await figuresOf(test.rt.systemPool, id, 'America/Sao_Paulo');
    expect(first.kept).toEqual(first.counted);
    expect(first.kept).toHaveLength(5);
    for (const spoil of [
      'select 1',
      `update analytics_hourly set amounts[1] = 77 where workspace_id = '${id}'`,
      `update analytics_hourly set dimensions[1] = 'other' where workspace_id = '${id}'`,
      `delete from analytics_daily where workspace_id = '${id}'`,
    ]) {
      await owner.query(spoil);
      await markSpan(test.rt.systemPool, span);
      await rollUpAll(resources(), id);
      expect([spoil, (await figuresOf(test.rt.systemPool, id, 'UTC')).kept]).toEqual([spoil, first.kept]);
    }
  });

  it('catch up with all that was marked while nobody counted, newest first', async () => {
    const { id } = await aWorkspace();
    const hours = Array.from({ length: 60 }, (_, at) => new Date(Date.parse('2026-05-01T00:30:00Z') + at * 3_600_000));
    for (const startedAt of hours) await book(test.rt.systemPool, id, [fixed({ startedAt })]);
    expect(await findLag(test.rt.systemPool)).toBeGreaterThan(0);
    expect(await rollUp(resources(), id)).toBe(true);
    const { rows } = await owner.query(
      'select min(hour) as first, max(hour) as last from analytics_hourly where workspace_id = $1',
      [id],
    );
    expect(rows[0]).toEqual({ first: new Date('2026-05-02T12:00:00Z'), last: new Date('2026-05-03T11:00:00Z') });
    await rollUpAll(resources(), id);
    const { counted, kept } = await figuresOf(test.rt.systemPool, id, 'America/Sao_Paulo');
    expect(kept).toEqual(counted);
  });

  it('are by the zone that was set while another count of the workspace was under way', async () => {
    const { id } = await aWorkspace();
    await book(test.rt.systemPool, id, [fixed({ startedAt: new Date('2026-05-01T01:30:00Z') })]);
    await rollUpAll(resources(), id);
    const other = await test.rt.systemPool.connect();
    try {
      await other.query('begin');
      await other.query('select from analytics_state where workspace_id = $1 for update', [id]);
      const counting = rollUp(resources(), id);
      const waiting = `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%analytics_state%'
        and datname = current_database()`;
      await expect.poll(async () => (await owner.query(waiting)).rowCount).toBe(1);
      await setZone(id, 'Asia/Tokyo');
      await other.query('update analytics_state set failures = 0 where workspace_id = $1', [id]);
      await other.query('commit');
      await counting;
    } finally {
      other.release(true);
    }
    const { counted, kept } = await figuresOf(test.rt.systemPool, id, 'Asia/Tokyo');
    expect(kept).toEqual(counted);
  });

  it('of hours whose facts may be gone stay as they are', async () => {
    const { id } = await aWorkspace();
    await book(test.rt.systemPool, id, [fixed({ startedAt: new Date('2020-05-01T12:00:00Z') })]);
    await rollUpAll(resources(), id);
    await owner.query('delete from job where workspace_id = $1', [id]);
    await markSpan(test.rt.systemPool, { workspaceId: id, from: new Date('2020-05-01'), to: new Date('2020-05-02') });
    await rollUpAll({ ...resources(), keepMonths: 13 }, id);
    const { counted, kept } = await figuresOf(test.rt.systemPool, id, 'America/Sao_Paulo');
    expect(counted).toEqual([]);
    expect(kept).toHaveLength(3);
    expect(await marksOf(id)).toBe(0);
  });
});

describe('a workspace that cannot be counted', () => {
  it('waits alone, longer each time, and is counted once it can be', async () => {
    const [sick, well] = [await aWorkspace(), await aWorkspace()];
    await owner.query(
      `create function refuse() returns trigger language plpgsql as $$ begin raise exception 'poisoned'; end $$`,
    );
    await owner.query(`create trigger refuse before insert on analytics_hourly for each row
      when (new.workspace_id = '${sick.id}') execute function refuse()`);
    for (const { id } of [sick, well]) await book(test.rt.systemPool, id, [fixed()]);
    expect(await findDue(test.rt.systemPool, 100)).toEqual(expect.arrayContaining([sick.id, well.id]));
    const waits: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      for (const { id } of [sick, well]) await rollUpAll(resources(), id);
      const { rows } = await owner.query(
        `select extract(epoch from next_rollup_at - now())::int as wait from analytics_state where workspace_id = $1`,
        [sick.id],
      );
      waits.push(rows[0].wait);
    }
    expect(waits.map((wait) => Math.round(wait / 10) * 10)).toEqual([30, 60, 120]);
    expect(await findDue(test.rt.systemPool, 100)).toEqual([]);
    const healthy = await figuresOf(test.rt.systemPool, well.id, 'America/Sao_Paulo');
    expect(healthy.kept).toEqual(healthy.counted);
    expect(await marksOf(sick.id)).toBeGreaterThan(0);
    await owner.query('drop trigger refuse on analytics_hourly');
    await rollUpAll(resources(), sick.id);
    const cured = await figuresOf(test.rt.systemPool, sick.id, 'America/Sao_Paulo');
    expect(cured.kept).toEqual(cured.counted);
    expect(cured.kept).not.toEqual([]);
  });
});
