import { expect, it } from 'vitest';
import { mapColumns } from './contacts.ts';

const column = (column: number, header: string, to: string) => ({ column, header, to, samples: [] });
const file = { columns: [column(0, 'Nome', 'name'), column(1, 'a=b', 'ignore'), column(2, '1', 'phone')] };

it('maps columns by header, by number, and otherwise as they seem', () => {
  expect(mapColumns(file, [])).toEqual([
    { column: 0, to: 'name' },
    { column: 2, to: 'phone' },
  ]);
  // A header is meant before a number; its own equals sign is part of it.
  expect(mapColumns(file, ['1=email', 'a=b=company', 'nome=ignore'])).toEqual([
    { column: 1, to: 'company' },
    { column: 2, to: 'email' },
  ]);
  expect(mapColumns(file, ['3=externalId'])).toContainEqual({ column: 2, to: 'externalId' });
});

it('refuses columns that are not there', () => {
  for (const text of ['4=name', '0=name', 'name', '=name'])
    expect(() => mapColumns(file, [text])).toThrow('Nome, a=b, 1');
});
