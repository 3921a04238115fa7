import { generateNKeysBetween } from 'fractional-indexing';
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

/** Contacts with an open deal each, of these owners, in one stage: who asks for deals finds out of whom. */
export async function ownedDeals(
  client: Pick<ClientBase, 'query'>,
  { auth }: TestUser,
  owners: readonly string[],
): Promise<{ pipelineId: string; stageId: string; contactIds: string[] }> {
  const { rows } = await client.query<{ pipelineId: string; stageId: string }>(
    `select pipeline_id as "pipelineId", id as "stageId" from pipeline_stage where workspace_id = $1 and kind = 'open' order by id limit 1`,
    [auth.workspaceId],
  );
  const [stage] = rows;
  if (!stage) throw new Error('A workspace begins with a pipeline');
  const contactIds = owners.map(() => newId());
  await client.query(`insert into contact (workspace_id, id, name) select $1, id, 'Bia' from unnest($2::uuid[]) id`, [
    auth.workspaceId,
    contactIds,
  ]);
  const [contactId = ''] = contactIds;
  await fillStages(client, { workspaceId: auth.workspaceId, contactId, owners }, [[stage.stageId, owners.length]]);
  await client.query(
    `update deal d set contact_id = o.contact_id from unnest($2::uuid[], $3::uuid[]) o (owner_id, contact_id)
      where d.workspace_id = $1 and d.owner_id = o.owner_id`,
    [auth.workspaceId, owners, contactIds],
  );
  return { ...stage, contactIds };
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

/** Fills stages with open deals, as many as each is to have, made and expected over a year, some without a date, of some owners. */
export async function fillStages(
  client: Pick<ClientBase, 'query'>,
  { workspaceId, contactId, owners }: { workspaceId: string; contactId: string; owners: readonly string[] },
  stages: readonly (readonly [stageId: string, deals: number])[],
): Promise<void> {
  for (const [stageId, deals] of stages)
    await client.query(
      `insert into deal (workspace_id, id, title, contact_id, pipeline_id, stage_id, owner_id, status, amount_minor, currency, position,
          expected_close, created_at)
        select $1, uuidv7(), 'Negócio ' || n, $2, s.pipeline_id, s.id, ($3::uuid[])[1 + n % cardinality($3::uuid[])], 'open', n * 7919 % 1000003,
          'BRL', t.position, case when n % 10 > 0 then (now() + (n * 31 % 365) * interval '1 day')::date end,
          now() - (n * 17 % 31000000) * interval '1 second'
        from unnest($4::text[]) with ordinality t (position, n) join pipeline_stage s on s.workspace_id = $1 and s.id = $5`,
      [workspaceId, contactId, owners, generateNKeysBetween(null, null, deals), stageId],
    );
}
