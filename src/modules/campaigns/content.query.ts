import type { EntityManager } from '@mikro-orm/postgresql';

/** The current version of a template. */
export async function findTemplateText(
  em: EntityManager,
  id: string,
): Promise<{ body: string; version: number } | undefined> {
  const [row] = await em.execute<{ body: string; version: number }[]>(
    `select v.body, v.version from message_template t join message_template_version v on v.workspace_id = t.workspace_id
        and v.template_id = t.id and v.version = t.current_version
      where t.workspace_id = current_workspace() and t.id = ?::uuid`,
    [id],
  );
  return row;
}

/** The keys of the workspace's own fields of contacts. */
export async function readFieldKeys(em: EntityManager): Promise<string[]> {
  const rows = await em.execute<{ key: string }[]>(
    'select key from contact_field where workspace_id = current_workspace()',
  );
  return rows.map(({ key }) => key);
}
