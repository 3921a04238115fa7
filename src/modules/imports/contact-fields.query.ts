import type { EntityManager } from '@mikro-orm/postgresql';
import type { CustomField } from '#src/modules/imports/columns.ts';

/** The fields the transaction's workspace has for its contacts, and the country of its phone numbers. */
export async function readPlace(em: EntityManager): Promise<{ fields: CustomField[]; country: string }> {
  const rows = await em.execute<{ fields: CustomField[]; country: string }[]>(
    `select w.country, (select coalesce(json_agg(json_build_object('key', f.key, 'name', f.name, 'kind', f.kind, 'options', f.options)
        order by f.key), '[]') from contact_field f where f.workspace_id = w.id) as fields
      from workspace w where w.id = current_workspace()`,
  );
  return rows[0] ?? { fields: [], country: '' };
}
