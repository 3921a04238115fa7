import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isEverOpen, type Hours } from '#src/modules/campaigns/windows.ts';
import { aCampaigner, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
beforeAll(async () => {
  test = await openCampaignTest();
  me = await aCampaigner(test);
  await me.contacts(somePeople(1));
});
afterAll(() => test.close());

const all = [1, 2, 3, 4, 5, 6, 7];
const morning = { days: all, from: '08:00', to: '12:00' };
const hoursOf = (timeZone: string, ...windows: Hours['windows']) => ({ windows, timeZone });
const at = (day: number, from: string, to: string) => ({ days: [day], from, to });
const onDay = (day: number) => [at(day, '00:00', '24:00')];
const evening = { days: all, from: '18:00', to: '24:00' };

describe('hours', () => {
  // In New York clocks are put back on 2026-11-01, a Sunday: from four to five hours behind UTC.
  it.each<[string, Hours, Hours, string, boolean]>([
    ['apart', hoursOf('UTC', morning), hoursOf('UTC', evening), '2026-07-01', false],
    ['by other clocks', hoursOf('UTC', morning), hoursOf('Asia/Tokyo', evening), '2026-07-01', true],
    ['that only touch', hoursOf('UTC', morning), hoursOf('UTC', { ...evening, from: '12:00' }), '2026-07-01', false],
    ['of one that always sends', hoursOf('UTC'), hoursOf('UTC', evening), '2026-07-01', true],
    [
      'of other days',
      hoursOf('UTC', at(1, '08:00', '09:00')),
      hoursOf('UTC', at(7, '08:00', '09:00')),
      '2026-07-01',
      false,
    ],
    [
      'of two days that are one moment',
      hoursOf('Asia/Tokyo', at(1, '00:00', '01:00')),
      hoursOf('UTC', at(7, '15:30', '24:00')),
      '2026-07-01',
      true,
    ],
    [
      'up to midnight',
      hoursOf('UTC', at(7, '23:00', '24:00')),
      hoursOf('Asia/Kolkata', at(1, '05:00', '05:30')),
      '2026-07-01',
      true,
    ],
    [
      'from midnight',
      hoursOf('UTC', at(7, '23:00', '24:00')),
      hoursOf('Asia/Kolkata', at(1, '05:30', '06:00')),
      '2026-07-01',
      false,
    ],
    [
      'of which one is over today',
      hoursOf('UTC', at(3, '08:00', '09:00')),
      hoursOf('UTC', morning),
      '2026-07-01T10:00',
      true,
    ],
    [
      'before clocks change',
      hoursOf('America/New_York', at(7, '08:00', '09:00')),
      hoursOf('UTC', at(7, '12:00', '13:00')),
      '2026-10-20',
      true,
    ],
    [
      'after clocks change',
      hoursOf('America/New_York', at(7, '08:00', '09:00')),
      hoursOf('UTC', at(7, '12:00', '13:00')),
      '2026-10-26',
      false,
    ],
  ])('%s', (_name, one, other, from, expected) => {
    const fromMs = Date.parse(from.includes('T') ? `${from}:00Z` : from);
    expect([isEverOpen(one, other, fromMs), isEverOpen(other, one, fromMs)]).toEqual([expected, expected]);
  });
});

describe('a campaign whose hours its channel never has', () => {
  const refused = { status: 422, body: { code: 'windows_never_meet', errors: [{ path: 'windows' }] } };
  const scheduledAt = new Date(Date.now() + 3_600_000).toISOString();

  it('is not started, scheduled or gone on with, and says which they are', async () => {
    const { id: channelId } = await me.channel({ pacing: { windows: [evening] }, timeZone: 'America/Sao_Paulo' });
    const id = await me.campaign(channelId, { windows: [{ ...morning, days: [1, 3] }], timeZone: 'Asia/Kolkata' });
    await me.call('PATCH', `/api/campaigns/${id}`, { timeZone: 'America/Sao_Paulo' });
    const start = await me.start(id);
    expect(start).toMatchObject(refused);
    expect(start.body.detail).toContain('Mon, Wed 08:00-12:00 (America/Sao_Paulo)');
    expect(start.body.detail).toContain('18:00-24:00 (America/Sao_Paulo)');
    expect(await me.call('POST', `/api/campaigns/${id}/schedule`, { scheduledAt })).toMatchObject(refused);
    expect((await me.read(id)).status).toBe('draft');
    const open = { scheduledAt, windows: [{ ...morning, to: '18:15' }] };
    expect((await me.call('POST', `/api/campaigns/${id}/schedule`, open)).status).toBe(200);
    expect(await me.call('PATCH', `/api/campaigns/${id}`, { windows: [morning] })).toMatchObject(refused);
    expect((await me.call('PATCH', `/api/campaigns/${id}`, { windows: [evening] })).status).toBe(200);
  });

  it('is not gone on with where its channel has other hours since', async () => {
    const tomorrow = (new Date().getUTCDay() % 7) + 1;
    const { id: channelId } = await me.channel({ timeZone: 'UTC' });
    const id = await me.campaign(channelId, { windows: onDay(tomorrow), timeZone: 'UTC' });
    await me.start(id);
    await test.run({ workspaceId: me.workspaceId, jobId: id });
    expect((await me.call('POST', `/api/campaigns/${id}/pause`)).status).toBe(200);
    await me.call('PUT', `/api/channels/${channelId}/pacing`, { windows: onDay((tomorrow % 7) + 1) });
    expect(await me.call('POST', `/api/campaigns/${id}/resume`)).toMatchObject(refused);
    await me.call('PUT', `/api/channels/${channelId}/pacing`, { windows: onDay(tomorrow) });
    expect((await me.call('POST', `/api/campaigns/${id}/resume`)).status).toBe(200);
    await me.call('POST', `/api/campaigns/${id}/cancel`);
  });
});

it('a campaign whose hours are over wakes nobody until they come', async () => {
  const today = new Date().getUTCDay() || 7;
  const mine = await aCampaigner(test);
  await mine.contacts(somePeople(1));
  const { id: channelId } = await mine.channel({ timeZone: 'UTC' });
  const id = await mine.campaign(channelId, { windows: onDay((today % 7) + 1), timeZone: 'UTC' });
  await mine.start(id);
  await test.run({ workspaceId: mine.workspaceId, jobId: id });
  expect((await mine.read(id)).status).toBe('running');
  expect(await test.wakeAll()).toBe(0);
  await test.systemPool.query('update campaign set windows = $2 where id = $1', [id, JSON.stringify(onDay(today))]);
  expect(await test.wakeAll()).toBe(1);
});

it('a preview leaves those out who get nothing, to compare with, the same as the campaign does', async () => {
  const mine = await aCampaigner(test);
  await mine.contacts(somePeople(60));
  const id = await mine.campaign((await mine.channel()).id, { holdoutPercent: 40 });
  const preview = async (more: object) =>
    (await mine.call('POST', '/api/campaigns/preview-audience', { audience: { all: true }, ...more })).body;
  expect(await preview({})).toMatchObject({ count: 60, excluded: {} });
  const some = await preview({ holdoutPercent: 40 });
  expect([some.count + some.excluded.holdout, some.excluded.holdout > 5]).toEqual([60, true]);
  const exact = await preview({ holdoutPercent: 40, campaignId: id });
  await mine.start(id);
  await test.flow();
  const { counters, excluded } = await mine.read(id);
  expect([exact.count, exact.excluded]).toEqual([counters.total, excluded]);
  const other = await mine.call('POST', '/api/campaigns/preview-audience', {
    audience: { all: true },
    campaignId: crypto.randomUUID(),
  });
  expect(other.status).toBe(404);
});
