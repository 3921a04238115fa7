import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import { isOurHead, type Anchor, type Head } from '#src/modules/audit/anchor.ts';

export type ActorKind = 'session' | 'api_key' | 'system';

/** An entry as it is stored. `at` is its canonical text, to the microsecond; `before` and `after` are the very texts that were hashed. */
export interface AuditRow {
  workspace_id: string;
  seq: number;
  id: string;
  at: string;
  actor_kind: ActorKind;
  actor_id: string | null;
  action: string;
  target_type: string | null;
  target_id: string | null;
  before: string | null;
  after: string | null;
  ip: string | null;
  user_agent: string | null;
  request_id: string | null;
  prev_hash: string;
  hash: string;
}

// A sequence number is exact as a double up to 2^53.
const COLUMNS = `workspace_id, seq::float8, id, to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at,
  actor_kind, actor_id, action, target_type, target_id, before::text, after::text, ip, user_agent, request_id,
  encode(prev_hash, 'hex') as prev_hash, encode(hash, 'hex') as hash`;

/** What an append did, and the head it met. */
interface Appended {
  workspace: string;
  entry: { seq: number; hash: string; before: Head };
}

/**
 * Appends one entry to the chain of the transaction's workspace, with its code and the head's. The chain is locked until the transaction ends.
 * A head that is not as we left it gets no code: a forged chain must not become ours by being gone on with.
 */
export async function insertEntry(
  em: EntityManager,
  anchor: Anchor,
  entry: Omit<AuditRow, 'workspace_id' | 'seq' | 'at' | 'prev_hash' | 'hash'>,
): Promise<void> {
  const [appended] = await em.execute<Appended[]>(
    'select current_workspace() as workspace, audit_append(?::uuid, ?::text, ?::uuid, ?::text, ?::text, ?::text, ?::json, ?::json, ?::text, ?::text, ?::text) as entry',
    [
      entry.id,
      entry.actor_kind,
      entry.actor_id,
      entry.action,
      entry.target_type,
      entry.target_id,
      entry.before,
      entry.after,
      entry.ip,
      entry.user_agent,
      entry.request_id,
    ],
  );
  if (!appended) throw new Error('audit_append answered nothing');
  const {
    workspace,
    entry: { seq, hash, before },
  } = appended;
  const headMac = isOurHead(anchor, workspace, before) ? anchor.headMac(workspace, seq, hash) : null;
  await em.execute(
    `select audit_anchor(?::text, array[?::bigint], array[decode(?::text, 'hex')], decode(?::text, 'hex'))`,
    [anchor.keyId, seq, anchor.entryMac(workspace, seq, hash), headMac],
  );
}

/** The codes, under one key, of the entries from `from` to `to`. */
export async function findMacs(
  pool: Pool,
  workspaceId: string,
  range: { keyId: string; from: number; to: number },
): Promise<Map<number, string>> {
  const { rows } = await queryAs<{ seq: number; mac: string }>(
    pool,
    { workspaceId },
    {
      name: 'audit-macs',
      text: `select seq::float8, encode(mac, 'hex') as mac from audit_mac
        where workspace_id = $1 and seq between $2 and $3 and key_id = $4`,
      values: [workspaceId, range.from, range.to, range.keyId],
    },
  );
  return new Map(rows.map(({ seq, mac }) => [seq, mac]));
}

/** Writes the codes of entries of one chain, in the order of the chain; the head gets its own if the last of them is still the head. */
export async function insertMacs(
  pool: Pool,
  workspaceId: string,
  macs: { keyId: string; seqs: number[]; macs: string[]; headMac: string | null },
): Promise<void> {
  await queryAs(
    pool,
    { workspaceId },
    {
      name: 'audit-anchor',
      text: `select audit_anchor($1, $2::bigint[], (select array_agg(decode(m, 'hex') order by at) from unnest($3::text[]) with ordinality t (m, at)),
        decode($4, 'hex'))`,
      values: [macs.keyId, macs.seqs, macs.macs, macs.headMac],
    },
  );
}

/** The workspaces that have a chain. */
export async function findChains(systemPool: Pool): Promise<string[]> {
  const { rows } = await systemPool.query<{ id: string }>('select workspace_id as id from audit_head order by 1');
  return rows.map(({ id }) => id);
}

/** Which entries a list asks for; `from` is the first moment, `to` the first one after. */
export interface AuditFilter {
  action?: string | undefined;
  targetType?: string | undefined;
  targetId?: string | undefined;
  actorId?: string | undefined;
  from?: Date | undefined;
  to?: Date | undefined;
}

/** A workspace's entries before `before`, newest first. */
export async function listEntries(
  pool: Pool,
  workspaceId: string,
  filter: AuditFilter & { before?: number | undefined; limit: number },
): Promise<AuditRow[]> {
  const { rows } = await queryAs<AuditRow>(
    pool,
    { workspaceId },
    {
      name: 'audit-list',
      text: `select ${COLUMNS} from audit_log where workspace_id = $1 and ($2::bigint is null or seq < $2)
        and ($3::text is null or action = $3) and ($4::text is null or target_type = $4)
        and ($5::text is null or target_id = $5) and ($6::uuid is null or actor_id = $6)
        and ($7::timestamptz is null or audit_log.at >= $7) and ($8::timestamptz is null or audit_log.at < $8)
        order by audit_log.seq desc limit $9`,
      values: [
        workspaceId,
        filter.before ?? null,
        filter.action ?? null,
        filter.targetType ?? null,
        filter.targetId ?? null,
        filter.actorId ?? null,
        filter.from ?? null,
        filter.to ?? null,
        filter.limit,
      ],
    },
  );
  return rows;
}

/** The end of a workspace's chain; undefined while nothing was ever written. */
export async function findHead(pool: Pool, workspaceId: string): Promise<Head | undefined> {
  const { rows } = await queryAs<Head>(
    pool,
    { workspaceId },
    {
      name: 'audit-head',
      text: `select seq::float8, encode(hash, 'hex') as hash, encode(mac, 'hex') as mac
        from audit_head where workspace_id = $1`,
      values: [workspaceId],
    },
  );
  return rows[0];
}

/** A workspace's entries from the first one on, in batches, so that a long log is never in memory at once. */
export async function* readEntries(
  pool: Pool,
  workspaceId: string,
  range: { from?: Date | undefined; to?: Date | undefined; batch?: number } = {},
): AsyncGenerator<AuditRow[]> {
  const { from, to, batch = 500 } = range;
  for (let after = 0; ;) {
    const { rows } = await queryAs<AuditRow>(
      pool,
      { workspaceId },
      {
        name: 'audit-read',
        text: `select ${COLUMNS} from audit_log where workspace_id = $1 and seq > $2
          and ($3::timestamptz is null or audit_log.at >= $3) and ($4::timestamptz is null or audit_log.at < $4)
          order by audit_log.seq limit $5`,
        values: [workspaceId, after, from ?? null, to ?? null, batch],
      },
    );
    if (rows.length > 0) yield rows;
    const last = rows.at(-1);
    if (!last || rows.length < batch) return;
    after = last.seq;
  }
}
