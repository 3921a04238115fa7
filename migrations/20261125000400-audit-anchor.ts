import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const PARAMETERS = `p_id uuid, p_actor_kind text, p_actor_id uuid, p_action text, p_target_type text, p_target_id text,
  p_before json, p_after json, p_ip text, p_user_agent text, p_request_id text`;

/** `returns` and what the function answers; the head is the one it met. */
const append = (returns: string, answer: string, forget: string) => `create function audit_append(${PARAMETERS})
returns ${returns} language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  ws constant uuid := current_workspace();
  head audit_head;
  entry audit_log;
begin
  if ws is null then
    raise exception 'audit_append: no workspace is set' using errcode = 'insufficient_privilege';
  end if;
  insert into audit_head (workspace_id, seq, hash) values (ws, 0, '') on conflict do nothing;
  select * into strict head from audit_head where workspace_id = ws for update;
  entry := row(ws, head.seq + 1, p_id, clock_timestamp(), p_actor_kind, p_actor_id, p_action, p_target_type, p_target_id,
    p_before, p_after, p_ip, p_user_agent, p_request_id, head.hash, '')::audit_log;
  entry.hash := sha256(convert_to(audit_canonical(entry), 'UTF8'));
  insert into audit_log select entry.*;
  update audit_head set seq = entry.seq, hash = entry.hash${forget} where workspace_id = ws;
  return ${answer};
end $$`;

// The codes are made outside of the database, with a key it never sees: so they come in a call of their own, in the same transaction.
const ANCHOR = `create function audit_anchor(p_key_id text, p_seqs bigint[], p_macs bytea[], p_head_mac bytea)
returns void language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
  ws constant uuid := current_workspace();
begin
  if ws is null then
    raise exception 'audit_anchor: no workspace is set' using errcode = 'insufficient_privilege';
  end if;
  insert into audit_mac (workspace_id, seq, key_id, mac)
    select ws, t.seq, p_key_id, t.mac from unnest(p_seqs, p_macs) as t (seq, mac) on conflict do nothing;
  update audit_head set mac = p_head_mac where workspace_id = ws and seq = p_seqs[cardinality(p_seqs)];
end $$`;

const ONLY_CALLED = (name: string) => [
  `revoke execute on function ${name} from public`,
  `grant execute on function ${name} to wh_app, wh_system`,
];

/** Codes of the entries and of the chain's end, under a key that is not in the database: who has the database alone cannot write a chain anew. */
export class AuditAnchor extends Migration {
  override up(): void {
    this.addSql('alter table audit_head add column mac bytea');
    this.addSql(`create table audit_mac (
      workspace_id uuid not null,
      seq bigint not null,
      key_id text not null,
      mac bytea not null,
      primary key (workspace_id, seq, key_id)
    )`);
    for (const sql of tenantTable('audit_mac')) this.addSql(sql);
    this.addSql(`create trigger audit_mac_append_only before update or delete or truncate on audit_mac
      for each statement execute function audit_refuse()`);
    this.addSql('revoke insert, update, delete, truncate on audit_mac from wh_app, wh_system');
    this.addSql('drop function audit_append');
    this.addSql(
      append(
        'json',
        `json_build_object('seq', entry.seq, 'hash', encode(entry.hash, 'hex'),
    'before', json_build_object('seq', head.seq, 'hash', encode(head.hash, 'hex'), 'mac', encode(head.mac, 'hex')))`,
        ', mac = null',
      ),
    );
    this.addSql(ANCHOR);
    for (const sql of [...ONLY_CALLED('audit_append'), ...ONLY_CALLED('audit_anchor')]) this.addSql(sql);
  }

  override down(): void {
    this.addSql('drop function audit_anchor, audit_append');
    this.addSql('drop table audit_mac');
    this.addSql('alter table audit_head drop column mac');
    this.addSql(append('bigint', 'entry.seq', ''));
    for (const sql of ONLY_CALLED('audit_append')) this.addSql(sql);
  }
}
