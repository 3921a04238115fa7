import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { decodeCursor, encodeCursor, toPage } from '#src/http/page.ts';

const Key = z.tuple([z.string(), z.number().nullable()]);

describe('a cursor', () => {
  it('reads back as it was written', () => {
    fc.assert(
      fc.property(fc.string(), fc.option(fc.integer()), (text, number) => {
        const cursor = encodeCursor([text, number]);
        expect(cursor).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(decodeCursor(cursor, Key)).toEqual([text, number]);
      }),
    );
  });

  it('that is none is a 400 that names query.cursor', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json().map((json) => Buffer.from(json).toString('base64url')),
        ),
        (cursor) => {
          expect(() => decodeCursor(cursor, z.tuple([z.uuid()]))).toThrow(
            expect.objectContaining({ status: 400, errors: [expect.objectContaining({ path: 'query.cursor' })] }),
          );
        },
      ),
    );
  });
});

const page = (rows: string[]) =>
  toPage(
    rows,
    2,
    (row) => [row],
    (row) => row.toUpperCase(),
  );

it('cuts a page from one row too many', () => {
  expect(page([])).toEqual({ data: [], page: { nextCursor: null, hasMore: false } });
  expect(page(['a', 'b'])).toEqual({ data: ['A', 'B'], page: { nextCursor: null, hasMore: false } });
  expect(page(['a', 'b', 'c'])).toEqual({ data: ['A', 'B'], page: { nextCursor: encodeCursor(['b']), hasMore: true } });
});
