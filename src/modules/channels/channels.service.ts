import { isDeepStrictEqual } from 'node:util';
import { UniqueConstraintViolationException, type EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, conflict, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { etagOf, mustMatch } from '#src/http/etag.ts';
import { outsideUrl, refuseUrl } from '#src/http/outside-url.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { may } from '#src/http/permissions.ts';
import { targetOf } from '#src/lib/egress-rules.ts';
import { newId } from '#src/lib/ids.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { sealSecret } from '#src/modules/channels/channel-keys.ts';
import {
  countChannels,
  deleteChannel,
  findChannel,
  findChannels,
  insertChannel,
  readHealth,
  updateChannel,
  type ChannelRow,
} from '#src/modules/channels/channels.query.ts';
import {
  defaultPacing,
  type ChannelBody,
  type ChannelPatch,
  type ChannelView,
  type Pacing,
} from '#src/modules/channels/channels.schemas.ts';
import { openCredentials, sealCredentials, type CloudCredentials } from '#src/modules/cloud-api/credentials.ts';
import { checkFeature, checkLimit } from '#src/modules/billing/plans.ts';
import { lockWorkspace } from '#src/modules/workspaces/plans.ts';
import { parsePhone } from '#src/modules/contacts/phone.ts';
import { makeSecret } from '#src/modules/webhooks/signature.ts';
import type { Runtime } from '#src/runtime.ts';

type Needs = Pick<Runtime, 'orm' | 'vault' | 'egress' | 'config'>;

/** @param seesUrl where a gateway's address may have a secret in its path, others see its host alone */
const viewOf = (row: ChannelRow, seesUrl = true): ChannelView => ({
  id: row.id,
  name: row.name,
  kind: row.kind,
  phone: row.phone,
  url: row.url === null || seesUrl ? row.url : new URL(row.url).origin,
  state: row.state,
  pauseReason: row.pause_reason,
  timeZone: row.time_zone,
  pacing: { ...defaultPacing(row.kind), ...row.pacing },
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

function checkUrl({ egress, config }: Needs, text: string): string {
  const url = outsideUrl(egress, 'url', text);
  const isAllowed = url.protocol === 'https:' || config.EGRESS_ALLOW.includes(targetOf(url));
  if (!isAllowed) throw refuseUrl('url', 'insecure', 'must begin with https://');
  return url.href;
}

const invalid = (path: string, code: string, message: string) =>
  badRequest('validation_failed', `${path}: ${message}`, [{ path, code, message }]);

function checkPhone(text: string): string {
  const phone = parsePhone(text);
  if (phone !== null) return phone;
  throw invalid('phone', 'invalid_phone', 'must be a phone number');
}

function checkPacing(pacing: Pacing): Pacing {
  for (const [least, most] of [
    ['minDelayMs', 'maxDelayMs'],
    ['pauseMinMs', 'pauseMaxMs'],
  ] as const) {
    if (pacing[least] <= pacing[most]) continue;
    throw invalid(`pacing.${most}`, 'too_small', `must not be less than ${least}`);
  }
  return pacing;
}

/** Pacing where only one end of a range is given: the other goes with it. */
function withRange(base: Pacing, patch: Partial<Pacing>): Pacing {
  const { minDelayMs = Math.min(base.minDelayMs, patch.maxDelayMs ?? Infinity) } = patch;
  const { maxDelayMs = Math.max(base.maxDelayMs, minDelayMs) } = patch;
  return checkPacing({ ...base, ...patch, minDelayMs, maxDelayMs });
}

export const findChannelRow = async (em: EntityManager, id: string, lock = false): Promise<ChannelRow> => {
  const row = await findChannel(em, id, lock);
  if (!row) throw notFound('The channel');
  return row;
};

const notTaken = (error: unknown): never => {
  if (!(error instanceof UniqueConstraintViolationException)) throw error;
  throw conflict('channel_exists', 'There is a channel of that number already.');
};

/** Where a secret may be in a path, the log says the host alone. */
const noted = ({ name, kind, url, state, pacing }: ChannelRow) => ({
  name,
  kind,
  host: url && new URL(url).host,
  state,
  pacing,
});

/** Makes a channel. @returns it, and of a webhook the secret, which is nowhere to be had again. @throws AppError 400, 403 `plan_limit` or `plan_feature`, 409 */
export async function createChannel(rt: Needs, workspaceId: string, actor: Actor, body: ChannelBody) {
  const url = body.url === undefined ? null : checkUrl(rt, body.url);
  const phone = body.phone === undefined ? null : checkPhone(body.phone);
  const pacing = withRange(defaultPacing(body.kind), body.pacing);
  const id = newId();
  const secret = url === null ? undefined : makeSecret(false).secret;
  const { credentials } = body;
  const secrets =
    secret !== undefined
      ? await sealSecret(rt.vault, workspaceId, id, secret)
      : credentials && (await sealCredentials(rt.vault, workspaceId, id, credentials));
  const { name, kind, timeZone = null } = body;
  const made = await inWorkspaceTx(rt.orm, { workspaceId }, async (em) => {
    const workspace = await lockWorkspace(em, workspaceId);
    if (kind === 'cloud_api') checkFeature(workspace, 'cloudApi');
    checkLimit(workspace, 'channels', await countChannels(em));
    const cloudNumberId = credentials?.phoneNumberId ?? null;
    await insertChannel(em, { id, name, kind, phone, url, timeZone, pacing, secrets: secrets ?? null, cloudNumberId });
    const row = await findChannelRow(em, id);
    await appendAudit(em, actor, { action: 'channel.created', target: { type: 'channel', id }, after: noted(row) });
    return viewOf(row);
  }).catch(notTaken);
  return { ...made, ...(secret === undefined ? {} : { secret }) };
}

export async function listChannels(
  { orm }: Needs,
  auth: Auth,
  { limit, cursor }: { limit: number; cursor?: string | undefined },
) {
  const before = cursor === undefined ? null : decodeCursor(cursor, z.tuple([z.uuid()]))[0];
  const rows = await inWorkspaceTx(orm, auth, (em) => findChannels(em, { before, limit: limit + 1 }));
  return toPage(
    rows,
    limit,
    (row) => [row.id],
    (row) => viewOf(row, may(auth, 'channels:manage')),
  );
}

/** @throws AppError 404 */
export const readChannel = async ({ orm }: Needs, auth: Auth, id: string): Promise<ChannelView> =>
  viewOf(await inWorkspaceTx(orm, auth, (em) => findChannelRow(em, id)), may(auth, 'channels:manage'));

/** Changes a channel; a pause holds from the moment it is answered. @throws AppError 400, 404, 409, 412 */
export function changeChannel(
  rt: Needs,
  key: { workspaceId: string; id: string },
  actor: Actor,
  patch: ChannelPatch & { state?: ChannelRow['state'] },
  ifMatch?: string,
): Promise<ChannelView> {
  const url = patch.url === undefined ? undefined : checkUrl(rt, patch.url);
  const phone = patch.phone === undefined ? undefined : checkPhone(patch.phone);
  return inWorkspaceTx(rt.orm, { workspaceId: key.workspaceId }, async (em) => {
    const row = await findChannelRow(em, key.id, true);
    mustMatch(ifMatch, etagOf(viewOf(row)));
    if (url !== undefined && row.kind !== 'webhook')
      throw invalid('url', 'wrong_kind', 'is for channels of the kind webhook');
    const { credentials } = patch;
    const secrets = credentials === undefined ? null : await resealed(em, rt, key, row.kind, credentials);
    const pacing = { ...defaultPacing(row.kind), ...row.pacing };
    const next = {
      time_zone: patch.timeZone ?? row.time_zone,
      pacing: patch.pacing === undefined ? pacing : withRange(pacing, patch.pacing),
    };
    await updateChannel(em, key.id, {
      ...next,
      name: patch.name ?? row.name,
      phone: phone ?? row.phone,
      url: url ?? row.url,
      state: patch.state ?? row.state,
      secrets,
      cloudNumberId: credentials?.phoneNumberId ?? null,
      isNewPace: !isDeepStrictEqual(next, { time_zone: row.time_zone, pacing }),
    });
    const changed = await findChannelRow(em, key.id);
    const [before, after] = [
      noted(row),
      { ...noted(changed), ...(credentials && { renewed: Object.keys(credentials) }) },
    ];
    await appendAudit(em, actor, { action: 'channel.changed', target: { type: 'channel', id: key.id }, before, after });
    return viewOf(changed);
  }).catch(notTaken);
}

/** What is not named of a channel's credentials stays. @throws AppError 400 for a channel that has none */
async function resealed(
  em: EntityManager,
  { vault }: Needs,
  { workspaceId, id }: { workspaceId: string; id: string },
  kind: ChannelRow['kind'],
  patch: Partial<CloudCredentials>,
): Promise<Buffer> {
  const sealed = kind === 'cloud_api' ? (await readHealth(em, id))?.secrets : null;
  if (!sealed) throw invalid('credentials', 'wrong_kind', 'are for channels of the kind cloud_api');
  return sealCredentials(vault, workspaceId, id, {
    ...(await openCredentials(vault, workspaceId, id, sealed)),
    ...patch,
  });
}

/** @throws AppError 404; 409 when campaigns were made for it, or it has sent in the last day */
export function removeChannel({ orm }: Needs, key: { workspaceId: string; id: string }, actor: Actor): Promise<void> {
  return inWorkspaceTx(orm, { workspaceId: key.workspaceId }, async (em) => {
    const row = await findChannelRow(em, key.id, true);
    if (!(await deleteChannel(em, key.id)))
      throw conflict(
        'channel_in_use',
        'Campaigns were made for this channel, or it has sent messages in the last day; pause it instead.',
      );
    const target = { type: 'channel', id: key.id };
    await appendAudit(em, actor, { action: 'channel.deleted', target, before: noted(row) });
  });
}
