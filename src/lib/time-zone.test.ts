import { Client } from 'pg';
import { expect, it } from 'vitest';
import { isTimeZone, momentIn, wallTimeIn } from '#src/lib/time-zone.ts';
import { createTestDatabase } from '#test/harness.ts';

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

const wall = (name: string, at: string) => wallTimeIn(new Date(at), name).replace('T', ' ');

it('takes the names by which Postgres goes by the same clocks, and no others', async () => {
  const database = await createTestDatabase();
  const client = new Client({ connectionString: database.url });
  await client.connect();
  const { rows } = await client.query<{ name: string; january: string; july: string }>(
    `select name, ('2026-01-15T12:00Z'::timestamptz at time zone name)::text as january,
        ('2026-07-15T12:00Z'::timestamptz at time zone name)::text as july
      from pg_timezone_names where name not like 'posix%'`,
  );
  await client.end();
  await database.drop();
  const clocks = new Map(rows.map(({ name, ...at }) => [name, at]));
  const short = [
    'AET',
    'AGT',
    'CTT',
    'ECT',
    'IST',
    'PST',
    'CST',
    'CET',
    'WET',
    'GMT',
    '+03:00',
    'US/Pacific-New',
    'SystemV/AST4',
  ];
  expect(short.filter(isTimeZone)).toEqual([]);
  const taken = [...new Set([...Intl.supportedValuesOf('timeZone'), ...clocks.keys()])].filter(isTimeZone);
  expect(taken.length).toBeGreaterThan(400);
  expect(Intl.supportedValuesOf('timeZone').filter((name) => !isTimeZone(name))).toEqual([]);
  const apart = taken.filter((name) => {
    const theirs = clocks.get(name);
    return theirs?.january !== wall(name, '2026-01-15T12:00Z') || theirs.july !== wall(name, '2026-07-15T12:00Z');
  });
  expect(apart).toEqual([]);
});
