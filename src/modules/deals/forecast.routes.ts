import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdText } from '#src/http/fields.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { readForecast } from '#src/modules/deals/forecast.query.ts';
import type { Runtime } from '#src/runtime.ts';

const Month = z.string().regex(/^20\d\d-(0[1-9]|1[0-2])$/, 'must be a month like 2026-11');
export const ForecastQuery = z.strictObject({
  groupBy: z.enum(['month']).default('month'),
  pipelineId: IdText.optional(),
  /** The first and the last month; without them all there is, deals without a date too. */
  from: Month.optional(),
  to: Month.optional(),
});
export const ForecastView = z
  .object({
    groupBy: z.enum(['month']),
    timeZone: z.string(),
    data: z.array(
      z.object({
        /** Null: open deals without a date. */
        month: z.string().nullable(),
        currency: z.string(),
        openCount: z.int(),
        openMinor: z.number(),
        /** Of open deals, each by its probability; rounded half up, once. */
        weightedMinor: z.number(),
        wonCount: z.int(),
        wonMinor: z.number(),
        /** What was won, and what is to be expected of the rest. */
        forecastMinor: z.number(),
      }),
    ),
  })
  .meta({ id: 'DealForecast' });

/** `/api/deals/forecast`: open deals by the month they are expected in, won ones by the month they were won in. */
export function forecastRoutes({ pool }: Pick<Runtime, 'pool'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/deals/forecast', {
      config: { access: 'deals:read' },
      schema: {
        tags: ['deals'],
        security: [{ bearer: [] }],
        summary: 'What is won and to be expected, by month and currency',
        querystring: ForecastQuery,
        response: { 200: ForecastView },
      },
      handler: async (request) => {
        const auth = authOf(request);
        const { groupBy, pipelineId, from, to } = request.query;
        const ownerId = onlyOwner(auth, 'deals');
        const { timeZone, rows } = await readForecast(pool, auth.workspaceId, { pipelineId, ownerId, from, to });
        const data = rows.map((row) => ({ ...row, forecastMinor: row.wonMinor + row.weightedMinor }));
        return { groupBy, timeZone, data };
      },
    });
  };
}
