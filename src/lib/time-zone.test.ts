import { expect, it } from 'vitest';
import { momentIn } from '#src/lib/time-zone.ts';

// Clocks of São Paulo stand three hours behind UTC all year. New York goes forward on 2026-03-08 at two and back on 2026-11-01 at two.
it.each([
  ['2026-12-01T09:00', 'America/Sao_Paulo', '2026-12-01T12:00:00.000Z'],
  ['2026-12-01T09:00:30.5', 'Asia/Kathmandu', '2026-12-01T03:15:30.500Z'],
  ['2026-12-01T09:00Z', 'America/Sao_Paulo', '2026-12-01T09:00:00.000Z'],
  ['2026-12-01T09:00+05:30', 'America/Sao_Paulo', '2026-12-01T03:30:00.000Z'],
  ['2026-03-08T01:59', 'America/New_York', '2026-03-08T06:59:00.000Z'],
  ['2026-03-08T02:30', 'America/New_York', '2026-03-08T07:30:00.000Z'],
  ['2026-03-08T03:00', 'America/New_York', '2026-03-08T07:00:00.000Z'],
  ['2026-03-08T12:00', 'America/New_York', '2026-03-08T16:00:00.000Z'],
  ['2026-11-01T00:30', 'America/New_York', '2026-11-01T04:30:00.000Z'],
  ['2026-11-01T01:30', 'America/New_York', '2026-11-01T05:30:00.000Z'],
  ['2026-11-01T02:00', 'America/New_York', '2026-11-01T07:00:00.000Z'],
  ['2026-11-01T12:00', 'America/New_York', '2026-11-01T17:00:00.000Z'],
  ['2026-12-01T09:00', 'UTC', '2026-12-01T09:00:00.000Z'],
])('%s by the clocks of %s is %s', (text, timeZone, moment) => {
  expect(momentIn(text, timeZone).toISOString()).toBe(moment);
});
