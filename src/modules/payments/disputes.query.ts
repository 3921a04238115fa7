import type { EntityManager } from '@mikro-orm/postgresql';
import type { DisputeStatus } from '#src/modules/payments/provider.ts';

/** A payment that a bank asks back. */
export interface DisputeRow {
  id: string;
  invoiceId: string;
  provider: 'stripe';
  providerRef: string;
  status: DisputeStatus;
  /** In minor units of its invoice's currency. */
  amountMinor: number;
  /** The provider's time of what is known of it, ISO text in UTC. */
  knownAt: string;
}

/** In a transaction that has locked the workspace. */
export async function readDispute(em: EntityManager, provider: string, ref: string): Promise<DisputeRow | null> {
  const [row] = await em.execute<DisputeRow[]>(
    `select d.id, d.invoice_id as "invoiceId", d.provider, d.provider_ref as "providerRef", d.status, d.amount_minor::float8 as "amountMinor",
        to_char(d.known_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "knownAt"
      from payment_dispute d where d.workspace_id = current_workspace() and d.provider = ? and d.provider_ref = ?`,
    [provider, ref],
  );
  return row ?? null;
}

/** Writes a dispute down as it is now; one that is there already is changed. */
export async function saveDispute(em: EntityManager, dispute: DisputeRow): Promise<void> {
  const { id, invoiceId, provider, providerRef, status, amountMinor, knownAt } = dispute;
  await em.execute(
    `insert into payment_dispute (workspace_id, id, invoice_id, provider, provider_ref, status, amount_minor, known_at)
      values (current_workspace(), ?::uuid, ?::uuid, ?, ?, ?, ?::bigint, ?::timestamptz)
      on conflict (workspace_id, id) do update set status = excluded.status, amount_minor = excluded.amount_minor, known_at = excluded.known_at`,
    [id, invoiceId, provider, providerRef, status, amountMinor, knownAt],
  );
}

/** What of an invoice is asked back by its disputes together, or was lost so, in minor units. */
export async function sumDisputed(em: EntityManager, invoiceId: string): Promise<number> {
  const [row] = await em.execute<{ sum: number }[]>(
    `select coalesce(sum(d.amount_minor), 0)::float8 as sum from payment_dispute d
      where d.workspace_id = current_workspace() and d.invoice_id = ?::uuid and d.status in ('open', 'lost')`,
    [invoiceId],
  );
  return row?.sum ?? 0;
}
