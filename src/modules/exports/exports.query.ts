import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';
import type { Condition } from '#src/modules/segments/compile-filter.query.ts';

export type ExportFormat = 'csv' | 'ndjson';

/** An export as it is kept, with how far its operation is. */
export interface ExportRow {
  id: string;
  user_id: string;
  format: ExportFormat;
  row_count: number | null;
  size_bytes: number | null;
  created_at: Date;
  expires_at: Date;
  operation_status: 'queued' | 'active' | 'completed' | 'failed' | 'cancelled' | null;
  done: number | null;
  problem: unknown;
  finished_at: Date | null;
}

/** A contact as it goes into a file. */
export interface ExportedContact {
  id: string;
  name: string;
  phone: string | null;
  email: string | null;
  company: string | null;
  position: string | null;
  labels: string[];
  ownerId: string | null;
  consent: string;
  leadScore: number | null;
  sentiment: string | null;
  createdAt: string;
  lastInboundAt: string | null;
  lastOutboundAt: string | null;
  customFields: Record<string, unknown>;
}

/** @returns whether there was room: a workspace has `max` exports at most */
export async function insertExport(
  em: EntityManager,
  one: { id: string; userId: string; format: ExportFormat },
  max: number,
): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `insert into contact_export (workspace_id, id, user_id, format) select current_workspace(), ?::uuid, ?::uuid, ?::text
      where (select count(*) from contact_export where workspace_id = current_workspace() and expires_at > now()) < ? returning id`,
    [one.id, one.userId, one.format, max],
  );
  return rows.length === 1;
}

/** An export that has not expired. */
export async function findExport(em: EntityManager, id: string): Promise<ExportRow | undefined> {
  const rows = await em.execute<ExportRow[]>(
    `select e.id, e.user_id, e.format, e.row_count, e.size_bytes::float8 as size_bytes, e.created_at, e.expires_at,
        o.status as operation_status, o.done::float8 as done, o.problem, o.finished_at
      from contact_export e left join bulk_operation o on o.workspace_id = e.workspace_id and o.id = e.id
      where e.workspace_id = current_workspace() and e.id = ?::uuid and e.expires_at > now()`,
    [id],
  );
  return rows[0];
}

const time = (column: string, name: string) =>
  `to_char(c.${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "${name}"`;

/** The next contacts of a list, by id. @param ownerId only whom that member looks after */
export async function readContacts(
  em: EntityManager,
  where: Condition,
  { after, upTo, ownerId, limit }: { after: string | null; upTo: string; ownerId: string | null; limit: number },
): Promise<ExportedContact[]> {
  return em.execute<ExportedContact[]>(
    `select c.id, c.name, c.phone, c.email, c.company, c.position, c.owner_id as "ownerId", c.consent, c.lead_score as "leadScore", c.sentiment,
        ${time('created_at', 'createdAt')}, ${time('last_inbound_at', 'lastInboundAt')}, ${time('last_outbound_at', 'lastOutboundAt')},
        c.custom_fields as "customFields", (select coalesce(json_agg(l.name order by lower(l.name)), '[]') from contact_label cl
          join label l on l.workspace_id = cl.workspace_id and l.id = cl.label_id
          where cl.workspace_id = c.workspace_id and cl.contact_id = c.id) as labels
      from contact c where c.workspace_id = current_workspace() and c.deleted_at is null and (?::uuid is null or c.owner_id = ?::uuid)
        and (?::uuid is null or c.id > ?::uuid) and c.id <= ?::uuid and ${where.sql} order by c.id limit ${limit}`,
    [ownerId, ownerId, after, after, upTo, ...where.params],
  );
}

export async function insertExportChunk(
  em: EntityManager,
  exportId: string,
  chunkNo: number,
  content: Buffer,
): Promise<void> {
  await em.execute(
    `insert into contact_export_chunk (workspace_id, export_id, chunk_no, content) values (current_workspace(), ?::uuid, ?, ?::bytea)`,
    [exportId, chunkNo, content],
  );
}

/** The file is whole. */
export async function completeExport(em: EntityManager, id: string, rows: number, bytes: number): Promise<void> {
  await em.execute(
    `update contact_export set row_count = ?, size_bytes = ? where workspace_id = current_workspace() and id = ?::uuid`,
    [rows, bytes, id],
  );
}

/** What there is of a file that will not be whole goes. */
export async function deleteExportChunks(em: EntityManager, exportId: string): Promise<void> {
  await em.execute(
    'delete from contact_export_chunk where workspace_id = current_workspace() and export_id = ?::uuid',
    [exportId],
  );
}

/** @returns a part of a file, or undefined behind the last */
export async function readExportChunk(
  pool: Pool,
  workspaceId: string,
  exportId: string,
  chunkNo: number,
): Promise<Buffer | undefined> {
  const { rows } = await queryAs<{ content: Buffer }>(
    pool,
    { workspaceId },
    {
      name: 'contact-export-read',
      text: `select content from contact_export_chunk where workspace_id = $1 and export_id = $2 and chunk_no = $3`,
      values: [workspaceId, exportId, chunkNo],
    },
  );
  return rows[0]?.content;
}

/** Drops exports an hour after they expired, so that who has begun to read one gets all of it, as the system. @returns how many; call again while > 0 */
export async function purgeContactExports(systemPool: Pool): Promise<number> {
  const { rowCount } = await systemPool.query(
    `delete from contact_export where (workspace_id, id) in
      (select workspace_id, id from contact_export where expires_at < now() - interval '1 hour' order by expires_at limit 20)`,
  );
  return rowCount ?? 0;
}
