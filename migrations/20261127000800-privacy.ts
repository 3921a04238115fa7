import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const OWN = 'workspace_id uuid not null';
const ofWorkspace = (table: string) =>
  `${OWN} constraint ${table}_workspace_id_foreign references workspace (id) on delete cascade`;

/**
 * Who is not to be written to, by a keyed hash of the number, so that the list outlives what is known of a person; what people agreed to, and
 * on what proof; and what was asked for by those who are to be forgotten, with a receipt.
 */
export class Privacy extends Migration {
  override up(): void {
    this.addSql(`create table suppression (
      ${ofWorkspace('suppression')},
      id uuid not null,
      address_hash bytea not null constraint suppression_address_hash_check check (length(address_hash) = 32),
      scope text not null default 'marketing' constraint suppression_scope_check check (scope in ('marketing')),
      reason text not null
        constraint suppression_reason_check check (reason in ('opt_out', 'complaint', 'invalid', 'erasure', 'manual')),
      source text not null constraint suppression_source_check check (source in ('contact', 'manual', 'import', 'erasure')),
      created_by uuid,
      created_at timestamptz not null default now(),
      primary key (workspace_id, id),
      constraint suppression_address unique (workspace_id, scope, address_hash)
    )`);
    this.addSql(`create table consent_event (
      ${OWN}, id uuid not null, contact_id uuid not null,
      decision text not null constraint consent_event_decision_check check (decision in ('granted', 'denied')),
      legal_basis text not null constraint consent_event_legal_basis_check
        check (legal_basis in ('consent', 'legitimate_interest', 'contract', 'legal_obligation')),
      proof text,
      actor_id uuid,
      created_at timestamptz not null default now(),
      primary key (workspace_id, id),
      constraint consent_event_contact_foreign foreign key (workspace_id, contact_id) references contact (workspace_id, id)
        on delete cascade
    )`);
    this.addSql('create index consent_event_contact on consent_event (workspace_id, contact_id, id)');
    this.addSql(`create table privacy_request (
      ${ofWorkspace('privacy_request')},
      id uuid not null,
      contact_id uuid not null,
      kind text not null default 'erasure' constraint privacy_request_kind_check check (kind in ('erasure')),
      requested_by uuid,
      receipt json not null default '[]',
      created_at timestamptz not null default now(),
      completed_at timestamptz,
      primary key (workspace_id, id)
    )`);
    this.addSql(
      'create unique index privacy_request_open on privacy_request (workspace_id, contact_id) where completed_at is null',
    );
    for (const table of ['suppression', 'consent_event', 'privacy_request'])
      for (const sql of tenantTable(table)) this.addSql(sql);
  }

  override down(): void {
    this.addSql('drop table privacy_request, consent_event, suppression');
  }
}
