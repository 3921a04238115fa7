import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wallTimeIn } from '#src/lib/time-zone.ts';
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
const evening = { days: all, from: '18:00', to: '24:00' };

describe('hours', () => {
  it('meet where a clock of half hours finds both open within the week', () => {
    const clock = (halves: number) => `${String(Math.floor(halves / 2)).padStart(2, '0')}:${halves % 2 ? '30' : '00'}`;
    const window = fc
      .tuple(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 0, max: 47 }), fc.integer({ min: 1, max: 6 }))
      .map(([day, from, length]) => ({ days: [day], from: clock(from), to: clock(Math.min(from + length, 48)) }));
    const hours = fc.record<Hours>({
      windows: fc.array(window, { minLength: 1, maxLength: 3 }),
      timeZone: fc.constantFrom('America/Sao_Paulo', 'Asia/Kolkata', 'America/New_York', 'UTC', 'Pacific/Kiritimati'),
    });
    const isOpen = ({ windows, timeZone }: Hours, at: Date): boolean => {
      const wall = wallTimeIn(at, timeZone);
      const day = new Date(`${wall}Z`).getUTCDay() || 7;
      return windows.some(({ days, from, to }) => days.includes(day) && wall.slice(11) >= from && wall.slice(11) < to);
    };
    // In October and March clocks change in New York within the week.
    const start = fc.constantFrom('2026-10-28T13:00:00Z', '2026-03-04T23:30:00Z', '2026-07-01T00:00:00Z');
    fc.assert(
      fc.property(hours, hours, start, (one, other, from) => {
        const fromMs = Date.parse(from);
        const halves = Array.from({ length: 7 * 48 }, (_, at) => new Date(fromMs + at * 1_800_000));
        const isFound = halves.some((at) => isOpen(one, at) && isOpen(other, at));
        return !isFound || isEverOpen(one, other, fromMs);
      }),
      { numRuns: 25 },
    );
    fc.assert(
      fc.property(hours, hours, (one, other) => {
        const fromMs = Date.parse('2026-07-01T00:00:00Z');
        const halves = Array.from({ length: 9 * 48 }, (_, at) => new Date(fromMs + at * 1_800_000));
        const isFound = halves.some((at) => isOpen(one, at) && isOpen(other, at));
        return isFound || !isEverOpen(one, other, fromMs);
      }),
      { numRuns: 25 },
    );
  });

  it('are by the clocks of each', () => {
    const from = Date.parse('2026-07-01T00:00:00Z');
    const hours = (timeZone: string, ...windows: Hours['windows']) => ({ windows, timeZone });
    expect(isEverOpen(hours('UTC', morning), hours('UTC', evening), from)).toBe(false);
    expect(isEverOpen(hours('UTC', morning), hours('Asia/Tokyo', evening), from)).toBe(true);
    expect(isEverOpen(hours('UTC', morning), hours('UTC', { ...evening, from: '12:00' }), from)).toBe(false);
    expect(isEverOpen(hours('UTC'), hours('UTC', evening), from)).toBe(true);
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
    const onDay = (day: number) => [{ days: [day], from: '00:00', to: '24:00' }];
    const { id: channelId } = await me.channel({ timeZone: 'UTC' });
    const id = await me.campaign(channelId, { windows: onDay(tomorrow), timeZone: 'UTC' });
    await me.start(id);
    await test.flow();
    expect((await me.call('POST', `/api/campaigns/${id}/pause`)).status).toBe(200);
    await me.call('PUT', `/api/channels/${channelId}/pacing`, { windows: onDay((tomorrow % 7) + 1) });
    expect(await me.call('POST', `/api/campaigns/${id}/resume`)).toMatchObject(refused);
    await me.call('PUT', `/api/channels/${channelId}/pacing`, { windows: onDay(tomorrow) });
    expect((await me.call('POST', `/api/campaigns/${id}/resume`)).status).toBe(200);
  });
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
