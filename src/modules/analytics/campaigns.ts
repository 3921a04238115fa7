import { z } from 'zod';
import type { Auth } from '#src/http/access-token.ts';
import { mustHave } from '#src/http/permissions.ts';
import { period as periodView, reading, type PeriodQuery } from '#src/modules/analytics/analytics.schemas.ts';
import { periodOf, readingOf, spanOf, whoseOf } from '#src/modules/analytics/analytics.service.ts';
import { readCampaigns, type CampaignCounts } from '#src/modules/analytics/campaigns.query.ts';
import { onlyOf } from '#src/modules/campaigns/by.ts';
import { STATUSES } from '#src/modules/campaigns/campaigns.schemas.ts';
import type { Runtime } from '#src/runtime.ts';

const counts = z.object({
  recipients: z.int(),
  sent: z.int(),
  delivered: z.int(),
  read: z.int(),
  failed: z.int(),
  skipped: z.int(),
  cancelled: z.int(),
  unknown: z.int(),
} satisfies Record<keyof CampaignCounts, z.ZodType>).shape;

/** What became of recipients; each of `sent`, `delivered` and `read` contains the ones behind it. */
export const CampaignFiguresView = z
  .object({
    ...reading,
    ...periodView,
    total: z.object({ campaigns: z.int(), ...counts }),
    byChannel: z.array(z.object({ channelId: z.uuid(), campaigns: z.int(), ...counts })),
    /** The hundred that began last. */
    data: z.array(
      z.object({
        campaignId: z.uuid(),
        channelId: z.uuid(),
        status: z.enum(STATUSES),
        startedAt: z.iso.datetime(),
        ...counts,
      }),
    ),
  })
  .meta({ id: 'AnalyticsCampaigns' });

/**
 * What came of the campaigns that began in a period, of those that the caller sees: without `usage:all` of those they made.
 * @throws AppError 403 for a member who may not see campaigns
 */
export async function readCampaignFigures(
  { pool }: Pick<Runtime, 'pool'>,
  auth: Auth,
  asked: z.output<typeof PeriodQuery>,
): Promise<z.output<typeof CampaignFiguresView>> {
  mustHave({ ...auth, scopes: null }, 'campaigns:read');
  const whose = whoseOf(auth);
  const period = await periodOf({ pool }, auth.workspaceId, asked);
  const by = { createdBy: whose.userId ?? null, ...onlyOf(auth) };
  const figures = await readCampaigns(pool, auth.workspaceId, period, by);
  return CampaignFiguresView.parse({ ...readingOf(whose, period), ...spanOf(period), ...figures });
}
