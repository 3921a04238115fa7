import { afterAll, beforeAll, expect, it } from 'vitest';
import { createRandom } from '#test/fuzz/random.ts';
import { aContact } from '#test/deals.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

const DEALS = 400;
const ZONE = 'Pacific/Auckland';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
  await test.rt.systemPool.query('update workspace set time_zone = $2 where id = $1', [ana.workspace.id, ZONE]);
});
afterAll(() => test.close());

const get = async (url: string) => (await test.app.inject({ method: 'GET', url, headers: ana.headers })).json();

interface Sums {
  openCount: number;
  openMinor: number;
  percents: bigint;
  wonCount: number;
  wonMinor: number;
}

interface Pipeline {
  id: string;
  stages: Record<string, string | number>[];
}

/** Half up, as whole numbers. */
const rounded = (percents: bigint): number => Number((percents + 50n) / 100n);
const monthIn = (at: Date): string =>
  new Intl.DateTimeFormat('sv', { timeZone: ZONE, year: 'numeric', month: '2-digit' }).format(at);

const sorted = (data: { month: string | null; currency: string | undefined }[]) =>
  data.toSorted((a, b) => `${a.month ?? '9999'} ${a.currency}`.localeCompare(`${b.month ?? '9999'} ${b.currency}`));
const isSpring = (month: string) => month >= '2026-03' && month <= '2026-05';

it('is what the deals come to, added up one by one', async () => {
  const random = createRandom(7);
  const contactId = await aContact(test.rt, ana);
  const payload = { name: 'Outra' };
  await test.app.inject({ method: 'POST', url: '/api/pipelines', headers: ana.headers, payload });
  const pipelines: [Pipeline, ...Pipeline[]] = (await get('/api/pipelines')).data;
  const sums = new Map<string, Sums>();
  const rows: object[] = [];
  const only = pipelines[1]?.id;
  for (let at = 0; at < DEALS; at += 1) {
    const pipeline = random.pick(pipelines);
    const stage = random.pick(pipeline.stages) ?? {};
    const amount = random.int(1_000_000_000);
    const probability = random.chance(0.3) ? random.int(101) : null;
    const currency = random.pick(['BRL', 'USD']);
    const close = random.chance(0.2)
      ? null
      : `2026-${String(1 + random.int(12)).padStart(2, '0')}-${10 + random.int(18)}`;
    // Near the ends of months, where zones differ.
    const closedAt = new Date(Date.UTC(2026, random.int(12), 1) + (random.int(72) - 36) * 3_600_000);
    const isDeleted = random.chance(0.1);
    const { id: stageId, kind } = stage;
    rows.push({
      id: crypto.randomUUID(),
      pipeline_id: pipeline.id,
      stage_id: stageId,
      status: kind,
      amount_minor: amount,
      currency,
      probability,
      expected_close: close,
      closed_at: kind === 'open' ? null : closedAt.toISOString(),
      lost_reason: kind === 'lost' ? 'Caro' : null,
      position: isDeleted ? null : `a${at.toString(36).padStart(3, '0')}1`,
      deleted_at: isDeleted ? new Date().toISOString() : null,
    });
    if (isDeleted || kind === 'lost') continue;
    for (const scope of ['all', ...(pipeline.id === only ? ['only'] : [])]) {
      const key = `${scope} ${kind === 'open' ? close?.slice(0, 7) : monthIn(closedAt)} ${currency}`;
      const sum = sums.get(key) ?? { openCount: 0, openMinor: 0, percents: 0n, wonCount: 0, wonMinor: 0 };
      if (kind === 'open') {
        sum.openCount += 1;
        sum.openMinor += amount;
        sum.percents += BigInt(amount) * BigInt(probability ?? stage['probability'] ?? 0);
      } else {
        sum.wonCount += 1;
        sum.wonMinor += amount;
      }
      sums.set(key, sum);
    }
  }
  await test.rt.systemPool.query(
    `insert into deal (workspace_id, id, title, contact_id, pipeline_id, stage_id, status, amount_minor, currency, probability,
        expected_close, closed_at, lost_reason, position, deleted_at)
      select $1, id, 'x', $2, pipeline_id, stage_id, status, amount_minor, currency, probability, expected_close, closed_at, lost_reason,
        position, deleted_at from json_populate_recordset(null::deal, $3)`,
    [ana.workspace.id, contactId, JSON.stringify(rows)],
  );
  const expected = (scope: string, isIn: (month: string) => boolean = () => true) =>
    [...sums].flatMap(([key, { percents, ...sum }]) => {
      const [whose, month = '', currency] = key.split(' ');
      if (whose !== scope || !isIn(month)) return [];
      const weightedMinor = rounded(percents);
      const forecastMinor = weightedMinor + sum.wonMinor;
      return [{ month: month === 'undefined' ? null : month, currency, ...sum, weightedMinor, forecastMinor }];
    });
  const all = await get('/api/deals/forecast?groupBy=month');
  expect(all.timeZone).toBe(ZONE);
  expect(all.data.length).toBeGreaterThan(20);
  expect(all.data).toEqual(sorted(expected('all')));
  expect((await get(`/api/deals/forecast?pipelineId=${only}`)).data).toEqual(sorted(expected('only')));
  expect((await get('/api/deals/forecast?from=2026-03&to=2026-05')).data).toEqual(sorted(expected('all', isSpring)));
  expect((await get(`/api/deals/forecast?pipelineId=${crypto.randomUUID()}`)).data).toEqual([]);
});
