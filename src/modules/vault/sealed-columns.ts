/** A column of a tenant table that the vault seals: `id` is the column whose value is the place's row id. */
export interface SealedColumn {
  table: string;
  column: string;
  id: string;
}

/** Every column the vault seals. One that is not listed is not sealed anew when keys change. */
export const SEALED_COLUMNS: readonly SealedColumn[] = [
  { table: 'workspace_setting', column: 'sealed', id: 'key' },
  { table: 'webhook', column: 'secrets', id: 'id' },
  { table: 'idempotent_request', column: 'answer', id: 'id' },
  { table: 'channel', column: 'secrets', id: 'id' },
];
