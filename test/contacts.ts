import type { EntityManager } from '@mikro-orm/postgresql';
import { Client } from 'pg';

const STEP = 100_000;

/**
 * Fills a workspace with contacts made in the course of two years: one name in a thousand is the same, ten are called Quaresma, digits of phones
 * are spread, three in four e-mails are of one domain; nine in ten are not archived, a third never wrote; the label `rare` is on 50 of them, `common` on every third. Each has an activity.
 */
export async function loadContacts(
  databaseUrl: string,
  { workspaceId, ownerId, count }: { workspaceId: string; ownerId: string; count: number },
): Promise<void> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    // Made anew at the end, they take a fraction of the time.
    const { rows: indexes } = await client.query<{ name: string; definition: string }>(
      `select indexname as name, indexdef as definition from pg_indexes where tablename = 'contact' and indexdef ilike '%using gin%'`,
    );
    for (const { name } of indexes) await client.query(`drop index ${name}`);
    // Neither keys of others nor marks are checked or made: what is loaded is right, and nobody counts it.
    await client.query('set session_replication_role = replica');
    for (let from = 0; from < count; from += STEP) {
      await client.query(
        `insert into contact (workspace_id, id, name, phone, email, company, owner_id, lead_score, consent, last_inbound_at, archived_at, created_at)
          select $1, uuidv7(at - now()), 'Contato ' || n || case when n % 1000 = 7 and n < 10000 then ' Quaresma' else ' Sobrenome' || n % 1000 end, '+55119' || lpad((n * 48271::bigint % 99999989)::text, 8, '0'),
            'p' || n || case hashint4(n) & 3 when 0 then '@empresa' || n % 5000 || '.com.br' else '@example.com' end,
            'Empresa ' || n % 5000, case when n % 4 = 0 then $2::uuid end, nullif(hashint4(n) & 127, 127) % 101,
            (array['granted', 'granted', 'unknown', 'denied'])[1 + (hashint4(n + 1) & 3)],
            case when n % 3 > 0 then at + (now() - at) * ((hashint4(n + 2) & 1023) / 1024.0) end, case when n % 10 = 0 then now() end, at
          from (select n, now() - (1 - n::float8 / $5) * interval '2 years' as at from generate_series($3::int, $4::int - 1) n) t`,
        [workspaceId, ownerId, from, Math.min(count, from + STEP), count],
      );
    }
    await client.query(
      `insert into label (workspace_id, id, name, color) select $1, uuidv7(), name, '#25d366' from unnest(array['rare', 'common']) name`,
      [workspaceId],
    );
    await client.query(
      `insert into contact_label (workspace_id, contact_id, label_id)
        select $1, c.id, l.id from (select id, row_number() over (order by id) as n from contact where workspace_id = $1) c
          join label l on l.workspace_id = $1 and case l.name when 'rare' then c.n % greatest($2::int / 50, 1) = 0 else c.n % 3 = 0 end`,
      [workspaceId, count],
    );
    await client.query(
      `insert into contact_identity (workspace_id, id, contact_id, kind, value)
        select workspace_id, uuidv7(), id, 'phone', phone from contact where workspace_id = $1`,
      [workspaceId],
    );
    await client.query(
      `insert into activity (workspace_id, id, type, contact_id, payload, occurred_at)
        select workspace_id, uuidv7(), 'contact.created', id, '{}', created_at from contact where workspace_id = $1`,
      [workspaceId],
    );
    await client.query('set session_replication_role = origin');
    await client.query(`set maintenance_work_mem = '256MB'`);
    for (const { definition } of indexes) await client.query(definition);
    for (const table of ['contact', 'contact_label', 'contact_identity', 'label', 'activity'])
      await client.query(`vacuum analyze ${table}`);
  } finally {
    await client.end();
  }
}

/** How Postgres would run a statement. */
export async function planOf(em: EntityManager, { sql, values }: { sql: string; values: unknown[] }): Promise<string> {
  const rows = await em.execute<{ 'QUERY PLAN': string }[]>(`explain (costs off) ${sql}`, values);
  return rows.map((row) => row['QUERY PLAN']).join('\n');
}
