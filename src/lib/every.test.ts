import { pino } from 'pino';
import { expect, it } from 'vitest';
import { every } from '#src/lib/every.ts';

it('what is done seldom is soon tried again when it failed, and not once it worked', async () => {
  const stop = new AbortController();
  let calls = 0;
  const task = async (): Promise<void> => {
    calls += 1;
    if (calls === 1) throw new Error('Redis is away');
  };
  const done = every(600_000, 'a task', task, stop.signal, pino({ level: 'silent' }));
  await expect.poll(() => calls).toBe(2);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(calls).toBe(2);
  stop.abort();
  await done;
});
