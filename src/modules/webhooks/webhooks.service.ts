import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import type { Runtime } from '#src/runtime.ts';
import { targetOf } from '#src/lib/egress-rules.ts';
import { newId } from '#src/lib/ids.ts';
import { notFound } from '#src/errors.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { etagOf, mustMatch } from '#src/http/etag.ts';
import { outsideUrl, refuseUrl } from '#src/http/outside-url.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { newestVersion } from '#src/modules/webhooks/payload.ts';
import { openSecrets, sealSecrets, type Secrets } from '#src/modules/webhooks/secrets.ts';
import { makeSecret, publicKeyOf, readSecret } from '#src/modules/webhooks/signature.ts';
import {
  cancelDeliveries,
  countWebhooks,
  deleteWebhook,
  findWebhook,
  findWebhooks,
  insertWebhook,
  lockWebhook,
  setActive,
  updateSecrets,
  updateWebhook,
  type WebhookKey,
  type WebhookRow,
} from '#src/modules/webhooks/webhooks.query.ts';
import type { NewWebhookView, WebhookBody, WebhookPatch, WebhookView } from '#src/modules/webhooks/webhooks.schemas.ts';
import { checkFeature, checkLimit } from '#src/modules/billing/plans.ts';
import { lockWorkspace } from '#src/modules/workspaces/plans.ts';

type Needs = Pick<Runtime, 'orm' | 'vault' | 'egress' | 'config'>;

/** An endpoint with the tag of its state. */
export interface Tagged<View> {
  view: View;
  etag: string;
}

const viewOf = (row: WebhookRow): WebhookView => ({
  id: row.id,
  name: row.name,
  url: row.url,
  events: row.events,
  ordered: row.is_ordered,
  asymmetric: row.is_asymmetric,
  payloadVersion: row.payload_version,
  publicKey: row.public_key,
  previousSecretUntil: row.previous_until,
  status: row.status,
  disabledReason: row.disabled_reason,
  disabledAt: row.disabled_at,
  failingSince: row.failing_since,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});

const tagOf = ({ id, revision }: WebhookRow) => etagOf([id, revision]);
const tagged = (row: WebhookRow): Tagged<WebhookView> => ({ view: viewOf(row), etag: tagOf(row) });

const targetOfEntry = (id: string) => ({ type: 'webhook', id });
/** What the log says of an endpoint: a path or a query can hold a token. */
const noted = (row: WebhookRow) => ({
  name: row.name,
  host: new URL(row.url).host,
  events: row.events,
  ordered: row.is_ordered,
  asymmetric: row.is_asymmetric,
  payloadVersion: row.payload_version,
});

/** @returns the URL in its usual spelling. @throws AppError 400 for one that is not public, or open to all who carry it */
function checkUrl({ egress, config }: Needs, text: string): string {
  const url = outsideUrl(egress, 'url', text);
  const isAllowed = url.protocol === 'https:' || config.EGRESS_ALLOW.includes(targetOf(url));
  if (!isAllowed) throw refuseUrl('url', 'insecure', 'must begin with https://');
  return url.href;
}

/** @throws AppError 404 */
export async function mustFind(em: EntityManager, key: WebhookKey, find = findWebhook): Promise<WebhookRow> {
  const row = await find(em, key);
  if (!row) throw notFound('The webhook');
  return row;
}

/** Makes an endpoint. @returns it with its secret, which is nowhere to be had again. @throws AppError 400, 403 `plan_limit` or `plan_feature` */
export async function createWebhook(
  rt: Needs,
  workspaceId: string,
  actor: Actor,
  body: WebhookBody,
): Promise<Tagged<NewWebhookView>> {
  const url = checkUrl(rt, body.url);
  const key = { workspaceId, id: newId() };
  const current = makeSecret(body.asymmetric);
  const secrets = await sealSecrets(rt.vault, workspaceId, key.id, { current, previous: null });
  const row = await inWorkspaceTx(rt.orm, { workspaceId }, async (em) => {
    const workspace = await lockWorkspace(em, workspaceId);
    checkFeature(workspace, 'webhooks');
    checkLimit(workspace, 'webhooks', await countWebhooks(em, workspaceId));
    await insertWebhook(em, {
      ...key,
      name: body.name,
      url,
      events: body.events,
      isOrdered: body.ordered,
      isAsymmetric: body.asymmetric,
      payloadVersion: newestVersion(),
      publicKey: publicKeyOf(readSecret(current)),
      secrets,
    });
    const made = await mustFind(em, key);
    await appendAudit(em, actor, { action: 'webhook.created', target: targetOfEntry(key.id), after: noted(made) });
    return made;
  });
  return { view: { ...viewOf(row), secret: current.secret }, etag: tagOf(row) };
}

/** The workspace's endpoints, newest first. */
export async function listWebhooks(
  { orm }: Needs,
  workspaceId: string,
  page: { limit: number; cursor?: string | undefined },
) {
  const before = page.cursor === undefined ? undefined : decodeCursor(page.cursor, z.tuple([z.uuid()]))[0];
  const rows = await inWorkspaceTx(orm, { workspaceId }, (em) =>
    findWebhooks(em, workspaceId, { before, limit: page.limit + 1 }),
  );
  return toPage(rows, page.limit, (row) => [row.id], viewOf);
}

