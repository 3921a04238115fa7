import { createHash } from 'node:crypto';
import type { Pool } from 'pg';
import { isMac, type Anchor } from '#src/modules/audit/anchor.ts';
import { findHead, findMacs, insertMacs, readEntries, type AuditRow } from '#src/modules/audit/audit.query.ts';

/**
 * What is wrong with the first entry that is not as it was written. `forged` and `unanchored`: everything fits together, but the code under our
 * key is wrong, or is not there.
 */
export type Break = (typeof BREAKS)[number];
export const BREAKS = ['missing', 'changed', 'unlinked', 'head_mismatch', 'forged', 'unanchored'] as const;

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

const codeBreak = (found: string | null | undefined, right: string): Break | undefined =>
  isMac(found, right) ? undefined : found ? 'forged' : 'unanchored';

/** Follows a workspace's chain from its first entry to its end, in batches. */
export async function verifyChain(
  { pool, auditAnchor: anchor }: { pool: Pool; auditAnchor: Anchor },
  workspaceId: string,
  batch = 500,
): Promise<Verdict> {
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
    const range = { keyId: anchor.keyId, from: seq + 1, to: seq + rows.length };
    const macs = await findMacs(pool, workspaceId, range);
    for (const row of rows) {
      const reason =
        breakOf(row, seq + 1, previous) ??
        codeBreak(macs.get(row.seq), anchor.entryMac(workspaceId, row.seq, row.hash));
      if (reason) return broken(seq + 1, reason);
      seq += 1;
      previous = row.hash;
      if (seq !== end || !head) continue;
      const wrong =
        previous === head.hash ? codeBreak(head.mac, anchor.headMac(workspaceId, seq, previous)) : 'head_mismatch';
      if (wrong) return broken(seq, wrong);
    }
  }
  if (seq < end) return broken(seq + 1, 'missing');
  // Entries past the end that was read first have come meanwhile, or past the chain's own door.
  if (seq > end && ((await findHead(pool, workspaceId))?.seq ?? 0) < seq) return broken(end + 1, 'head_mismatch');
  return { ok: true, entries: seq, firstBroken: null, headHash: previous === '' ? null : previous };
}

/**
 * Vouches for a chain as it is now: for entries older than the codes, and after `APP_SECRET` has changed. Whatever was forged before is vouched
 * for too, so only an operator asks for it, and only for a chain that fits together.
 * @returns how many entries it has; undefined when it does not fit together
 */
export async function anchorChain(
  { pool, auditAnchor: anchor }: { pool: Pool; auditAnchor: Anchor },
  workspaceId: string,
  batch = 500,
): Promise<number | undefined> {
  let previous = '';
  let seq = 0;
  const head = await findHead(pool, workspaceId);
  for await (const rows of readEntries(pool, workspaceId, { batch })) {
    for (const row of rows) {
      if (breakOf(row, seq + 1, previous)) return undefined;
      seq += 1;
      previous = row.hash;
    }
    if (head && seq >= head.seq && !rows.some((row) => row.seq === head.seq && row.hash === head.hash))
      return undefined;
    await insertMacs(pool, workspaceId, {
      keyId: anchor.keyId,
      seqs: rows.map((row) => row.seq),
      macs: rows.map((row) => anchor.entryMac(workspaceId, row.seq, row.hash)),
      headMac: anchor.headMac(workspaceId, seq, previous),
    });
    if (head && seq >= head.seq) break;
  }
  return seq >= (head?.seq ?? 0) ? seq : undefined;
}
