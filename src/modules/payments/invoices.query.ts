import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { Plan } from '#src/http/access-token.ts';
import type { InvoiceStatus } from '#src/modules/payments/provider.ts';
import type { ProviderName } from '#src/modules/payments/subscriptions.query.ts';

export const HELD = ['amount', 'price', 'subscription'] as const;
/** Why a paid invoice gave nothing and waits for an operator. */
export type Held = (typeof HELD)[number];

/** An invoice. Amounts in minor units, credits in micro-credits, moments as ISO texts in UTC. */
export interface InvoiceRow {
  id: string;
  subscriptionId: string;
  provider: ProviderName;
  providerRef: string;
  plan: Plan | null;
  reason: 'period' | 'change' | 'other';
  amountMinor: number;
  currency: string;
  status: InvoiceStatus;
  periodStart: string | null;
  periodEnd: string | null;
  dueAt: string | null;
  paidAt: string | null;
  url: string | null;
  refundedMinor: number;
  /** The provider's time of what is known of that. */
  refundKnownAt: string | null;
  /** What banks ask back of it, or took. */
  disputedMinor: number;
  credits: number;
  creditsReversed: number;
  /** What was returned and had been spent. */
  creditsUncollected: number;
  held: Held | null;
  createdAt: string;
}

const at = (column: string, name: string) =>
  `to_char(i.${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "${name}"`;

const COLUMNS = `i.id, i.subscription_id as "subscriptionId", i.provider, i.provider_ref as "providerRef", i.plan, i.reason,
  i.amount_minor::float8 as "amountMinor", i.currency, i.status, ${at('period_start', 'periodStart')}, ${at('period_end', 'periodEnd')},
  ${at('due_at', 'dueAt')}, ${at('paid_at', 'paidAt')}, i.url, i.refunded_minor::float8 as "refundedMinor",
  ${at('refund_known_at', 'refundKnownAt')},
  i.disputed_minor::float8 as "disputedMinor", i.credits::float8,
  i.credits_reversed::float8 as "creditsReversed", i.credits_uncollected::float8 as "creditsUncollected", i.held,
  ${at('created_at', 'createdAt')}`;

/** Invoices of a workspace, newest first. @param page.before the id of the last of the page before */
export async function listInvoices(
  pool: Pool,
  page: { workspaceId: string; status: InvoiceStatus | undefined; before: string | undefined; limit: number },
): Promise<InvoiceRow[]> {
  const { rows } = await queryAs<InvoiceRow>(pool, page, {
    name: 'invoice-list',
    text: `select ${COLUMNS} from invoice i where i.workspace_id = $1 and ($2::text is null or i.status = $2)
      and ($3::uuid is null or i.id < $3) order by i.id desc limit $4`,
    values: [page.workspaceId, page.status ?? null, page.before ?? null, page.limit],
  });
  return rows;
}

export async function findInvoice(pool: Pool, workspaceId: string, id: string): Promise<InvoiceRow | null> {
  const { rows } = await queryAs<InvoiceRow>(
    pool,
    { workspaceId },
    {
      name: 'invoice-one',
      text: `select ${COLUMNS} from invoice i where i.workspace_id = $1 and i.id = $2`,
      values: [workspaceId, id],
    },
  );
  return rows[0] ?? null;
}

/** What operators look for: manual ones to be paid, held ones, and those that banks ask back. */
export const WAITING = ['payment', 'release', 'dispute'] as const;
const WAITS: Record<(typeof WAITING)[number], string> = {
  payment: `i.provider = 'manual' and i.status = 'open'`,
  release: 'i.held is not null',
  dispute: `i.id in (select d.invoice_id from payment_dispute d where d.status = 'open')`,
};

