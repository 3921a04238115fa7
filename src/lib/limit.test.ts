import { describe, expect, it } from 'vitest';
import { createLimit, QueueFullError } from '#src/lib/limit.ts';

describe('createLimit', () => {
  it('runs so many at once, the rest in order, and survives failures', async () => {
    const limit = createLimit(2, 100);
    const started: number[] = [];
    let running = 0;
    let most = 0;
    const tasks = Array.from({ length: 20 }, (_, index) =>
      limit(async () => {
        started.push(index);
        running += 1;
        most = Math.max(most, running);
        await new Promise(setImmediate);
        running -= 1;
        if (index % 3 === 0) throw new Error(`task ${index}`);
        return index;
      }),
    );
    const results = await Promise.allSettled(tasks);
    expect(most).toBe(2);
    expect(started).toEqual(Array.from({ length: 20 }, (_, index) => index));
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(7);
    expect(await limit(async () => 'free again')).toBe('free again');
  });

  it('refuses what would wait too long, and takes work again later', async () => {
    const limit = createLimit(1, 1);
    const gate = Promise.withResolvers<void>();
    const running = limit(() => gate.promise);
    const waiting = limit(async () => 'waited');
    await expect(limit(async () => 'never')).rejects.toThrow(QueueFullError);
    gate.resolve();
    await running;
    expect(await waiting).toBe('waited');
  });
});
