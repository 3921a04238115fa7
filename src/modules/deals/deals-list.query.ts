import type { Pool } from 'pg';
import { z } from 'zod';
import { queryAs } from '#src/db/tenant.ts';
import { dealColumns, moment } from '#src/modules/deals/deal.query.ts';
import type { DealQuery, DealView } from '#src/modules/deals/deals.schemas.ts';

type SortName = 'createdAt' | 'amount' | 'expectedClose' | 'position';

/** Sorts are on what an index has, which is never null. `key` is its text in a cursor, `type` how that is read again. */
const SORTS: Record<SortName, { by: string; key: string; type: string; shape: z.ZodType<string> }> = {
  createdAt: {
    by: 'd.created_at',
    key: `to_char(d.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
    type: 'timestamptz',
    shape: z.iso.datetime().refine((text) => /^2\d{3}-/.test(text)),
  },
  amount: { by: 'd.amount_minor', key: 'd.amount_minor::text', type: 'bigint', shape: z.string().regex(/^\d{1,15}$/) },
  expectedClose: {
    by: `coalesce(d.expected_close, 'infinity'::date)`,
    key: `coalesce(d.expected_close, 'infinity'::date)::text`,
    type: 'date',
    shape: z.union([z.literal('infinity'), z.iso.date().refine((text) => /^(19|20)\d\d-/.test(text))]),
  },
  position: { by: 'd.position', key: 'd.position', type: 'text', shape: z.string().regex(/^[0-9A-Za-z]{1,200}$/) },
};

const isSort = (name: string): name is SortName => Object.hasOwn(SORTS, name);

/** A sort as clients write it: `-amount`. */
export function readSort(text: DealQuery['sort']): { sort: (typeof SORTS)[SortName]; isDown: boolean } {
  const name = text.replace(/^-/, '');
  if (!isSort(name)) throw new TypeError(`${name} is no sort`);
  return { sort: SORTS[name], isDown: text.startsWith('-') };
}

export type ListedDeal = DealView & { sortKey: string };
type Filters = Omit<DealQuery, 'cursor' | 'limit' | 'sort'>;

const contains = (text: string): string => `%${text.replaceAll(/[\\%_]/g, String.raw`\$&`)}%`;

/** The statement of a page of deals, which is made of the conditions that there are: each has its index then. */
export function listStatement(
  workspaceId: string,
  filters: Filters,
  {
    sort: { sort, isDown },
    after,
    limit,
  }: { sort: ReturnType<typeof readSort>; after: readonly [string, string] | undefined; limit: number },
): { text: string; values: unknown[] } {
  const values: unknown[] = [workspaceId];
  const where = ['d.workspace_id = $1', 'd.deleted_at is null'];
  const add = (sql: (parameter: string) => string, value: unknown): void => {
    if (value !== undefined) where.push(sql(`$${values.push(value)}`));
  };
  add((is) => `d.status = ${is}`, filters.status);
  add((is) => `d.owner_id = ${is}::uuid`, filters.ownerId);
  add((is) => `d.contact_id = ${is}::uuid`, filters.contactId);
  add((is) => `d.pipeline_id = ${is}::uuid`, filters.pipelineId);
  add((is) => `d.stage_id = ${is}::uuid`, filters.stageId);
  add((is) => `${SORTS.expectedClose.by} >= ${is}::date and d.expected_close is not null`, filters.expectedCloseFrom);
  add((is) => `${SORTS.expectedClose.by} <= ${is}::date`, filters.expectedCloseTo);
  add((is) => `fold(d.title) like fold(${is})`, filters.q && contains(filters.q));
  const direction = isDown ? 'desc' : 'asc';
  if (after) {
    const [key, id] = [`$${values.push(after[0])}::${sort.type}`, `$${values.push(after[1])}::uuid`];
    where.push(`(${sort.by}, d.id) ${isDown ? '<' : '>'} (${key}, ${id})`);
  }
  // A stage has each place once.
  const order = sort === SORTS.position ? sort.by : `${sort.by} ${direction}, d.id ${direction}`;
  return {
    text: `select ${dealColumns('d')}, ${sort.key} as "sortKey" from deal d where ${where.join(' and ')} order by ${order} limit ${limit}`,
    values,
  };
}

export async function listDeals(pool: Pool, workspaceId: string, ...rest: Rest): Promise<ListedDeal[]> {
  return (await queryAs<ListedDeal>(pool, { workspaceId }, listStatement(workspaceId, ...rest))).rows;
}
type Rest = Parameters<typeof listStatement> extends [string, ...infer Others] ? Others : never;

/** A move of a deal, as clients see it. */
export interface HistoryRow {
  id: string;
  fromStageId: string | null;
  fromStage: string | null;
  toStageId: string;
  toStage: string;
  status: DealView['status'];
  reason: string | null;
  movedBy: string | null;
  movedAt: string;
}

/** Of a deal, the newest first. @param before the id of the last one read */
export async function listHistory(
  pool: Pool,
  workspaceId: string,
  { dealId, before, limit }: { dealId: string; before: string | undefined; limit: number },
): Promise<HistoryRow[]> {
  const { rows } = await queryAs<HistoryRow>(
    pool,
    { workspaceId },
    {
      name: `deal-history-${limit}`,
      text: `select h.id, h.from_stage_id as "fromStageId", h.from_stage as "fromStage", h.to_stage_id as "toStageId",
          h.to_stage as "toStage", h.status, h.reason, h.moved_by as "movedBy", ${moment('h.moved_at')} as "movedAt"
        from deal_stage_history h where h.workspace_id = $1 and h.deal_id = $2 and ($3::uuid is null or h.id < $3)
        order by h.id desc limit ${limit}`,
      values: [workspaceId, dealId, before ?? null],
    },
  );
  return rows;
}
