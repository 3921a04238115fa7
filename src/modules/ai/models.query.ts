import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';

/** What an operator said of a model; `body` as it was stored. */
export interface ModelOverrideRow {
  provider: string;
  model: string;
  body: unknown;
}

const COLUMNS = 'select provider, model, body from model_override';

/** All that operators said of models, in the order in which they said it. */
export async function findOverrides(pool: Pool): Promise<ModelOverrideRow[]> {
  const { rows } = await pool.query<ModelOverrideRow>({
    name: 'model-overrides',
    text: `${COLUMNS} order by updated_at, provider, model`,
  });
  return rows;
}

/** As `findOverrides`, with all other changes waiting until the transaction ends. */
export async function lockOverrides(em: EntityManager): Promise<ModelOverrideRow[]> {
  await em.execute(`select pg_advisory_xact_lock(hashtextextended('model_override', 0))`);
  return em.execute<ModelOverrideRow[]>(`${COLUMNS} order by updated_at, provider, model`);
}

export async function putOverride(em: EntityManager, { provider, model, body }: ModelOverrideRow): Promise<void> {
  await em.execute(
    `insert into model_override (provider, model, body) values (?, ?, ?::json)
     on conflict (provider, model) do update set body = excluded.body, updated_at = clock_timestamp()`,
    [provider, model, JSON.stringify(body)],
  );
}

export async function removeOverride(em: EntityManager, provider: string, model: string): Promise<void> {
  await em.execute('delete from model_override where provider = ? and model = ?', [provider, model]);
}
