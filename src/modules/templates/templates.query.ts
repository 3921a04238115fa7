import type { EntityManager } from '@mikro-orm/postgresql';
import type { TemplateContact } from '#src/modules/templates/template.ts';

export type Category = 'marketing' | 'utility' | 'service';

/** A template in its current version. */
export interface TemplateRow {
  id: string;
  name: string;
  category: Category;
  language: string;
  version: number;
  body: string;
  variables: string[];
  created_at: Date;
  updated_at: Date;
}

export interface VersionRow {
  version: number;
  body: string;
  variables: string[];
  created_by: string | null;
  created_at: Date;
}

const COLUMNS = `t.id, t.name, t.category, t.language, t.current_version as version, v.body, v.variables, t.created_at, t.updated_at`;
const CURRENT = `message_template t join message_template_version v on v.workspace_id = current_workspace() and v.template_id = t.id
  and v.version = t.current_version`;

/** The newest first. */
export async function listTemplates(em: EntityManager, before: string | null, limit: number): Promise<TemplateRow[]> {
  return em.execute<TemplateRow[]>(
    `select ${COLUMNS} from ${CURRENT} where t.workspace_id = current_workspace() ${before === null ? '' : 'and t.id < ?::uuid'}
      order by t.id desc limit ${limit}`,
    before === null ? [] : [before],
  );
}

export async function findTemplate(em: EntityManager, id: string, isLocked = false): Promise<TemplateRow | undefined> {
  const rows = await em.execute<TemplateRow[]>(
    `select ${COLUMNS} from ${CURRENT} where t.workspace_id = current_workspace() and t.id = ?::uuid ${isLocked ? 'for update of t' : ''}`,
    [id],
  );
  return rows[0];
}

/** A template that is named by whoever uses a certain version of it. */
export async function findVersion(em: EntityManager, id: string, version: number): Promise<VersionRow | undefined> {
  const rows = await em.execute<VersionRow[]>(
    `select version, body, variables, created_by, created_at from message_template_version
      where workspace_id = current_workspace() and template_id = ?::uuid and version = ?`,
    [id, version],
  );
  return rows[0];
}

/** The newest first, below the number `before`. */
export async function listVersions(
  em: EntityManager,
  id: string,
  before: number | null,
  limit: number,
): Promise<VersionRow[]> {
  return em.execute<VersionRow[]>(
    `select version, body, variables, created_by, created_at from message_template_version
      where workspace_id = current_workspace() and template_id = ?::uuid ${before === null ? '' : 'and version < ?::int'}
      order by version desc limit ${limit}`,
    before === null ? [id] : [id, before],
  );
}

/** A version to be written. */
export interface NewVersion {
  body: string;
  variables: string[];
  createdBy: string;
}

export async function insertTemplate(
  em: EntityManager,
  { id, name, category, language }: { id: string; name: string; category: Category; language: string },
): Promise<void> {
  await em.execute(
    `insert into message_template (workspace_id, id, name, category, language, current_version)
      values (current_workspace(), ?, ?, ?, ?, 1)`,
    [id, name, category, language],
  );
}

/** Nothing of a version is ever changed: who uses it goes on saying what it said. */
export async function insertVersion(
  em: EntityManager,
  id: string,
  version: number,
  { body, variables, createdBy }: NewVersion,
): Promise<void> {
  await em.execute(
    `insert into message_template_version (workspace_id, template_id, version, body, variables, created_by)
      values (current_workspace(), ?, ?, ?, ?::json, ?)`,
    [id, version, body, JSON.stringify(variables), createdBy],
  );
}

export async function updateTemplate(
  em: EntityManager,
  { id, name, category, language, version }: Pick<TemplateRow, 'id' | 'name' | 'category' | 'language' | 'version'>,
): Promise<void> {
  await em.execute(
    `update message_template set name = ?, category = ?, language = ?, current_version = ?, updated_at = now()
      where workspace_id = current_workspace() and id = ?::uuid`,
    [name, category, language, version, id],
  );
}

export async function deleteTemplate(em: EntityManager, id: string): Promise<void> {
  await em.execute('delete from message_template where workspace_id = current_workspace() and id = ?::uuid', [id]);
}

/** The names of all templates of a language, folded as they are compared. */
export async function namesTaken(em: EntityManager, language: string): Promise<Set<string>> {
  const rows = await em.execute<{ name: string }[]>(
    `select lower(name) as name from message_template where workspace_id = current_workspace() and lower(language) = lower(?)`,
    [language],
  );
  return new Set(rows.map(({ name }) => name));
}

/** The keys of the workspace's own fields of contacts. */
export async function fieldKeys(em: EntityManager): Promise<Set<string>> {
  const rows = await em.execute<{ key: string }[]>(
    'select key from contact_field where workspace_id = current_workspace()',
  );
  return new Set(rows.map(({ key }) => key));
}

/** What a template can say of contacts that are there, by id. */
export async function findTemplateContacts(
  em: EntityManager,
  ids: readonly string[],
): Promise<Map<string, TemplateContact>> {
  const rows = await em.execute<
    (Omit<TemplateContact, 'customFields'> & { id: string; custom_fields: Record<string, unknown> })[]
  >(
    `select id, name, phone, email, company, position, custom_fields from contact
      where workspace_id = current_workspace() and deleted_at is null and id in (select i.id from json_to_recordset(?::json) as i (id uuid))`,
    [JSON.stringify(ids.map((id) => ({ id })))],
  );
  return new Map(rows.map(({ id, custom_fields: customFields, ...rest }) => [id, { ...rest, customFields }]));
}
