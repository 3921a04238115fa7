import type { EntityManager } from '@mikro-orm/postgresql';
import type { Needles } from '#src/modules/privacy/needles.ts';
import type { Subject } from '#src/modules/privacy/person.query.ts';
import { loose } from '#src/modules/privacy/spelling.ts';

/** How many rows are looked at, or dropped, in one step. */
export const BATCH = 2000;

/** What a step came to: rows that were changed or dropped, and where to go on; null: nowhere. */
export interface Erased {
  count: number;
  place: string | null;
}

/** A column that may hold anything people write; `name`: one that no two rows may have alike, the only one of its table. */
export type Texts = Record<string, 'text' | 'name' | 'json' | 'jsonb'>;

const OWN = 'workspace_id = current_workspace()';
// No text holds it.
const NOTHING = '(?!)';

/** Whatever is looked for, as one pattern. */
export const anyOf = ({ words, digits }: Needles): string =>
  [words, digits].filter((one) => one !== null).join('|') || NOTHING;

const ERASED = '[erased]';

/** A column with what was found taken out. In JSON a number becomes 0, which is right with quotes and without. */
function cleaned(table: string, column: string, type: Texts[string]) {
  const digits = type === 'text' || type === 'name' ? ERASED : '0';
  const without = `regexp_replace(regexp_replace(${column}::text, ?, '${ERASED}', 'gi'), ?, '${digits}', 'gi')`;
  // What stands for a short word is longer than it, and a varchar holds only so much; names are of at least 60 signs.
  const room = `coalesce((select nullif(atttypmod, -1) - 4 from pg_attribute where attrelid = '${table}'::regclass and attname = '${column}'), 1000000000)`;
  const value = {
    text: `left(${without}, ${room})`,
    name: `left(${without}, 47) || ' ' || right(id::text, 12)`,
    json: `${without}::json`,
    jsonb: `${without}::jsonb`,
  }[type];
  return `${column} = ${value}`;
}

/**
 * Takes what is looked for out of a table's texts, the next rows in the order of `key`.
 * @param where which rows; all of the workspace's when it is `true`
 */
export async function cleanTexts(
  em: EntityManager,
  {
    table,
    key,
    columns,
    where,
    values = [],
  }: { table: string; key: string; columns: Texts; where: string; values?: unknown[] },
  needles: Needles,
  place: string | null,
): Promise<Erased> {
  const parts = Object.entries(columns).map(([column, type]) => cleaned(table, column, type));
  if (needles.words === null && needles.digits === null) return { count: 0, place: null };
  const any = anyOf(needles);
  const hits = Object.keys(columns).map((column) => `case when t.${column}::text ~* ? then t.${column}::text ~* ? end`);
  const [row] = await em.execute<[{ last: string | null; rows: number; count: number }]>(
    `with batch as materialized (select ${key} as key from ${table} where ${OWN} and ${where} and (?::text is null or ${key} > ?::uuid)
        order by ${key} limit ${BATCH}),
      hit as (update ${table} t set ${parts.join(', ')}
        where t.${OWN} and t.${key} in (select key from batch) and (${hits.join(' or ')}) returning 1)
      select (select key from batch order by key desc limit 1)::text as last, (select count(*) from batch)::int as rows,
        (select count(*) from hit)::int as count`,
    [
      ...values,
      place,
      place,
      ...parts.flatMap(() => [needles.words ?? NOTHING, needles.digits ?? NOTHING]),
      ...hits.flatMap(() => [loose(any), any]),
    ],
  );
  return { count: row.count, place: row.rows < BATCH ? null : row.last };
}

/** Rows that hang on a person. */
export const ofPerson = ({ contactIds }: Subject, column = 'contact_id') => ({
  where: `${column} in (select jsonb_array_elements_text(?::jsonb)::uuid)`,
  values: [JSON.stringify(contactIds)],
});

