import { InvalidArgumentError, Option } from 'commander';
import type { Page, RequestOptions } from '../../client/src/index.ts';
import { type Answer, pageOf } from './answers.ts';
import type { Context } from './context.ts';

const PAGE = 100;

/** `--limit <count>` */
export const limitOption = (description: string) =>
  new Option('--limit <count>', description).argParser((text) => {
    const most = Number(text);
    if (!Number.isSafeInteger(most) || most < 1) throw new InvalidArgumentError('It must be a number from 1.');
    return most;
  });

/** The rows of a list, page after page, until there are no more or as many as asked for. */
export async function readRows<Item>(
  { request }: Pick<Context, 'request'>,
  item: Answer<Item>,
  path: string,
  { most = Infinity, ...query }: { most?: number } & RequestOptions['query'] = {},
): Promise<{ rows: Item[]; hasMore: boolean }> {
  const rows: Item[] = [];
  let cursor: string | undefined;
  for (;;) {
    const limit = Math.min(PAGE, most - rows.length);
    const { data, page }: Page<Item> = await request(pageOf(item), 'GET', path, { query: { ...query, limit, cursor } });
    rows.push(...data);
    if (page.nextCursor === null || rows.length >= most) return { rows, hasMore: page.hasMore };
    cursor = page.nextCursor;
  }
}
