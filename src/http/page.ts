import { z } from 'zod';
import { badRequest } from '#src/errors.ts';

/** What every list takes; extend it with `.extend({...})` for filters. */
export const PageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(25),
  cursor: z.string().max(500).optional(),
});

/** The answer of a list of `item`s. */
export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    data: z.array(item),
    page: z.object({ nextCursor: z.string().nullable(), hasMore: z.boolean() }),
  });
}

/** The sort key of the last row of a page, as a text clients hand back without reading it. */
export function encodeCursor(key: readonly (string | number | null)[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/**
 * The sort key a page starts after.
 * @param key the schema of what `encodeCursor` was given, usually a tuple
 * @throws AppError 400 `validation_failed` naming `query.cursor`
 */
export function decodeCursor<Key extends z.ZodType>(cursor: string, key: Key): z.output<Key> {
  try {
    return key.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString()));
  } catch {
    const message = 'is not a cursor of this list';
    throw badRequest('validation_failed', `query.cursor ${message}.`, [
      { path: 'query.cursor', code: 'invalid_cursor', message },
    ]);
  }
}

/**
 * A page from `limit + 1` rows: the extra row only tells that there are more.
 * @param keyOf the sort key of a row; the next page starts after it
 */
export function toPage<Row, View>(
  rows: readonly Row[],
  limit: number,
  keyOf: (row: Row) => readonly (string | number | null)[],
  view: (row: Row) => View,
): { data: View[]; page: { nextCursor: string | null; hasMore: boolean } } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const hasMore = rows.length > limit;
  return {
    data: shown.map(view),
    page: { nextCursor: hasMore && last !== undefined ? encodeCursor(keyOf(last)) : null, hasMore },
  };
}