/** Takes what is looked for out of the texts of rows that hang on the person, also single names. */
export function cleanTheirs(
  em: EntityManager,
  subject: Subject,
  { table, columns, column }: { table: string; columns: Texts; column?: string },
  place: string | null,
): Promise<Erased> {
  return cleanTexts(em, { table, key: 'id', columns, ...ofPerson(subject, column) }, subject.theirs, place);
}

const remindersOf = (subject: Subject) => {
  const { where, values } = ofPerson(subject);
  const ids = `select id from task where ${OWN} and ${where} union select id from deal where ${OWN} and ${where}
    union select jsonb_array_elements_text(?::jsonb)::uuid`;
  return { where: `subject_id in (${ids})`, values: [...values, ...values, ...values] };
};

/** Takes a person out of what members are reminded of about them, their tasks and their deals. */
export function cleanReminders(em: EntityManager, subject: Subject, place: string | null): Promise<Erased> {
  const columns: Texts = { title: 'text', note: 'text' };
  return cleanTexts(em, { table: 'reminder', key: 'id', columns, ...remindersOf(subject) }, subject.theirs, place);
}

/** Takes a person out of what members were told when these reminders came. */
export function cleanReminded(em: EntityManager, subject: Subject, place: string | null): Promise<Erased> {
  const { where, values } = remindersOf(subject);
  const told = `source_id in (select id from reminder where ${OWN} and ${where})`;
  const one = { table: 'notification', key: 'id', columns: { data: 'json' } as const, where: told, values };
  return cleanTexts(em, one, subject.theirs, place);
}

/** Drops rows that hang on the person. @param key what tells them apart besides the workspace */
export async function dropRows(
  em: EntityManager,
  subject: Subject,
  { table, key, column }: { table: string; key: string; column?: string },
): Promise<Erased> {
  const { where, values } = ofPerson(subject, column);
  const rows = await em.execute<unknown[]>(
    `delete from ${table} where ${OWN} and ${where} and (${key}) in (select ${key} from ${table} where ${OWN} and ${where} limit ${BATCH})
      returning 1 as one`,
    [...values, ...values],
  );
  return { count: rows.length, place: rows.length < BATCH ? null : 'more' };
}

/**
 * Waits for every transaction that is writing something that hangs on the person, and keeps others from it until this one ends: what they write
 * has a key to the contact.
 */
export async function lockSubject(em: EntityManager, subject: Subject): Promise<void> {
  const { where, values } = ofPerson(subject, 'id');
  await em.execute(`select from contact where ${OWN} and ${where} order by id for update`, values);
}

/** Empties what the timelines say beside their entries: of the person, and of their deals. */
export async function emptyActivities(em: EntityManager, subject: Subject): Promise<Erased> {
  const { where, values } = ofPerson(subject);
  const rows = await em.execute<unknown[]>(
    `update activity set payload = '{}' where ${OWN} and id in (select id from activity where ${OWN} and payload::text <> '{}'
        and (${where} or deal_id in (select id from deal where ${OWN} and ${where})) limit ${BATCH}) returning 1 as one`,
    [...values, ...values],
  );
  return { count: rows.length, place: rows.length < BATCH ? null : 'more' };
}

/**
 * Empties AI jobs that concern a person: made for them by the platform, naming their id, or with anything of theirs in what was asked or
 * answered. What is still to run is cancelled.
 */
