import type { EntityManager } from '@mikro-orm/postgresql';
import type { PromptParams } from '#src/modules/prompts/prompts.schemas.ts';

export interface PromptRow {
  engine: string;
  language: PromptParams['language'];
  version: number;
  text: string;
  variables: string[];
  is_active: boolean;
  created_at: string;
  created_by_id: string | null;
}

const COLUMNS = `engine, language, version, text, to_json(variables) as variables, is_active, created_by_id,
  to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as created_at`;
const OF = 'workspace_id = ? and engine = ? and language = ?';

/** Where a prompt is kept: its workspace, engine and language. */
export interface PromptPlace extends PromptParams {
  workspaceId: string;
}
const ofPlace = ({ workspaceId, engine, language }: PromptPlace) => [workspaceId, engine, language];

/** The texts a workspace uses now. */
export function findActive(em: EntityManager, workspaceId: string): Promise<PromptRow[]> {
  return em.execute<PromptRow[]>(`select ${COLUMNS} from prompt where workspace_id = ? and is_active`, [workspaceId]);
}

/** Every kept text of one prompt, the newest first. */
export function findVersions(em: EntityManager, place: PromptPlace): Promise<PromptRow[]> {
  return em.execute<PromptRow[]>(`select ${COLUMNS} from prompt where ${OF} order by version desc`, ofPlace(place));
}

/** Makes other changes of the same prompt wait until the transaction ends. */
export async function lockPrompt(em: EntityManager, place: PromptPlace): Promise<void> {
  await em.execute('select pg_advisory_xact_lock(hashtextextended(?, 0))', [`prompt:${ofPlace(place).join('/')}`]);
}

/** Makes one version the text in use, or none of them. @returns how many rows it found */
export async function activate(em: EntityManager, place: PromptPlace, version: number | null): Promise<number> {
  await em.execute(
    `update prompt set is_active = false where ${OF} and is_active and version is distinct from ?::int`,
    [...ofPlace(place), version],
  );
  const rows = await em.execute<unknown[]>(
    `update prompt set is_active = true where ${OF} and version = ?::int returning version`,
    [...ofPlace(place), version],
  );
  return rows.length;
}

/** Adds a text, not yet in use. @param variables a JSON list of names */
export async function insertVersion(
  em: EntityManager,
  place: PromptPlace,
  row: { version: number; text: string; variables: string; createdBy: string },
): Promise<void> {
  await em.execute(
    `insert into prompt (workspace_id, engine, language, version, text, variables, is_active, created_by_id)
     values (?, ?, ?, ?, ?, array(select json_array_elements_text(?::json)), false, ?::uuid)`,
    [...ofPlace(place), row.version, row.text, row.variables, row.createdBy],
  );
}

/** Drops the oldest texts beyond `kept` that are not in use. */
export async function dropOldest(em: EntityManager, place: PromptPlace, kept: number): Promise<void> {
  await em.execute(
    `delete from prompt where ${OF} and not is_active and version in
       (select version from prompt where ${OF} order by version desc offset ?)`,
    [...ofPlace(place), ...ofPlace(place), kept],
  );
}
