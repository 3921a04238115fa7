import { expect, it, vi } from 'vitest';

const ms = (id: string) => Number.parseInt(id.replace('-', '').slice(0, 12), 16);

it('ids of one process rise strictly, also within a millisecond, and carry the time', async () => {
  // Its own: another test may have turned this process's clock on.
  vi.resetModules();
  const { isUuid, newId } = await import('#src/lib/ids.ts');
  const before = Date.now();
  const ids = Array.from({ length: 20_000 }, newId);
  expect(ids.every(isUuid)).toBe(true);
  expect(ids.every((id, at) => at === 0 || id > (ids[at - 1] ?? ''))).toBe(true);
  expect(ms(ids[0] ?? '')).toBeGreaterThanOrEqual(before);
  expect(ms(ids.at(-1) ?? '')).toBeLessThanOrEqual(Date.now());
  expect(new Set(ids.map((id) => id[14]))).toEqual(new Set(['7']));
});
