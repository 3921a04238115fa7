import { campaigns } from '#queues/campaigns.ts';
import { openOrm } from '#src/db/orm.ts';
import { createItems } from '#src/modules/campaigns/items.query.ts';
import { prepareCampaign } from '#src/modules/campaigns/prepare.ts';
import { anchorWith, createAnchor } from '#src/modules/audit/anchor.ts';
import { createCloudCarrier } from '#src/modules/cloud-api/cloud-carrier.ts';
import { openCredentials } from '#src/modules/cloud-api/credentials.ts';
import { sendChannel } from '#src/modules/campaigns/send.ts';
import { openKey } from '#src/modules/channels/channel-keys.ts';
import { readTarget } from '#src/modules/channels/channels.query.ts';
import { entities } from '#src/modules/entities.ts';
import type { Run } from '#workers/pool.ts';
import type { WorkerRuntime } from '#workers/runtime.ts';

export const contract = campaigns;

/** Chooses the recipients of campaigns that were started, and sends what webhook channels and numbers of the Cloud API may send now. */
export async function createRun(rt: WorkerRuntime): Promise<Run> {
  const { config, pool, egress, log, stopping, leaving } = rt;
  const orm = openOrm(config, entities, { role: 'wh_app', log });
  anchorWith(orm, createAnchor(config));
  const leaseMs = config.CAMPAIGN_LEASE_MS;
  const items = createItems(pool, { leaseMs, appSecret: config.APP_SECRET });
  const resources = { items, egress, leaseMs, holder: `worker-${process.pid}`, log, stopping, leaving };
  const cloud = { egress, baseUrl: config.WHATSAPP_CLOUD_BASE_URL };
  const carrying = { cloud, orm, pool, appSecret: config.APP_SECRET, log };
  return async ({ workspaceId, jobId: id }) => {
    const target = await readTarget(pool, workspaceId, id);
    if (!target) {
      await prepareCampaign({ orm, config }, workspaceId, id);
      return null;
    }
    if (target.secrets === null) return null;
    if (target.kind === 'cloud_api') {
      const credentials = await openCredentials(rt.vault, workspaceId, id, target.secrets);
      return sendChannel(resources, {
        workspaceId,
        id,
        carrier: createCloudCarrier(carrying, { workspaceId, id, credentials }),
      });
    }
    if (target.kind !== 'webhook' || target.url === null) return null;
    const key = await openKey(rt.vault, workspaceId, id, target.secrets);
    return sendChannel(resources, { workspaceId, id, url: target.url, key });
  };
}
