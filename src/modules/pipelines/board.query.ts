import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import { dealColumns } from '#src/modules/deals/deal.query.ts';
import type { DealView } from '#src/modules/deals/deals.schemas.ts';
import type { StageRow } from '#src/modules/pipelines/stages.query.ts';

/** Sums beyond what a JSON number holds exactly are shown as the largest that it does. */
export const exactly = (sum: string): string => `least(${sum}, 9007199254740991)::float8`;

export interface BoardStage extends StageRow {
  totals: { currency: string; count: number; amountMinor: number }[];
  deals: DealView[];
}

/** The statement of a board: one, however many stages and deals there are. It reads no more deals than it shows. */
export function boardStatement(
  workspaceId: string,
  { pipelineId, ownerId, perStage }: { pipelineId: string; ownerId: string | undefined; perStage: number },
): { text: string; values: unknown[] } {
  const own = ownerId === undefined ? '' : 'and owner_id = $3::uuid';
  return {
    text: `select s.id, s.name, s.kind, s.probability, s.position,
        (select coalesce(json_agg(t order by t.currency), '[]') from (
          select currency, sum(deals)::int as count, ${exactly('sum(amount_minor)')} as "amountMinor" from deal_total
            where workspace_id = $1 and stage_id = s.id ${own} group by currency having sum(deals) > 0) t) as totals,
        (select coalesce(json_agg(t order by t.position), '[]') from (
          select ${dealColumns('d')} from deal d
            where d.workspace_id = $1 and d.stage_id = s.id and d.position is not null ${own}
              ${own && 'and d.deleted_at is null'}
            order by d.position limit ${perStage}) t) as deals
      from pipeline_stage s where s.workspace_id = $1 and s.pipeline_id = $2::uuid order by s.position`,
    values: ownerId === undefined ? [workspaceId, pipelineId] : [workspaceId, pipelineId, ownerId],
  };
}

/** The stages of a pipeline in their order, each with its first deals and what all of them come to; none where there is no such pipeline. */
export async function readBoard(
  pool: Pool,
  workspaceId: string,
  asked: Parameters<typeof boardStatement>[1],
): Promise<BoardStage[]> {
  return (await queryAs<BoardStage>(pool, { workspaceId }, boardStatement(workspaceId, asked))).rows;
}
