import { expect, it } from 'vitest';
import { runCampaignDrill } from '#test/drills/campaign-field.ts';

it('writes to nobody twice and loses nobody, though a gateway fails and every process is killed', async () => {
  const { problems, figures } = await runCampaignDrill({
    seed: 20_261_127,
    campaigns: 2,
    people: 60,
    workers: 2,
    faults: { refused: 0.05, busy: 0.05, cut: 0.01, vague: 0.01 },
    strikes: ['kill all workers when a message has arrived', 'empty redis', 'kill a control'],
    everyMs: 300,
  });
  expect(problems).toEqual([]);
  // Otherwise it would have proved little.
  expect(figures.strikes).toBeGreaterThanOrEqual(1);
  expect(figures.requests).toBeGreaterThan(100);
}, 300_000);
