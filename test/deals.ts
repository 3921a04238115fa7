import type { ClientBase } from 'pg';
import type { Runtime } from '#src/runtime.ts';
import type { TestUser } from '#test/factories.ts';
import { newId } from '#src/lib/ids.ts';

/** A contact of a user's workspace that nobody looks after; its id. */
export async function aContact({ systemPool }: Pick<Runtime, 'systemPool'>, { auth }: TestUser): Promise<string> {
  const id = newId();
  await systemPool.query('insert into contact (workspace_id, id, name) values ($1, $2, $3)', [
    auth.workspaceId,
    id,
    'Bia',
  ]);
  return id;
}

/** What the stages of a workspace come to, as it is kept and as it is counted plainly; a line for each stage, currency and owner. */
export async function totalsOf(
  client: Pick<ClientBase, 'query'>,
  workspaceId: string,
): Promise<{ kept: string[]; counted: string[] }> {
  const lines = async (sql: string) =>
    (await client.query<{ line: string }>(`select t::text as line from (${sql}) t order by 1`, [workspaceId])).rows.map(
      ({ line }) => line,
    );
  return {
    kept: await lines(`select stage_id, currency, owner_id, deals::bigint, amount_minor from deal_total
      where workspace_id = $1 and (deals <> 0 or amount_minor <> 0)`),
    counted: await lines(`select stage_id, currency, owner_id, count(*), sum(amount_minor) from deal
      where workspace_id = $1 and deleted_at is null group by 1, 2, 3`),
  };
}
