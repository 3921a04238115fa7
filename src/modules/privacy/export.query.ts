import type { EntityManager } from '@mikro-orm/postgresql';
import type { DealsOf } from '#src/modules/activities/activity-sight.ts';

const OWN = 'workspace_id = current_workspace()';

/** A table with rows that hang on a contact. */
export interface ContactTable {
  name: string;
  /** Whether its rows have an id to go on behind. */
  hasId: boolean;
  /** The column that names a deal, where it has one. */
  deal: 'id' | 'deal_id' | null;
}

/** Every table with a contact in it, as Postgres knows them, so that none is forgotten. */
export function findContactTables(em: EntityManager): Promise<ContactTable[]> {
  return em.execute<ContactTable[]>(
    `select c.relname as name, exists (select from pg_attribute i where i.attrelid = c.oid and i.attname = 'id' and not i.attisdropped) as "hasId",
        case when c.relname = 'deal' then 'id' when exists (select from pg_attribute d where d.attrelid = c.oid and d.attname = 'deal_id'
          and not d.attisdropped) then 'deal_id' end as deal
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'contact_id' and not a.attisdropped
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1`,
  );
}

/** What is kept for searching says nothing else, and whose workspace it is everybody knows. */
const DERIVED = `array['workspace_id', 'search', 'name_key', 'company_key', 'email_key', 'phone_tail', 'phone_key', 'urgency', 'is_superseded']`;

/** Rows of a table that a caller may be told of: those of no deal, and of deals they may see. */
function ofSeen({ deal }: ContactTable, dealsOf: DealsOf): [sql: string, values: string[]] {
  if (deal === null || dealsOf === 'all') return ['', []];
  if (dealsOf === 'nobody') return [deal === 'id' ? 'and false' : `and t.${deal} is null`, []];
  const sees = `exists (select from deal d where d.${OWN} and d.id = t.${deal} and d.owner_id = ?::uuid)`;
  return [`and (t.${deal} is null or ${sees})`, [dealsOf.userId]];
}

/**
 * The next rows of a table that hang on a contact, each as JSON text. Without an id all there are, which are few.
 * @param page.dealsOf whose deals may be told of; unless it is everybody's, neither is told what of them makes up a score
 */
export async function readContactRows(
  em: EntityManager,
  table: ContactTable,
  contactId: string,
  { dealsOf, after, limit }: { dealsOf: DealsOf; after: string | null; limit: number },
): Promise<{ id: string | null; document: string }[]> {
  const { name, hasId } = table;
  const [seen, owner] = ofSeen(table, dealsOf);
  const hidden = name === 'lead_score' && dealsOf !== 'all' ? ` - 'components'` : '';
  const [id, next] = hasId ? ['t.id', 'and (?::uuid is null or t.id > ?::uuid) order by t.id'] : ['null::uuid', ''];
  return em.execute<{ id: string | null; document: string }[]>(
    `select ${id} as id, (to_jsonb(t) - ${DERIVED}${hidden})::text as document from ${name} t
      where t.${OWN} and t.contact_id = ?::uuid ${seen} ${next} limit ?`,
    [contactId, ...owner, ...(hasId ? [after, after] : []), limit],
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