/** Of all workspaces, invoices that wait for an operator, newest first. @param page.before the id of the last of the page before */
export async function listWaiting(
  systemPool: Pool,
  page: { waiting: (typeof WAITING)[number]; before: string | undefined; limit: number },
): Promise<(InvoiceRow & { workspaceId: string })[]> {
  const { rows } = await systemPool.query<InvoiceRow & { workspaceId: string }>({
    name: `invoice-waiting-${page.waiting}`,
    text: `select i.workspace_id as "workspaceId", ${COLUMNS} from invoice i
      where ${WAITS[page.waiting]} and ($1::uuid is null or i.id < $1) order by i.id desc limit $2`,
    values: [page.before ?? null, page.limit],
  });
  return rows;
}

/** Whose invoice it is, for operators. */
export async function findWorkspaceOfInvoice(systemPool: Pool, id: string): Promise<string | null> {
  const { rows } = await systemPool.query<{ workspaceId: string }>({
    name: 'workspace-of-invoice',
    text: `select i.workspace_id as "workspaceId" from workspace w join invoice i on i.workspace_id = w.id where i.id = $1`,
    values: [id],
  });
  return rows[0]?.workspaceId ?? null;
}

export type InvoiceKey = { id: string } | { provider: ProviderName; ref: string } | { paymentRef: string };

function whereOf(key: InvoiceKey): [sql: string, values: string[]] {
  if ('id' in key) return ['i.id = ?::uuid', [key.id]];
  if ('paymentRef' in key) return ['i.payment_ref = ?', [key.paymentRef]];
  return ['i.provider = ? and i.provider_ref = ?', [key.provider, key.ref]];
}

/** In a transaction that has locked the workspace. */
export async function readInvoice(em: EntityManager, key: InvoiceKey): Promise<InvoiceRow | null> {
  const [where, values] = whereOf(key);
  const sql = `select ${COLUMNS} from invoice i where i.workspace_id = current_workspace() and ${where}`;
  const [row] = await em.execute<InvoiceRow[]>(sql, values);
  return row ?? null;
}

/** Those of a subscription that are to be paid. */
export function readOpenInvoices(em: EntityManager, subscriptionId: string): Promise<InvoiceRow[]> {
  return em.execute<InvoiceRow[]>(
    `select ${COLUMNS} from invoice i where i.workspace_id = current_workspace() and i.subscription_id = ?::uuid and i.status = 'open'
      order by i.id`,
    [subscriptionId],
  );
}

/** The invoice of a subscription's next period, where that is paid already. */
export async function readPaidAhead(
  em: EntityManager,
  { id, periodEnd }: { id: string; periodEnd: string | null },
): Promise<InvoiceRow | null> {
  const [row] = await em.execute<InvoiceRow[]>(
    `select ${COLUMNS} from invoice i where i.workspace_id = current_workspace() and i.subscription_id = ?::uuid and i.status = 'paid'
      and i.reason = 'period' and i.period_start >= ?::timestamptz order by i.id limit 1`,
    [id, periodEnd],
  );
  return row ?? null;
}

export type NewInvoice = Omit<
  InvoiceRow,
  | 'refundedMinor'
  | 'refundKnownAt'
  | 'disputedMinor'
  | 'credits'
  | 'creditsReversed'
  | 'creditsUncollected'
  | 'held'
  | 'createdAt'
  | 'paidAt'
>;

const GIVEN = [
  ['subscription_id', 'subscriptionId', 'uuid'],
  ['provider', 'provider', 'text'],
  ['provider_ref', 'providerRef', 'text'],
  ['plan', 'plan', 'text'],
  ['reason', 'reason', 'text'],
  ['amount_minor', 'amountMinor', 'bigint'],
  ['currency', 'currency', 'text'],
  ['status', 'status', 'text'],
  ['period_start', 'periodStart', 'timestamptz'],
  ['period_end', 'periodEnd', 'timestamptz'],
  ['due_at', 'dueAt', 'timestamptz'],
  ['url', 'url', 'text'],
] as const;

