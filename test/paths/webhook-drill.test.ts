import { expect, it } from 'vitest';
import { readBooks } from '#test/drills/webhook-books.ts';
import { openField } from '#test/drills/webhook-field.ts';
import { storm } from '#test/drills/webhook-storm.ts';

it('delivers every event to each endpoint, though endpoints fail, a worker and the leader are killed, and secrets rotate', async () => {
  const faults = { error: 0.15, reset: 0.06, never: 0 };
  const seed = 20_261_126;
  const field = await openField({ seed, workspaces: 3, workers: 2, faults });
  try {
    const touched = await storm(field, {
      seed,
      faults,
      events: 150,
      perSecond: 75,
      strikes: ['kill worker', 'kill control'],
      lostAfterMs: 1500,
    });
    const { problems, figures } = await readBooks(field, touched);
    expect(problems).toEqual([]);
    expect(field.crew.everStarted.map((running) => running.crash()).filter(Boolean)).toEqual([]);
    // Otherwise it would have proved little.
    expect(field.emitted).toHaveLength(150);
    expect(figures['deliveries']).toBeGreaterThan(200);
    expect(figures['tried again after a fault or a blow']).toBeGreaterThan(10);
  } finally {
    await field.close();
  }
}, 240_000);
