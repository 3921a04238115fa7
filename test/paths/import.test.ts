import { expect, it } from 'vitest';
import { drillImport } from '#test/drills/import-drill.ts';

it('imports every row once, though the worker is killed in the middle, and in little memory', async () => {
  const { problems, killedAtRow, rssGrowthMb } = await drillImport(5000);
  expect(problems).toEqual([]);
  expect(killedAtRow).toBeGreaterThanOrEqual(2000);
  for (const growthMb of rssGrowthMb) expect(growthMb).toBeLessThan(100);
}, 180_000);
