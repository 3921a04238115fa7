/**
 * The SQL that puts a wall around a workspace's rows of a table: row-level security, forced for the owner too. Without a workspace set
 * for the transaction (`app.workspace_id`) nothing can be read or written. Only the system role sees all workspaces; it runs the relay, the
 * sweepers and the rollups, no request. For migrations, right after `create table`.
 * @param table a table whose primary key begins with `column`
 * @param column the workspace's id
 * @returns statements to run in order
 */
export function tenantTable(table: string, column = 'workspace_id'): string[] {
  const isOwn = `${column} = (select current_workspace())`;
  return [
    `alter table ${table} enable row level security`,
    `alter table ${table} force row level security`,
    `create policy workspace on ${table} using (${isOwn}) with check (${isOwn})`,
    `create policy system on ${table} to wh_system using (true) with check (true)`,
  ];
}
