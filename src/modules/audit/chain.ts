import { createHash } from 'node:crypto';
import type { Pool } from 'pg';
import { findHead, readEntries, type AuditRow } from '#src/modules/audit/audit.query.ts';

/** What is wrong with the first entry that is not as it was written. */
export type Break = (typeof BREAKS)[number];
export const BREAKS = ['missing', 'changed', 'unlinked', 'head_mismatch'] as const;

export interface Verdict {
  ok: boolean;
  /** How many entries were found good, from the first on. */
  entries: number;
  firstBroken: { seq: number; reason: Break } | null;
  /** What the chain ends in, in hex; null while it is empty. Kept elsewhere, it proves later that nothing up to it was rewritten. */
  headHash: string | null;
}

/** The text an entry's hash is taken of. The database builds the same one, `audit_canonical`, from its own columns. */
export function canonicalText(row: AuditRow): string {
  const parts = [
    row.workspace_id,
    row.seq,
    row.id,
    row.at,
    row.actor_kind,
    row.actor_id,
    row.action,
    row.target_type,
    row.target_id,
    row.before,
    row.after,
    row.ip,
    row.user_agent,
    row.request_id,
    row.prev_hash,
  ];
  return `[${parts.map((part) => JSON.stringify(part)).join(', ')}]`;
}

const hashOf = (row: AuditRow): string => createHash('sha256').update(canonicalText(row)).digest('hex');

function breakOf(row: AuditRow, seq: number, previous: string): Break | undefined {
  if (row.seq !== seq) return 'missing';
  if (hashOf(row) !== row.hash) return 'changed';
  return row.prev_hash === previous ? undefined : 'unlinked';
}

/** Follows a workspace's chain from its first entry to its end, in batches. */
export async function verifyChain(pool: Pool, workspaceId: string, batch = 500): Promise<Verdict> {
  const head = await findHead(pool, workspaceId);
  const end = head?.seq ?? 0;
  let previous = '';
  let seq = 0;
  const broken = (at: number, reason: Break): Verdict => ({
    ok: false,
    entries: seq,
    firstBroken: { seq: at, reason },
    headHash: head?.hash ?? null,
  });
  for await (const rows of readEntries(pool, workspaceId, { batch })) {
    for (const row of rows) {
      const reason = breakOf(row, seq + 1, previous);
      if (reason) return broken(seq + 1, reason);
      seq += 1;
      previous = row.hash;
      if (seq === end && previous !== head?.hash) return broken(seq, 'head_mismatch');
    }
  }
  if (seq < end) return broken(seq + 1, 'missing');
  // Entries past the end that was read first have come meanwhile, or past the chain's own door.
  if (seq > end && ((await findHead(pool, workspaceId))?.seq ?? 0) < seq) return broken(end + 1, 'head_mismatch');
  return { ok: true, entries: seq, firstBroken: null, headHash: previous === '' ? null : previous };
}
