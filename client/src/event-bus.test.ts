import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventBus, matchesPattern } from './event-bus.ts';

function naive(pattern: string[], name: string[]): boolean {
  const [head, ...rest] = pattern;
  if (head === undefined) return name.length === 0;
  if (head === '**') return naive(rest, name) || (name.length > 0 && naive(pattern, name.slice(1)));
  return name.length > 0 && (head === '*' || head === name[0]) && naive(rest, name.slice(1));
}

describe('EventBus', () => {
  it('matches wildcards as the plain recursive definition does', () => {
    const name = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 7 });
    const pattern = fc.array(fc.constantFrom('a', 'b', '*', '**'), { minLength: 1, maxLength: 7 });
    fc.assert(
      fc.property(pattern, name, (p, n) => {
        expect(matchesPattern(p.join('.'), n.join('.'))).toBe(naive(p, n));
      }),
      { numRuns: 2000 },
    );
  });

  it('does not slow down on many wildcards', () => {
    const pattern = `${'**.a.'.repeat(30)}b`;
    const before = process.cpuUsage();
    expect(matchesPattern(pattern, 'a.'.repeat(2000) + 'c')).toBe(false);
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(1000);
  });

  it('tells the others when one listener throws or rejects, and reports both', async () => {
    const errors: unknown[] = [];
    const heard: string[] = [];
    const bus = new EventBus({ onError: (error) => errors.push(error) });
    bus.on('job.*', () => {
      throw new Error('first');
    });
    bus.on('job.*', () => Promise.reject(new Error('second')));
    bus.on('**', (_payload, event) => heard.push(event.name));
    bus.emit('job.started');
    expect(heard).toEqual(['error', 'job.started']);
    await bus.waitFor('error', { timeoutMs: 1000 });
    expect(errors.map(String)).toEqual(['Error: first', 'Error: second']);
  });

  it('survives an error listener that throws', () => {
    const bus = new EventBus();
    bus.on('error', () => {
      throw new Error('again');
    });
    bus.on('a', () => {
      throw new Error('once');
    });
    expect(() => bus.emit('a')).not.toThrow();
  });

  it('keeps a bounded history and replays it', () => {
    const bus = new EventBus({ historySize: 3 });
    for (let n = 0; n < 5; n += 1) bus.emit(`n.${n}`, n);
    expect(bus.history('n.*').map((event) => event.payload)).toEqual([2, 3, 4]);
    const heard: unknown[] = [];
    bus.on('n.*', (payload) => heard.push(payload), { replay: true });
    bus.emit('n.5', 5);
    expect(heard).toEqual([2, 3, 4, 5]);
    const none = new EventBus({ historySize: 0 });
    none.emit('x');
    expect(none.history()).toEqual([]);
  });

  it('listens once, and stops', () => {
    const bus = new EventBus();
    const heard: unknown[] = [];
    bus.once('a', (payload) => heard.push(payload));
    const stop = bus.on('a', (payload) => heard.push(payload));
    bus.emit('a', 1);
    stop();
    bus.emit('a', 2);
    expect(heard).toEqual([1, 1]);
  });

  it('waits for an event, a time or a signal', async () => {
    const bus = new EventBus();
    const found = bus.waitFor('a.**', { where: (event) => event.payload === 2 });
    bus.emit('a.b', 1);
    bus.emit('a.b.c', 2);
    expect((await found).name).toBe('a.b.c');
    await expect(bus.waitFor('never', { timeoutMs: 5 })).rejects.toMatchObject({ name: 'TimeoutError' });
    const abort = new AbortController();
    const aborted = bus.waitFor('never', { signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    await expect(bus.waitFor('never', { signal: abort.signal })).rejects.toThrow('enough');
  });
});
