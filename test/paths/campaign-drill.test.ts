import { expect, it } from 'vitest';
import { runCampaignDrill } from '#test/drills/campaign-field.ts';

it('writes to nobody twice and loses nobody, though a gateway fails and workers end behind each of their steps', async () => {
  const { problems, figures } = await runCampaignDrill({
    seed: 20_261_127,
    campaigns: 1,
    people: 120,
    workers: 2,
    controls: 1,
    deaths: 4,
    faults: { refused: 0.05, busy: 0.05, cut: 0.01, vague: 0.01 },
    strikes: ['empty redis'],
    everyMs: 300,
    giveUpMs: 270_000,
  });
  expect(problems).toEqual([]);
  // Otherwise it would have proved little.
  expect(figures).toMatchObject({ strikes: 1 });
  expect(figures['deaths']).toBeGreaterThanOrEqual(2);
}, 420_000);
