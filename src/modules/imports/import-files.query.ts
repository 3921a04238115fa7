import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';

/** All parts of a file but its last have this size, so that a place in it says in which part it is. */
export const CHUNK_BYTES = 262_144;
const READ_BYTES = 65_536;

/** A file as it came (`raw`), or the rows of it as CSV. */
export interface FilePart {
  workspaceId: string;
  importId: string;
  part: 'raw' | 'csv';
}

/** Writes a part of a file, in a transaction of its own. */
export async function insertChunk(
  pool: Pool,
  { workspaceId, importId, part }: FilePart,
  chunkNo: number,
  content: Buffer,
): Promise<void> {
  await queryAs(
    pool,
    { workspaceId },
    {
      name: 'import-chunk-write',
      text: `insert into import_file_chunk (workspace_id, import_id, part, chunk_no, content) values ($1, $2, $3, $4, $5)`,
      values: [workspaceId, importId, part, chunkNo, content],
    },
  );
}

/** The bytes from `start` up to `end` of a file that is being uploaded. */
export async function* readRange(
  pool: Pool,
  { workspaceId, importId, part }: FilePart,
  start: number,
  end: number,
): AsyncGenerator<Buffer> {
  for (let at = start; at < end;) {
    const { rows } = await queryAs<{ content: Buffer }>(
      pool,
      { workspaceId },
      {
        name: 'import-chunk-read',
        text: `select content from import_file_chunk where workspace_id = $1 and import_id = $2 and part = $3 and chunk_no = $4`,
        values: [workspaceId, importId, part, Math.floor(at / CHUNK_BYTES)],
      },
    );
    const from = at % CHUNK_BYTES;
    const content = rows[0]?.content.subarray(from, from + end - at);
    if (!content || content.length === 0) return;
    at += content.length;
    yield content;
  }
}

/**
 * The rows of a file from a place on, in the transaction of a step: about as much at a time as a step reads, since all of it goes through
 * memory twice, as hexadecimal digits too.
 */
export async function* readFrom(em: EntityManager, importId: string, start: number): AsyncGenerator<Buffer> {
  for (let at = start; ;) {
    const from = at % CHUNK_BYTES;
    const [row] = await em.execute<{ content: Buffer }[]>(
      `select substring(content from ? for ${READ_BYTES}) as content from import_file_chunk
        where workspace_id = current_workspace() and import_id = ?::uuid and part = 'csv' and chunk_no = ?`,
      [from + 1, importId, Math.floor(at / CHUNK_BYTES)],
    );
    if (!row || row.content.length === 0) return;
    at += row.content.length;
    yield row.content;
  }
}

/** Drops the parts of a file; of the raw one where it was read into rows. */
export async function deleteChunks(em: EntityManager, importId: string, part?: 'raw'): Promise<void> {
  await em.execute(
    `delete from import_file_chunk where workspace_id = current_workspace() and import_id = ?::uuid and (?::text is null or part = ?)`,
    [importId, part ?? null, part ?? null],
  );
}
