import { AppError } from '#src/errors.ts';
import type { Config } from '#src/config.ts';
import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { freezeAudience, MAX_RECIPIENTS, pinPeople } from '#src/modules/campaigns/audience.query.ts';
import { suppressionPads } from '#src/modules/privacy/suppression.ts';
import { beginRunning, failPreparing, findCampaign } from '#src/modules/campaigns/campaigns.query.ts';

/**
 * Writes down who a campaign that was started is for, and lets it run: one transaction, so that it begins once, with everybody, whoever is
 * killed in between and however many do it.
 */
export async function prepareCampaign(
  { orm, config }: { orm: Orm; config: Pick<Config, 'APP_SECRET'> },
  workspaceId: string,
  id: string,
): Promise<void> {
  try {
    await inWorkspaceTx(orm, { workspaceId }, async (em) => {
      const row = await findCampaign(em, id, true);
      if (row?.status !== 'preparing') return;
      // A label that is gone would let those through that it kept out.
      await pinPeople(em, row.people, null).catch((error: unknown) => {
        if (!(error instanceof AppError)) throw error;
        throw new AppError(422, 'audience_gone', 'A label or segment that the campaign names is gone.');
      });
      const frozen = await freezeAudience(em, row.people, {
        only: { ownerId: row.owner_id, dealOwnerId: row.deal_owner_id },
        pads: suppressionPads(config.APP_SECRET, workspaceId),
        channelId: row.channel_id,
        awaitsTexts: row.ai !== null,
        parting: {
          campaignId: id,
          holdoutPercent: row.holdout_percent,
          weights: row.variants.map(({ weight }) => weight),
        },
      });
      if (frozen.total > MAX_RECIPIENTS)
        throw new AppError(422, 'too_many_recipients', `A campaign is for ${MAX_RECIPIENTS} people at most.`);
      await beginRunning(em, id, frozen);
    });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    await inWorkspaceTx(orm, { workspaceId }, (em) => failPreparing(em, id, error.code));
  }
}
