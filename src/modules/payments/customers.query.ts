import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { Plan } from '#src/http/access-token.ts';

/** Whom a provider takes a workspace for. */
export async function findCustomer(pool: Pool, workspaceId: string): Promise<string | null> {
  const { rows } = await queryAs<{ ref: string }>(
    pool,
    { workspaceId },
    {
      name: 'customer-of-workspace',
      text: 'select provider_ref as ref from billing_customer where workspace_id = $1',
      values: [workspaceId],
    },
  );
  return rows[0]?.ref ?? null;
}

/** Keeps the first customer that is told. @returns that one */
export async function saveCustomer(em: EntityManager, provider: string, ref: string): Promise<string> {
  await em.execute(
    `insert into billing_customer (workspace_id, provider, provider_ref) values (current_workspace(), ?, ?)
      on conflict (workspace_id) do nothing`,
    [provider, ref],
  );
  const [row] = await em.execute<{ ref: string }[]>(
    'select provider_ref as ref from billing_customer where workspace_id = current_workspace()',
  );
  return row?.ref ?? ref;
}

/** Which workspace a provider's customer is; null: none of ours. */
export async function findWorkspaceOf(systemPool: Pool, provider: string, ref: string): Promise<string | null> {
  const { rows } = await systemPool.query<{ workspaceId: string }>({
    name: 'workspace-of-customer',
    text: `select workspace_id as "workspaceId" from billing_customer where provider = $1 and provider_ref = $2`,
    values: [provider, ref],
  });
  return rows[0]?.workspaceId ?? null;
}

/** An offer to pay that is open. */
export interface CheckoutRow {
  id: string;
  plan: Plan;
  ref: string | null;
  url: string | null;
  isOver: boolean;
}

export async function readOpenCheckout(em: EntityManager): Promise<CheckoutRow | null> {
  const [row] = await em.execute<CheckoutRow[]>(
    `select id, plan, provider_ref as ref, url, coalesce(expires_at <= now(), created_at < now() - interval '1 day') as "isOver"
      from checkout where workspace_id = current_workspace() and status = 'open'`,
  );
  return row ?? null;
}

export async function insertCheckout(em: EntityManager, id: string, plan: Plan): Promise<void> {
  await em.execute('insert into checkout (workspace_id, id, plan) values (current_workspace(), ?::uuid, ?)', [
    id,
    plan,
  ]);
}

/** Notes what the provider made of an open offer. */
export async function noteCheckout(
  em: EntityManager,
  id: string,
  made: { ref: string; url: string; expiresAt: Date },
): Promise<void> {
  await em.execute(
    `update checkout set provider_ref = ?, url = ?, expires_at = ?::timestamptz
      where workspace_id = current_workspace() and id = ?::uuid and status = 'open'`,
    [made.ref, made.url, made.expiresAt, id],
  );
}

/** An offer is no longer open. */
export async function closeCheckout(
  em: EntityManager,
  id: string,
  status: 'completed' | 'replaced' | 'expired',
): Promise<void> {
  await em.execute(
    `update checkout set status = ? where workspace_id = current_workspace() and id = ?::uuid and status = 'open'`,
    [status, id],
  );
}
