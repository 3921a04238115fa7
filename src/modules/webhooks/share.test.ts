import { expect, it } from 'vitest';
import { createShare } from '#src/modules/webhooks/share.ts';

it('leaves room for whoever comes next, and gives it back', async () => {
  const share = createShare(12);
  const held = Promise.withResolvers<null>();
  const running: Record<string, number> = {};
  const ask = (workspaceId: string) =>
    share(workspaceId, () => {
      running[workspaceId] = (running[workspaceId] ?? 0) + 1;
      return held.promise;
    });
  const asked: Promise<number | null>[] = [];
  for (const workspaceId of ['slow', 'slower']) for (let at = 0; at < 50; at += 1) asked.push(ask(workspaceId));
  asked.push(ask('next'));
  expect(running).toEqual({ slow: 6, slower: 3, next: 1 });
  held.resolve(null);
  const waits = (await Promise.all(asked)).filter((ms) => ms !== null);
  expect(waits).toHaveLength(101 - 10);
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(1000);
  expect(await share('slow', () => Promise.resolve(7))).toBe(7);
  await expect(share('slow', () => Promise.reject(new Error('lost')))).rejects.toThrow('lost');
  for (let at = 0; at < 20; at += 1) expect(await share('slow', () => Promise.resolve(null))).toBeNull();
});

it('of a single place is had by whoever is there', async () => {
  expect(await createShare(1)('one', () => Promise.resolve(null))).toBeNull();
});
