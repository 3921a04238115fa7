import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import { newId } from '#src/lib/ids.ts';

/** Credits that are added to a workspace. */
export interface Grant {
  workspaceId: string;
  microCredits: number;
  /** What it is for: the same reference is granted once. */
  referenceId: string;
  expiresAt?: Date | undefined;
  /** Lots of a lower number are spent first; among equals the one that expires first. */
  priority?: number | undefined;
}

/**
 * Adds credits, in the transaction of their workspace, as one entry and one lot.
 * @returns what is free then, in micro-credits; null when the reference had been granted already, or the workspace has no account
 */
export async function grantCredits(em: EntityManager, grant: Grant): Promise<number | null> {
  const [row] = await em.execute<{ balance: string | null }[]>(
    `select credit_grant(?::uuid, 'grant', ?::bigint, ?::uuid, ?::timestamptz, ?::int, null) as balance`,
    [grant.workspaceId, grant.microCredits, grant.referenceId, grant.expiresAt ?? null, grant.priority ?? 0],
  );
  return row?.balance ? Number(row.balance) : null;
}

/** @returns what was granted by a reference, in micro-credits; 0 for none */
export async function findGranted(em: EntityManager, workspaceId: string, referenceId: string): Promise<number> {
  const [row] = await em.execute<{ amount: string }[]>(
    `select amount from credit_entry where workspace_id = ?::uuid and kind = 'grant' and ref_id = ?::uuid`,
    [workspaceId, referenceId],
  );
  return Number(row?.amount ?? 0);
}

/**
 * Gives back what a job was charged, or a part of it, once for each job.
 * @param microCredits how much; null: all of the charge, which is also the most
 * @returns what is free then, in micro-credits; null when the job was charged nothing or was refunded before
 */
export async function refundJob(
  em: EntityManager,
  job: { workspaceId: string; jobId: string; microCredits: number | null },
): Promise<number | null> {
  const [row] = await em.execute<{ balance: string | null }[]>(
    'select credit_refund(?::uuid, ?::uuid, ?::bigint, null) as balance',
    [job.workspaceId, job.jobId, job.microCredits],
  );
  return row?.balance ? Number(row.balance) : null;
}

/** An account with its open lots, in the order they are spent; micro-credits. */
export interface CreditsRow {
  balance: string;
  held: string;
  lots: { remaining: string; expiresAt: string | null }[];
}

/** What a workspace has, and what it has been given that is not spent, as one moment saw both; null without an account. */
export async function findCreditsWithLots(pool: Pool, workspaceId: string): Promise<CreditsRow | null> {
  const { rows } = await queryAs<CreditsRow>(
    pool,
    { workspaceId },
    {
      name: 'credit-lots',
      text: `select a.balance, a.held, coalesce((
          select json_agg(json_build_object('remaining', l.remaining::text, 'expiresAt', l.expires_at)
            order by l.priority, l.expires_at nulls last, l.id)
          from credit_lot l where l.workspace_id = $1 and l.emptied_at is null), '[]') as lots
        from credit_account a where a.workspace_id = $1`,
      values: [workspaceId],
    },
  );
  return rows[0] ?? null;
}

export const ENTRY_KINDS = ['capture', 'opening', 'grant', 'topup', 'refund', 'expire', 'reversal'] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

export interface EntryRow {
  seq: string;
  kind: EntryKind;
  amount: string;
  from_account: string;
  to_account: string;
  balance_after: string;
  ref_id: string;
  user_id: string | null;
  created_at: Date;
}

/** Entries of a workspace, newest first. @param page.before the number of the last entry of the page before */
export async function listEntries(
  pool: Pool,
  page: { workspaceId: string; kind: EntryKind | undefined; before: number | undefined; limit: number },
): Promise<EntryRow[]> {
  const { rows } = await queryAs<EntryRow>(pool, page, {
    name: 'credit-entries',
    text: `select seq, kind, amount, from_account, to_account, balance_after, ref_id, user_id, created_at from credit_entry
      where workspace_id = $1 and ($2::text is null or kind = $2) and ($3::bigint is null or seq < $3) order by seq desc limit $4`,
    values: [page.workspaceId, page.kind ?? null, page.before ?? null, page.limit],
  });
  return rows;
}

/** Redeems a code for a workspace: one conditional update decides who gets it. @returns micro-credits; null when it is none that can be redeemed */
export async function redeemCode(
  em: EntityManager,
  code: { workspaceId: string; userId: string; hash: Buffer },
): Promise<{ credits: number; balance: number } | null> {
  const [row] = await em.execute<{ credits: string; balance: string }[]>(
    `select credits, balance from credit_redeem(?::uuid, decode(?, 'hex'), ?::uuid)`,
    [code.workspaceId, code.hash.toString('hex'), code.userId],
  );
  return row ? { credits: Number(row.credits), balance: Number(row.balance) } : null;
}

/** Whether the workspace itself has redeemed a code before: its answer may have been lost. */
export async function wasRedeemedBy(em: EntityManager, workspaceId: string, hash: Buffer): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `select 1 from topup_code where code_hash = decode(?, 'hex') and used_by_workspace = ?::uuid`,
    [hash.toString('hex'), workspaceId],
  );
  return rows.length > 0;
}

/** Stores the digests of codes. @param microCredits what each is worth @returns the id of the batch */
export async function insertCodes(
  systemPool: Pool,
  codes: { hashes: Buffer[]; microCredits: number; expiresAt: Date | null },
): Promise<string> {
  const batchId = newId();
  await systemPool.query(
    `insert into topup_code (code_hash, batch_id, credits, expires_at) select hash, $2, $3, $4 from unnest($1::bytea[]) hash`,
    [codes.hashes, batchId, codes.microCredits, codes.expiresAt],
  );
  return batchId;
}

/** Codes that were made together; `credits` of each, in micro-credits. */
export interface BatchRow {
  batchId: string;
  credits: string;
  codes: number;
  redeemed: number;
  revoked: number;
  expiresAt: Date | null;
  createdAt: Date;
}

/** Batches of codes, the newest first. @param page.before the last of the page before */
export async function listBatches(
  systemPool: Pool,
  page: { before: string | undefined; limit: number },
): Promise<BatchRow[]> {
  const { rows } = await systemPool.query<BatchRow>(
    `select batch_id as "batchId", max(credits)::text as credits, count(*)::int as codes, count(used_at)::int as redeemed,
        count(revoked_at)::int as revoked, max(expires_at) as "expiresAt", min(created_at) as "createdAt"
      from topup_code where $1::uuid is null or batch_id < $1 group by batch_id order by batch_id desc limit $2`,
    [page.before ?? null, page.limit],
  );
  return rows;
}

/**
 * Ends codes that nobody has redeemed: all of a batch, or the one of a digest.
 * @returns how many, and of which batch; undefined where there are no such codes
 */
export async function revokeCodes(
  systemPool: Pool,
  by: string | Buffer,
): Promise<{ batchId: string; revoked: number } | undefined> {
  const which = typeof by === 'string' ? 'batch_id = $1::uuid' : 'code_hash = $1';
  const { rows } = await systemPool.query<{ batchId: string; revoked: number }>(
    `with revoked as (update topup_code set revoked_at = now() where ${which} and used_at is null and revoked_at is null returning batch_id)
      select batch_id as "batchId", (select count(*)::int from revoked) as revoked from topup_code where ${which} limit 1`,
    [by],
  );
  return rows[0];
}
