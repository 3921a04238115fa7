import { z } from 'zod';
import { notFound } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams } from '#src/http/fields.ts';
import { toPage } from '#src/http/page.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { DealView } from '#src/modules/deals/deals.schemas.ts';
import { readBoard } from '#src/modules/pipelines/board.query.ts';
import { StageView } from '#src/modules/pipelines/pipelines.schemas.ts';
import type { Runtime } from '#src/runtime.ts';

const BoardQuery = z.strictObject({ limitPerStage: z.coerce.number().int().min(1).max(100).default(25) });
const BoardView = z
  .object({
    pipelineId: z.uuid(),
    stages: z.array(
      StageView.extend({
        count: z.int(),
        totals: z.array(z.object({ currency: z.string(), count: z.int(), amountMinor: z.number() })),
        deals: z.array(DealView),
        /** Goes on at `/api/deals?stageId=…&sort=position&cursor=…`. */
        nextCursor: z.string().nullable(),
      }),
    ),
  })
  .meta({ id: 'PipelineBoard' });

/** `/api/pipelines/:id/board`. Members without `deals:all` see their own deals and what those come to. */
export function boardRoutes({ pool }: Pick<Runtime, 'pool'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/pipelines/:id/board', {
      config: { access: 'deals:read' },
      schema: {
        tags: ['pipeline'],
        security: [{ bearer: [] }],
        summary: 'Every stage with its first deals, and how many and how much all of its deals are',
        params: IdParams,
        querystring: BoardQuery,
        response: { 200: BoardView },
      },
      handler: async (request) => {
        const auth = authOf(request);
        const { id: pipelineId } = request.params;
        const limit = request.query.limitPerStage;
        const ownerId = onlyOwner(auth, 'deals');
        const stages = await readBoard(pool, auth.workspaceId, { pipelineId, ownerId, perStage: limit + 1 });
        // There is no pipeline without a stage.
        if (stages.length === 0) throw notFound('The pipeline');
        return {
          pipelineId,
          stages: stages.map(({ deals, ...stage }) => {
            const { data, page } = toPage(
              deals,
              limit,
              ({ position, id }) => [position, id],
              (deal) => deal,
            );
            const count = stage.totals.reduce((sum, total) => sum + total.count, 0);
            return { ...stage, count, deals: data, nextCursor: page.nextCursor };
          }),
        };
      },
    });
  };
}
