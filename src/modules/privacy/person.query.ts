import type { EntityManager } from '@mikro-orm/postgresql';
import { phoneOfWaId } from '#src/modules/contacts/phone.ts';
import { needlesOf, phonesOf, type Needles } from '#src/modules/privacy/needles.ts';

/** A person as erasure sees them: every contact that became this one, and what to look for in texts. */
export interface Subject {
  contactIds: string[];
  phones: string[];
  /** For texts of anybody. */
  anywhere: Needles;
  /** For texts of rows that hang on them. */
  theirs: Needles;
}

/** Reads who a contact is, with all that was merged into it. Nothing of it is kept between steps but where it is known from. */
export async function readSubject(em: EntityManager, contactId: string): Promise<Subject> {
  const [row] = await em.execute<
    [
      {
        ids: string[];
        people: { name: string; email: string | null; phone: string | null }[];
        known: { kind: string; value: string }[];
      },
    ]
  >(
    `with recursive person as (
        select id, name, email, phone from contact where workspace_id = current_workspace() and id = ?::uuid
        union
        select c.id, c.name, c.email, c.phone from contact c join person p on c.merged_into = p.id where c.workspace_id = current_workspace())
      select coalesce(json_agg(id), '[]') as ids, coalesce(json_agg(json_build_object('name', name, 'email', email, 'phone', phone)), '[]') as people,
        (select coalesce(json_agg(json_build_object('kind', kind, 'value', value)), '[]') from contact_identity i
          where i.workspace_id = current_workspace() and i.contact_id in (select id from person)) as known
      from person`,
    [contactId],
  );
  const { ids, people, known } = row;
  const given = people.flatMap(({ email, phone }) => [
    ...(email === null ? [] : [{ kind: 'email', value: email }]),
    ...(phone === null ? [] : [{ kind: 'phone', value: phone }]),
  ]);
  const all = [...given, ...known];
  const phones = phonesOf(all, null);
  const person = {
    names: people.map(({ name }) => name),
    emails: all.flatMap(({ kind, value }) => (kind === 'email' ? [value] : [])),
    phones,
    handles: all.flatMap(({ kind, value }) =>
      ['lid', 'external'].includes(kind) || (kind === 'wa_id' && phoneOfWaId(value) === null)
        ? [value, value.split('@')[0] ?? '']
        : [],
    ),
  };
  return { contactIds: ids, phones, anywhere: needlesOf(person, false), theirs: needlesOf(person, true) };
}