/** @throws AppError 404 */
export async function readWebhook({ orm }: Needs, key: WebhookKey): Promise<Tagged<WebhookView>> {
  return tagged(await inWorkspaceTx(orm, { workspaceId: key.workspaceId }, (em) => mustFind(em, key)));
}

/** Changes an endpoint; what waits for it goes to the new address. @throws AppError 400, 404, 412 */
export async function changeWebhook(
  rt: Needs,
  key: WebhookKey,
  actor: Actor,
  patch: WebhookPatch,
  ifMatch: string | undefined,
): Promise<Tagged<WebhookView>> {
  const url = patch.url === undefined ? undefined : checkUrl(rt, patch.url);
  return inWorkspaceTx(rt.orm, { workspaceId: key.workspaceId }, async (em) => {
    const row = await mustFind(em, key, lockWebhook);
    mustMatch(ifMatch, tagOf(row));
    const isAsymmetric = patch.asymmetric ?? row.is_asymmetric;
    if (isAsymmetric !== row.is_asymmetric) {
      const { current, previous } = await secretsOf(rt, key, row);
      const { privateKey } = makeSecret(isAsymmetric);
      await saveSecrets(rt, em, key, { current: { ...current, privateKey }, previous }, null);
    }
    await updateWebhook(em, key, {
      name: patch.name ?? row.name,
      url: url ?? row.url,
      events: patch.events ?? row.events,
      isOrdered: patch.ordered ?? row.is_ordered,
      isAsymmetric,
      payloadVersion: patch.payloadVersion ?? row.payload_version,
    });
    const changed = await mustFind(em, key);
    const [before, after] = [noted(row), noted(changed)];
    await appendAudit(em, actor, { action: 'webhook.changed', target: targetOfEntry(key.id), before, after });
    return tagged(changed);
  });
}

/** Takes an endpoint away, and ends its deliveries. @throws AppError 404, 412 */
export function removeWebhook(
  { orm }: Needs,
  key: WebhookKey,
  actor: Actor,
  ifMatch: string | undefined,
): Promise<void> {
  return inWorkspaceTx(orm, { workspaceId: key.workspaceId }, async (em) => {
    const row = await mustFind(em, key, lockWebhook);
    mustMatch(ifMatch, tagOf(row));
    await cancelDeliveries(em, key, 'webhook_deleted');
    await deleteWebhook(em, key);
    await appendAudit(em, actor, { action: 'webhook.deleted', target: targetOfEntry(key.id), before: noted(row) });
  });
}

/**
 * Gives an endpoint a new secret, and a new key where it has one. Until the grace is over deliveries are signed with both; one that was
 * still in its own grace ends at once, so that there are never more than two.
 * @throws AppError 404
 */
export async function rotateSecret(
  rt: Needs,
  key: WebhookKey,
  actor: Actor,
  graceHours: number,
): Promise<Tagged<NewWebhookView>> {
  return inWorkspaceTx(rt.orm, { workspaceId: key.workspaceId }, async (em) => {
    const row = await mustFind(em, key, lockWebhook);
    const { current: previous } = await secretsOf(rt, key, row);
    const current = makeSecret(row.is_asymmetric);
    await saveSecrets(rt, em, key, { current, previous: graceHours === 0 ? null : previous }, graceHours);
    const rotated = await mustFind(em, key);
    const change = { action: 'webhook.secret_rotated', target: targetOfEntry(key.id), after: { graceHours } };
    await appendAudit(em, actor, change);
    return { view: { ...viewOf(rotated), secret: current.secret }, etag: tagOf(rotated) };
  });
}

/**
 * Lets events come to an endpoint again. What happened while it was off is not made up for by itself: it can be replayed. Again is no error.
 * @throws AppError 404
 */
export function enableWebhook({ orm }: Needs, key: WebhookKey, actor: Actor): Promise<Tagged<WebhookView>> {
  return inWorkspaceTx(orm, { workspaceId: key.workspaceId }, async (em) => {
    const row = await mustFind(em, key, lockWebhook);
    if (row.status === 'active') return tagged(row);
    await setActive(em, key);
    const before = { reason: row.disabled_reason, disabledAt: row.disabled_at };
    await appendAudit(em, actor, { action: 'webhook.enabled', target: targetOfEntry(key.id), before });
    return tagged(await mustFind(em, key));
  });
}

const secretsOf = ({ vault }: Needs, { workspaceId, id }: WebhookKey, row: WebhookRow): Promise<Secrets> =>
  openSecrets(vault, workspaceId, id, Buffer.from(row.secrets, 'hex'));

async function saveSecrets(
  { vault }: Needs,
  em: EntityManager,
  key: WebhookKey,
  secrets: Secrets,
  graceHours: number | null,
): Promise<void> {
  const sealed = await sealSecrets(vault, key.workspaceId, key.id, secrets);
  await updateSecrets(em, key, { secrets: sealed, publicKey: publicKeyOf(readSecret(secrets.current)), graceHours });
}
