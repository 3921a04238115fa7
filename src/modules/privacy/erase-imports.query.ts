import type { EntityManager } from '@mikro-orm/postgresql';
import { anyOf, BATCH, ofPerson, type Erased } from '#src/modules/privacy/erase.query.ts';
import type { Subject } from '#src/modules/privacy/person.query.ts';
import { loose } from '#src/modules/privacy/spelling.ts';

const OWN = 'workspace_id = current_workspace()';
const FIRST = '00000000-0000-0000-0000-000000000000';

/** Empties the rows of imports that are of a person, the next ones in the order of imports and rows: what stood in the file is kept of those that were refused. */
export async function emptyImportRows(em: EntityManager, subject: Subject, place: string | null): Promise<Erased> {
  const [importId = FIRST, rowNo = '-1'] = place?.split('/') ?? [];
  const { where, values } = ofPerson(subject, 't.contact_id');
  const any = anyOf(subject.anywhere);
  const hits = ['cells', 'reason'].map((name) => `case when t.${name}::text ~* ? then t.${name}::text ~* ? end`);
  const [row] = await em.execute<[{ last: string | null; rows: number; count: number }]>(
    `with batch as materialized (select import_id, row_no from import_row where ${OWN} and (import_id, row_no) > (?::uuid, ?::int)
        order by import_id, row_no limit ${BATCH}),
      hit as (update import_row t set cells = null, reason = null, contact_id = null from batch b
        where t.${OWN} and t.import_id = b.import_id and t.row_no = b.row_no and (${where} or ${hits.join(' or ')}) returning 1)
      select (select import_id || '/' || row_no from batch order by import_id desc, row_no desc limit 1) as last,
        (select count(*) from batch)::int as rows, (select count(*) from hit)::int as count`,
    [importId, rowNo, ...values, ...hits.flatMap(() => [loose(any), any])],
  );
  return { count: row.count, place: row.rows < BATCH ? null : row.last };
}

/**
 * Drops what dry runs noted of a person, an import at a time, and its file: that goes whole, since nobody can look into a workbook; those of
 * imports that are under way go with their end.
 */
export async function emptyImports(em: EntityManager, subject: Subject, place: string | null): Promise<Erased> {
  const any = anyOf(subject.anywhere);
  const [row] = await em.execute<[{ last: string | null; count: number }]>(
    `with next as materialized (select id from contact_import where ${OWN} and (?::text is null or id > ?::uuid) order by id limit 1),
      known as (delete from import_identity t where t.${OWN} and t.import_id in (select id from next)
        and (t.identity ~* ? or t.person::text ~* ?) returning 1),
      file as (delete from import_file_chunk t where t.${OWN} and t.import_id in (select id from next)
        and not exists (select from bulk_operation o where o.workspace_id = t.workspace_id and o.due_at is not null
          and (o.input ->> 'importId')::uuid = t.import_id) returning 1)
      select (select id::text from next) as last, ((select count(*) from known) + (select count(*) from file))::int as count`,
    [place, place, any, any],
  );
  return { count: row.count, place: row.last };
}