export async function emptyJobs(em: EntityManager, subject: Subject, place: string | null): Promise<Erased> {
  const { where, values } = ofPerson(subject);
  const any = [subject.anywhere.words, subject.anywhere.digits, ...subject.contactIds]
    .filter((one) => one !== null)
    .join('|');
  const [row] = await em.execute<[{ last: string | null; rows: number; count: number }]>(
    `with batch as materialized (select id as key from job where ${OWN} and (?::text is null or id > ?::uuid) order by id limit 500),
      theirs as materialized (select job_id from contact_ai where ${OWN} and ${where} union select job_id from lead_score where ${OWN} and ${where}),
      hit as (update job t set input = case when t.input is not null then '{}'::json end,
          result = case when t.result is not null then '{}'::json end, problem = case when t.problem is not null then
            json_build_object('type', 'about:blank', 'title', 'Erased', 'status', 410, 'detail', 'It was erased.', 'code', 'erased') end,
          streamed_text = null, cancel_requested_at = case when t.finished_at is null then now() else t.cancel_requested_at end
        where t.${OWN} and t.id in (select key from batch) and coalesce(t.input::text, '') || coalesce(t.result::text, '') <> '{}{}'
          and (t.id in (select job_id from theirs) or t.input::text ~* ? or t.result::text ~* ? or t.problem::text ~* ? or t.streamed_text ~* ?)
        returning 1)
      select (select key from batch order by key desc limit 1)::text as last, (select count(*) from batch)::int as rows,
        (select count(*) from hit)::int as count`,
    [place, place, ...values, ...values, any, any, any, any],
  );
  return { count: row.count, place: row.rows < 500 ? null : row.last };
}

/** Takes away what would bring a person back: the undoing of merges they are in. */
export async function dropMerges(em: EntityManager, { contactIds }: Subject): Promise<Erased> {
  const ids = JSON.stringify(contactIds);
  const rows = await em.execute<unknown[]>(
    `delete from contact_merge where ${OWN} and (winner_id in (select jsonb_array_elements_text(?::jsonb)::uuid)
      or loser_ids && array(select jsonb_array_elements_text(?::jsonb)::uuid)) returning 1 as one`,
    [ids, ids],
  );
  return { count: rows.length, place: null };
}

/** What a contact agreed to is kept, without what proves it. */
export async function dropProofs(em: EntityManager, subject: Subject): Promise<Erased> {
  const { where, values } = ofPerson(subject);
  const rows = await em.execute<unknown[]>(
    `update consent_event set proof = null where ${OWN} and ${where} and proof is not null returning 1 as one`,
    values,
  );
  return { count: rows.length, place: null };
}

/** Leaves of a contact its id alone, in the bin for good. */
export async function emptyContacts(em: EntityManager, { contactIds }: Subject): Promise<Erased> {
  const rows = await em.execute<unknown[]>(
    `update contact set name = '', phone = null, email = null, company = null, position = null, owner_id = null, custom_fields = '{}',
        lead_score = null, score_version = null, sentiment = null, consent = 'denied', last_inbound_at = null, last_outbound_at = null,
        archived_at = null, deleted_at = coalesce(deleted_at, now()), erased_at = now(), version = version + 1, updated_at = now()
      where ${OWN} and id in (select jsonb_array_elements_text(?::jsonb)::uuid) returning 1 as one`,
    [JSON.stringify(contactIds)],
  );
  return { count: rows.length, place: null };
}

/**
 * Takes what requests with an Idempotency-Key were answered, of the whole workspace: it is sealed, so nobody can look whom it names. The keys
 * stay, and keep what they came with from being done twice; requests that are being answered keep nothing.
 */
export async function forgetAnswers(em: EntityManager): Promise<Erased> {
  const rows = await em.execute<unknown[]>(
    `update idempotent_request set answer = null, is_over = true where ${OWN} and (user_id, route, key) in
      (select user_id, route, key from idempotent_request where ${OWN} and (answer is not null or not is_over) limit ${BATCH})
      returning 1 as one`,
  );
  return { count: rows.length, place: rows.length < BATCH ? null : 'more' };
}

/** Drops files of contacts that were made; they expire in days, and can be made again. */
export async function dropExports(em: EntityManager): Promise<Erased> {
  const rows = await em.execute<unknown[]>(`delete from contact_export where ${OWN} returning 1 as one`);
  return { count: rows.length, place: null };
}
