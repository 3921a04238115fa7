import type { EntityManager } from '@mikro-orm/postgresql';

export interface WebhookRow {
  id: string;
  name: string;
  url: string;
  events: string[];
  is_ordered: boolean;
  is_asymmetric: boolean;
  payload_version: string;
  public_key: string | null;
  previous_until: string | null;
  status: 'active' | 'disabled';
  disabled_reason: string | null;
  disabled_at: string | null;
  failing_since: string | null;
  /** In hex. */
  secrets: string;
  revision: number;
  created_at: string;
  updated_at: string;
}

const at = (column: string, name = column) =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${name}`;

const SELECT = `select w.id, w.name, w.url, to_json(w.events) as events, w.is_ordered, w.is_asymmetric, w.payload_version, w.public_key,
    ${at('case when w.previous_until > now() then w.previous_until end', 'previous_until')}, w.status, w.disabled_reason,
    ${at('w.disabled_at', 'disabled_at')}, ${at('f.failing_since', 'failing_since')}, encode(w.secrets, 'hex') as secrets, w.revision,
    ${at('w.created_at', 'created_at')}, ${at('w.updated_at', 'updated_at')}
  from webhook w join webhook_flow f on f.workspace_id = w.workspace_id and f.webhook_id = w.id`;

/** An endpoint: its workspace and id. */
export interface WebhookKey {
  workspaceId: string;
  id: string;
}
const ofKey = ({ workspaceId, id }: WebhookKey) => [workspaceId, id];

export async function findWebhook(em: EntityManager, key: WebhookKey): Promise<WebhookRow | undefined> {
  const [row] = await em.execute<WebhookRow[]>(`${SELECT} where w.workspace_id = ? and w.id = ?`, ofKey(key));
  return row;
}

/** The same, and makes those who change it, or take its deliveries, wait until the transaction ends. */
export async function lockWebhook(em: EntityManager, key: WebhookKey): Promise<WebhookRow | undefined> {
  await em.execute('select from webhook_flow where workspace_id = ? and webhook_id = ? for update', ofKey(key));
  return findWebhook(em, key);
}

/** A workspace's endpoints, the newest first. */
export function findWebhooks(
  em: EntityManager,
  workspaceId: string,
  page: { before: string | undefined; limit: number },
): Promise<WebhookRow[]> {
  return em.execute<WebhookRow[]>(
    `${SELECT} where w.workspace_id = ? and (?::uuid is null or w.id < ?::uuid) order by w.id desc limit ?`,
    [workspaceId, page.before ?? null, page.before ?? null, page.limit],
  );
}

export async function countWebhooks(em: EntityManager, workspaceId: string): Promise<number> {
  const [row] = await em.execute<{ n: number }[]>('select count(*)::int as n from webhook where workspace_id = ?', [
    workspaceId,
  ]);
  return row?.n ?? 0;
}

export interface NewWebhook extends WebhookKey {
  name: string;
  url: string;
  events: readonly string[];
  isOrdered: boolean;
  isAsymmetric: boolean;
  payloadVersion: string;
  publicKey: string | null;
  secrets: Buffer;
}

export async function insertWebhook(em: EntityManager, row: NewWebhook): Promise<void> {
  await em.execute(
    `insert into webhook (workspace_id, id, name, url, events, is_ordered, is_asymmetric, payload_version, public_key, secrets)
     values (?, ?, ?, ?, array(select json_array_elements_text(?::json)), ?, ?, ?, ?, decode(?, 'hex'))`,
    [
      ...ofKey(row),
      row.name,
      row.url,
      JSON.stringify(row.events),
      row.isOrdered,
      row.isAsymmetric,
      row.payloadVersion,
      row.publicKey,
      row.secrets.toString('hex'),
    ],
  );
  await em.execute('insert into webhook_flow (workspace_id, webhook_id) values (?, ?)', ofKey(row));
}

export type WebhookFields = Pick<
  NewWebhook,
  'name' | 'url' | 'events' | 'isOrdered' | 'isAsymmetric' | 'payloadVersion'
>;

/** Changes what its owner can change. The revision tells those who deliver to read it anew. */
export async function updateWebhook(em: EntityManager, key: WebhookKey, fields: WebhookFields): Promise<void> {
  await em.execute(
    `update webhook set name = ?, url = ?, events = array(select json_array_elements_text(?::json)), is_ordered = ?, is_asymmetric = ?,
       payload_version = ?, revision = revision + 1, updated_at = now() where workspace_id = ? and id = ?`,
    [
      fields.name,
      fields.url,
      JSON.stringify(fields.events),
      fields.isOrdered,
      fields.isAsymmetric,
      fields.payloadVersion,
      ...ofKey(key),
    ],
  );
}

/** @param graceHours how long the secret before goes on being signed with; null leaves the end of its time as it is */
export async function updateSecrets(
  em: EntityManager,
  key: WebhookKey,
  { secrets, publicKey, graceHours }: { secrets: Buffer; publicKey: string | null; graceHours: number | null },
): Promise<void> {
  await em.execute(
    `update webhook set secrets = decode(?, 'hex'), public_key = ?,
       previous_until = case when ?::int is null then previous_until else now() + ?::int * interval '1 hour' end,
       revision = revision + 1, updated_at = now() where workspace_id = ? and id = ?`,
    [secrets.toString('hex'), publicKey, graceHours, graceHours, ...ofKey(key)],
  );
}

/** Lets events come to an endpoint again, as if nothing had ever failed. */
export async function setActive(em: EntityManager, key: WebhookKey): Promise<void> {
  await em.execute(
    `update webhook set status = 'active', disabled_reason = null, disabled_at = null, revision = revision + 1, updated_at = now()
     where workspace_id = ? and id = ?`,
    ofKey(key),
  );
  await em.execute(
    `update webhook_flow set failures = 0, failing_since = null, open_until = null, disable_reason = null
     where workspace_id = ? and webhook_id = ?`,
    ofKey(key),
  );
}

export async function setDisabled(em: EntityManager, key: WebhookKey, reason: string): Promise<void> {
  await em.execute(
    `update webhook set status = 'disabled', disabled_reason = ?, disabled_at = now(), revision = revision + 1, updated_at = now()
     where workspace_id = ? and id = ?`,
    [reason, ...ofKey(key)],
  );
  await em.execute(
    'update webhook_flow set disable_reason = null where workspace_id = ? and webhook_id = ?',
    ofKey(key),
  );
}

/** Deliveries that are ended in one transaction: others wait for its locks, those who hand out events too. */
export const CANCEL_AT_ONCE = 2000;

/**
 * Ends what has not been delivered yet, `CANCEL_AT_ONCE` of it; the rest is for the sweep. What is under way may still arrive; what came of
 * it is not noted.
 * @returns how many there are in all
 */
export async function cancelDeliveries(em: EntityManager, key: WebhookKey, reason: string): Promise<number> {
  const [row] = await em.execute<{ n: number }[]>(
    `with open as (select workspace_id, id from webhook_delivery
        where workspace_id = ? and webhook_id = ? and next_attempt_at is not null),
      ended as (update webhook_delivery d set status = 'cancelled', error = ?, next_attempt_at = null, lease_token = null,
        is_direct = false, finished_at = now() from (select * from open limit ?::int) o where d.workspace_id = o.workspace_id and d.id = o.id)
      select count(*)::int as n from open`,
    [...ofKey(key), reason, CANCEL_AT_ONCE],
  );
  return row?.n ?? 0;
}

export async function deleteWebhook(em: EntityManager, key: WebhookKey): Promise<void> {
  await em.execute('delete from webhook where workspace_id = ? and id = ?', ofKey(key));
}

/** Takes all endpoints of a workspace away, and ends their deliveries as `cancelDeliveries` does. */
export async function deleteAllWebhooks(em: EntityManager, workspaceId: string): Promise<void> {
  await em.execute('select from webhook_flow where workspace_id = ? order by webhook_id for update', [workspaceId]);
  await em.execute(
    `update webhook_delivery d set status = 'cancelled', error = 'webhook_deleted', next_attempt_at = null, lease_token = null,
       is_direct = false, finished_at = now()
       from (select workspace_id, id from webhook_delivery where workspace_id = ? and next_attempt_at is not null limit ?) o
       where d.workspace_id = o.workspace_id and d.id = o.id`,
    [workspaceId, CANCEL_AT_ONCE],
  );
  await em.execute('delete from webhook where workspace_id = ?', [workspaceId]);
}
