import { Migration } from '@mikro-orm/migrations';
import { tenantTable } from '#src/db/tenant-table.ts';

const ofImport = (table: string) =>
  `constraint ${table}_import_foreign foreign key (workspace_id, import_id) references contact_import (workspace_id, id) on delete cascade`;

/**
 * Files of contacts on their way in and out. A file is kept in parts, so that any process can read it, and goes when its rows are in; what
 * became of each row stays for thirty days.
 */
export class Imports extends Migration {
  override up(): void {
    this.addSql(`create table contact_import (
      workspace_id uuid not null constraint contact_import_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      user_id uuid not null,
      status text not null default 'uploading'
        constraint contact_import_status_check check (status in ('uploading', 'uploaded', 'started')),
      file_name text,
      format text,
      encoding text,
      delimiter text,
      is_utf8 boolean not null default true,
      columns json not null default '[]',
      preview json not null default '[]',
      data_offset bigint not null default 0,
      row_count int not null default 0,
      size_bytes bigint not null default 0,
      operation_id uuid,
      mode text,
      is_dry_run boolean not null default false,
      created_at timestamptz not null default now(),
      expires_at timestamptz not null default now() + interval '30 days',
      primary key (workspace_id, id)
    )`);
    this.addSql('create index contact_import_expired on contact_import (expires_at)');
    this.addSql(`create table import_file_chunk (
      workspace_id uuid not null,
      import_id uuid not null,
      part text not null constraint import_file_chunk_part_check check (part in ('raw', 'csv')),
      chunk_no int not null,
      content bytea not null,
      primary key (workspace_id, import_id, part, chunk_no),
      ${ofImport('import_file_chunk')}
    )`);
    this.addSql(`create table import_row (
      workspace_id uuid not null,
      import_id uuid not null,
      row_no int not null,
      status text not null constraint import_row_status_check check (status in ('created', 'updated', 'skipped', 'invalid')),
      contact_id uuid,
      reason text,
      column_no int,
      cells json,
      primary key (workspace_id, import_id, row_no),
      ${ofImport('import_row')}
    )`);
    this.addSql('create index import_row_status on import_row (workspace_id, import_id, status, row_no)');
    // Who a dry run would have made or changed, by what they are known by: a later row is about the same person.
    this.addSql(`create table import_identity (
      workspace_id uuid not null,
      import_id uuid not null,
      identity text not null,
      person json not null,
      primary key (workspace_id, import_id, identity),
      ${ofImport('import_identity')}
    )`);
    this.addSql(`create table contact_export (
      workspace_id uuid not null constraint contact_export_workspace_id_foreign references workspace (id) on delete cascade,
      id uuid not null,
      user_id uuid not null,
      format text not null constraint contact_export_format_check check (format in ('csv', 'ndjson')),
      row_count int,
      size_bytes bigint,
      created_at timestamptz not null default now(),
      expires_at timestamptz not null default now() + interval '3 days',
      primary key (workspace_id, id)
    )`);
    this.addSql('create index contact_export_expired on contact_export (expires_at)');
    this.addSql(`create table contact_export_chunk (
      workspace_id uuid not null,
      export_id uuid not null,
      chunk_no int not null,
      content bytea not null,
      primary key (workspace_id, export_id, chunk_no),
      constraint contact_export_chunk_export_foreign foreign key (workspace_id, export_id)
        references contact_export (workspace_id, id) on delete cascade
    )`);
    for (const table of ['import_file_chunk', 'contact_export_chunk'])
      this.addSql(`alter table ${table} alter column content set storage external`);
    for (const table of [
      'contact_import',
      'import_file_chunk',
      'import_row',
      'import_identity',
      'contact_export',
      'contact_export_chunk',
    ])
      for (const sql of tenantTable(table)) this.addSql(sql);
  }

  override down(): void {
    this.addSql(
      'drop table contact_export_chunk, contact_export, import_identity, import_row, import_file_chunk, contact_import',
    );
  }
}
