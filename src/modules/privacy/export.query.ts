import type { EntityManager } from '@mikro-orm/postgresql';

const OWN = 'workspace_id = current_workspace()';

/** A table with rows that hang on a contact. */
export interface ContactTable {
  name: string;
  /** Whether its rows have an id to go on behind. */
  hasId: boolean;
}

/** Every table with a contact in it, as Postgres knows them, so that none is forgotten. */
export function findContactTables(em: EntityManager): Promise<ContactTable[]> {
  return em.execute<ContactTable[]>(
    `select c.relname as name, exists (select from pg_attribute i where i.attrelid = c.oid and i.attname = 'id' and not i.attisdropped) as "hasId"
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'contact_id' and not a.attisdropped
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1`,
  );
}

/** What is kept for searching says nothing else, and whose workspace it is everybody knows. */
const DERIVED = `array['workspace_id', 'search', 'name_key', 'company_key', 'email_key', 'phone_tail', 'phone_key', 'urgency', 'is_superseded']`;

/** The next rows of a table that hang on a contact, each as JSON text. Without an id all there are, which are few. */
export async function readContactRows(
  em: EntityManager,
  { name, hasId }: ContactTable,
  contactId: string,
  { after, limit }: { after: string | null; limit: number },
): Promise<{ id: string | null; document: string }[]> {
  const [id, next] = hasId ? ['t.id', 'and (?::uuid is null or t.id > ?::uuid) order by t.id'] : ['null::uuid', ''];
  return em.execute<{ id: string | null; document: string }[]>(
    `select ${id} as id, (to_jsonb(t) - ${DERIVED})::text as document from ${name} t where t.${OWN} and t.contact_id = ?::uuid ${next} limit ?`,
    hasId ? [contactId, after, after, limit] : [contactId, limit],
  );
}

/** The contact itself, as JSON text. */
export async function readContactRow(em: EntityManager, contactId: string): Promise<string> {
  const [row] = await em.execute<{ document: string }[]>(
    `select (to_jsonb(c) - ${DERIVED} || jsonb_build_object('labels', (select coalesce(jsonb_agg(l.name order by l.name), '[]')
        from contact_label cl join label l on l.workspace_id = cl.workspace_id and l.id = cl.label_id
        where cl.${OWN} and cl.contact_id = c.id)))::text as document
      from contact c where c.${OWN} and c.id = ?::uuid`,
    [contactId],
  );
  return row?.document ?? 'null';
}
