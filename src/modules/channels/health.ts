import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { conflict, notFound } from '#src/errors.ts';
import { readHealth, readLimits } from '#src/modules/channels/channels.query.ts';
import type { ChannelLimitsView, HealthView } from '#src/modules/channels/channels.schemas.ts';
import { findChannelRow } from '#src/modules/channels/channels.service.ts';
import { readNumber } from '#src/modules/cloud-api/client.ts';
import { noteHealth } from '#src/modules/cloud-api/cloud.query.ts';
import { openCredentials } from '#src/modules/cloud-api/credentials.ts';
import type { Runtime } from '#src/runtime.ts';

type Needs = Pick<Runtime, 'orm' | 'vault' | 'egress' | 'config'>;
interface Key {
  workspaceId: string;
  id: string;
}

const said = z.string().nullable().default(null);
const Health = z.object({
  quality: said,
  status: said,
  verifiedName: said,
  throughput: said,
  messagingLimit: said,
  event: said,
  eventAt: said,
  problem: said,
  checkedAt: said,
});

/** How a channel is, as far as it is known here. @throws AppError 404 */
export const channelHealth = ({ orm }: Pick<Needs, 'orm'>, { workspaceId, id }: Key): Promise<HealthView> =>
  inWorkspaceTx(orm, { workspaceId }, async (em) => {
    const { state, pause_reason: pauseReason } = await findChannelRow(em, id);
    const known = await readHealth(em, id);
    return { state, pauseReason, slowedUntil: known?.slowed_until ?? null, ...Health.parse(known?.health ?? {}) };
  });

/** What a channel may send and has sent. @throws AppError 404 */
export const channelLimits = ({ orm }: Pick<Needs, 'orm'>, { workspaceId, id }: Key): Promise<ChannelLimitsView> =>
  inWorkspaceTx(orm, { workspaceId }, async (em) => {
    const limits = await readLimits(em, id);
    if (!limits) throw notFound('The channel');
    return limits;
  });

/** Asks Meta how a number is, which also shows whether its token is good, and notes the answer. @throws AppError 404, 409 */
export async function checkChannel({ orm, vault, egress, config }: Needs, key: Key): Promise<HealthView> {
  const { workspaceId, id } = key;
  const sealed = await inWorkspaceTx(orm, { workspaceId }, async (em) => {
    const { kind } = await findChannelRow(em, id);
    return kind === 'cloud_api' ? (await readHealth(em, id))?.secrets : null;
  });
  if (!sealed) throw conflict('channel_kind', 'Only numbers of the Cloud API can be asked how they are.');
  const credentials = await openCredentials(vault, workspaceId, id, sealed);
  const now = await readNumber({ egress, baseUrl: config.WHATSAPP_CLOUD_BASE_URL }, credentials);
  const checkedAt = new Date().toISOString();
  // What a refusal does not say stays as it was known.
  const health = now.problem === null ? now : { problem: now.problem };
  await inWorkspaceTx(orm, { workspaceId }, (em) => noteHealth(em, id, { ...health, checkedAt }));
  return channelHealth({ orm }, key);
}