/** Writes an invoice down as it is now; one that is there already is changed. */
export async function saveInvoice(em: EntityManager, invoice: NewInvoice): Promise<void> {
  const columns = GIVEN.map(([column]) => column);
  await em.execute(
    `insert into invoice (workspace_id, id, ${columns.join()})
      values (current_workspace(), ?::uuid, ${GIVEN.map(([, , type]) => `?::${type}`).join()})
      on conflict (workspace_id, id) do update set updated_at = now(), ${columns.map((one) => `${one} = excluded.${one}`).join()}`,
    [invoice.id, ...GIVEN.map(([, field]) => invoice[field])],
  );
}

/** An invoice was paid, and gave this. @param paid.credits micro-credits */
export async function markPaid(
  em: EntityManager,
  paid: { id: string; paidAt: string; credits: number; held: Held | null },
): Promise<void> {
  await em.execute(
    `update invoice set status = 'paid', paid_at = ?::timestamptz, credits = ?::bigint, held = ?, updated_at = now()
      where workspace_id = current_workspace() and id = ?::uuid`,
    [paid.paidAt, paid.credits, paid.held, paid.id],
  );
}

/** What was given back of an invoice so far or is asked back, and of its credits. */
export async function markReturned(
  em: EntityManager,
  one: Pick<
    InvoiceRow,
    'id' | 'refundedMinor' | 'refundKnownAt' | 'disputedMinor' | 'creditsReversed' | 'creditsUncollected' | 'held'
  >,
): Promise<void> {
  await em.execute(
    `update invoice set refunded_minor = ?::bigint, refund_known_at = ?::timestamptz, disputed_minor = ?::bigint, credits_reversed = ?::bigint,
        credits_uncollected = ?::bigint, held = ?, updated_at = now()
      where workspace_id = current_workspace() and id = ?::uuid`,
    [
      one.refundedMinor,
      one.refundKnownAt,
      one.disputedMinor,
      one.creditsReversed,
      one.creditsUncollected,
      one.held,
      one.id,
    ],
  );
}

export async function notePayment(em: EntityManager, id: string, paymentRef: string): Promise<void> {
  await em.execute('update invoice set payment_ref = ? where workspace_id = current_workspace() and id = ?::uuid', [
    paymentRef,
    id,
  ]);
}

/** Takes back what is left of what was granted by a reference. @returns how much that was, in micro-credits */
export async function reverseCredits(
  em: EntityManager,
  grant: { workspaceId: string; referenceId: string; microCredits: number },
): Promise<number> {
  const [row] = await em.execute<{ taken: string }[]>('select credit_reverse(?::uuid, ?::uuid, ?::bigint) as taken', [
    grant.workspaceId,
    grant.referenceId,
    grant.microCredits,
  ]);
  return Number(row?.taken ?? 0);
}

/** Gives back what was taken back of what was granted by a reference. @param grant.until when it may expire at the earliest @returns how much */
export async function restoreCredits(
  em: EntityManager,
  grant: { workspaceId: string; referenceId: string; microCredits: number; until: Date },
): Promise<number> {
  const [row] = await em.execute<{ given: string }[]>(
    'select credit_restore(?::uuid, ?::uuid, ?::bigint, ?::timestamptz) as given',
    [grant.workspaceId, grant.referenceId, grant.microCredits, grant.until],
  );
  return Number(row?.given ?? 0);
}

/** Of all workspaces, open invoices that are due soon and of which nobody was reminded. @param days before they are due */
export async function findToRemind(systemPool: Pool, days: number): Promise<{ workspaceId: string; id: string }[]> {
  const { rows } = await systemPool.query<{ workspaceId: string; id: string }>({
    name: 'invoice-remind',
    text: `select workspace_id as "workspaceId", id from invoice where provider = 'manual' and status = 'open' and reminded_at is null
      and due_at <= now() + $1 * interval '1 day' limit 100`,
    values: [days],
  });
  return rows;
}

/** @returns whether nobody was reminded before, and it is still to be paid */
export async function noteReminded(em: EntityManager, id: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `update invoice set reminded_at = now() where workspace_id = current_workspace() and id = ?::uuid and reminded_at is null
      and status = 'open' returning 1`,
    [id],
  );
  return rows.length > 0;
}
