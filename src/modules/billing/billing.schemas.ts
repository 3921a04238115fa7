import { z } from 'zod';
import { IdText, momentAhead } from '#src/http/fields.ts';
import { PageQuery, pageOf } from '#src/http/page.ts';
import { type BatchRow, type CreditsRow, ENTRY_KINDS, type EntryRow } from '#src/modules/billing/credits.query.ts';
import { MICRO_CREDITS_PER_CREDIT } from '#src/modules/workspaces/credit-account.entity.ts';

export const toCredits = (micro: string | number): number => Number(micro) / MICRO_CREDITS_PER_CREDIT;
export const toMicroCredits = (credits: number): number => Math.round(credits * MICRO_CREDITS_PER_CREDIT);

/** Credits a workspace has: `balance` = `held` by open jobs + `available`; `lots` add up to `balance`, first to be spent first. */
export const CreditsView = z.object({
  balance: z.number(),
  held: z.number(),
  available: z.number(),
  lots: z.array(z.object({ remaining: z.number(), expiresAt: z.iso.datetime().nullable() })),
});

export function presentCredits(row: CreditsRow | null): z.output<typeof CreditsView> {
  const { balance: available, held, lots } = row ?? { balance: '0', held: '0', lots: [] };
  return {
    balance: (Number(available) + Number(held)) / MICRO_CREDITS_PER_CREDIT,
    held: toCredits(held),
    available: toCredits(available),
    lots: lots.map(({ remaining, expiresAt }) => ({
      remaining: toCredits(remaining),
      expiresAt: expiresAt === null ? null : new Date(expiresAt).toISOString(),
    })),
  };
}

export const EntriesQuery = PageQuery.extend({ kind: z.enum(ENTRY_KINDS).optional() });

/** A transfer into the workspace's credits (`amount` above 0) or out of them. */
export const EntryView = z.object({
  /** Counts from 1 within the workspace, without gaps. */
  number: z.int(),
  kind: z.enum(ENTRY_KINDS),
  amount: z.number(),
  /** The two accounts: `amount` leaves one and enters the other. */
  from: z.string(),
  to: z.string(),
  /** Of the workspace, with what open jobs hold. */
  balanceAfter: z.number(),
  /** The job of a capture or a refund; what the others are for. */
  referenceId: z.uuid(),
  userId: z.uuid().nullable(),
  createdAt: z.iso.datetime(),
});
export const EntryList = pageOf(EntryView);

export const presentEntry = (row: EntryRow): z.output<typeof EntryView> => ({
  number: Number(row.seq),
  kind: row.kind,
  amount: row.to_account === 'credits' ? toCredits(row.amount) : -toCredits(row.amount),
  from: row.from_account,
  to: row.to_account,
  balanceAfter: toCredits(row.balance_after),
  referenceId: row.ref_id,
  userId: row.user_id,
  createdAt: row.created_at.toISOString(),
});

export const TopupBody = z.strictObject({ code: z.string().min(1).max(100) });
export const TopupView = z.object({ credits: z.number(), balance: z.number() });

/** Up to a million dollars' worth. */
const Amount = z.number().min(0.000001).max(1_000_000_000);
export const TopupCodesBody = z.strictObject({
  count: z.int().min(1).max(1000),
  credits: Amount,
  expiresAt: momentAhead().optional(),
});
export const TopupCodesView = z.object({ batchId: z.uuid(), credits: z.number(), codes: z.array(z.string()) });

/** Codes that were made together; those neither redeemed nor revoked can be redeemed until they expire. */
export const TopupBatchView = z.object({
  batchId: z.uuid(),
  /** Of each. */
  credits: z.number(),
  codes: z.int(),
  redeemed: z.int(),
  revoked: z.int(),
  expiresAt: z.iso.datetime().nullable(),
  createdAt: z.iso.datetime(),
});
export const TopupBatchList = pageOf(TopupBatchView);

export const presentBatch = ({ credits, expiresAt, createdAt, ...row }: BatchRow): z.output<typeof TopupBatchView> => ({
  ...row,
  credits: toCredits(credits),
  expiresAt: expiresAt?.toISOString() ?? null,
  createdAt: createdAt.toISOString(),
});
export const RevokeCodesBody = z
  .strictObject({ batchId: IdText.optional(), code: TopupBody.shape.code.optional() })
  .refine(({ batchId, code }) => (batchId === undefined) !== (code === undefined), 'takes a batchId or a code');
export const RevokedCodesView = z.object({ batchId: z.uuid(), revoked: z.int() });

export const GrantBody = z.strictObject({
  workspaceId: IdText,
  credits: Amount,
  /** Made by the caller before the first try: sent again, it adds nothing. */
  referenceId: IdText,
  expiresAt: momentAhead().optional(),
  priority: z.int().min(-1000).max(1000).optional(),
});
export const RefundBody = z.strictObject({ workspaceId: IdText, jobId: IdText, credits: Amount.optional() });
export const BalanceView = z.object({ balance: z.number() });
