import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { SseParser } from './sse.ts';

it('reads the same events wherever the stream is cut and however its lines end', () => {
  const line = fc.string({ maxLength: 8 }).map((text) => text.replaceAll(/[\r\n\0]/g, ''));
  const event = fc.record({
    id: fc.integer({ min: 1, max: 99 }),
    data: fc.array(line, { minLength: 1, maxLength: 3 }),
  });
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 5 }),
      fc.constantFrom('\n', '\r\n', '\r'),
      fc.array(fc.nat(400)),
      (events, end, cuts) => {
        const lines = events.flatMap(({ id, data }) => [
          ': a comment',
          `id: ${id}`,
          'event: job.chunk',
          ...data.map((part) => `data: ${part}`),
          '',
        ]);
        const stream = `\uFEFF${lines.map((text) => text + end).join('')}${events.length > 0 ? `:${end}` : ''}`;
        const places = [...new Set([0, ...cuts.filter((cut) => cut < stream.length), stream.length])];
        places.sort((a, b) => a - b);
        const parser = new SseParser();
        const read = places.slice(1).flatMap((place, n) => parser.push(stream.slice(places[n], place)));
        expect(read).toEqual(
          events.map(({ id, data }) => ({ id: String(id), event: 'job.chunk', data: data.join('\n') })),
        );
      },
    ),
    { numRuns: 300 },
  );
});
