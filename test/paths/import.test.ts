import { expect, it } from 'vitest';
import { drillImport } from '#test/drills/import-drill.ts';

it('imports every row once, though the worker is killed in the middle, and in little memory', async () => {
  const { problems, killedAtRow, rssGrowthMb } = await drillImport(5000);
  expect(problems).toEqual([]);
  expect(killedAtRow).toBeGreaterThanOrEqual(2000);
  process.stdout.write(`import grew by ${rssGrowthMb.map(Math.round).join(', ')} MB\n`);
  // The goal of 100 is looked at with the bench's 200 000 rows: among other tests the collector is late by some tens.
  for (const growthMb of rssGrowthMb) expect(growthMb).toBeLessThan(200);
});
