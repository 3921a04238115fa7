import type { EntityManager } from '@mikro-orm/postgresql';
import { emitEvents } from '#src/events/outbox.query.ts';
import { addActivities } from '#src/modules/activities/activity.query.ts';
import { addLabels, labelIds } from '#src/modules/contacts/contact-labels.query.ts';
import { isTelling, keyOf, type Identity, type IdentityKind } from '#src/modules/contacts/identities.ts';
import { insertConsents } from '#src/modules/privacy/consent.query.ts';
import { phonesOf } from '#src/modules/privacy/needles.ts';
import { suppressDenied, type ListKey } from '#src/modules/privacy/suppression.ts';
import type { ImportPerson, LookupKey, Settled } from '#src/modules/imports/settle-rows.ts';

type Found = { kind: IdentityKind | 'id'; value: string } & Omit<ImportPerson, 'phones'> & {
    mergedInto: string | null;
    numbers: { kind: string; value: string }[];
  };

/**
 * Who is known by any of some identities, or has one of some ids, in the transaction's workspace; one who was merged is who they went into, and nobody in the bin is
 * found. They are locked until the transaction ends.
 */
export async function findPeople(
  em: EntityManager,
  identities: readonly Identity[],
  ids: readonly string[],
): Promise<Map<LookupKey, ImportPerson>> {
  const people = new Map<LookupKey, ImportPerson>();
  if (identities.length + ids.length === 0) return people;
  const rows = await em.execute<Found[]>(
    `with recursive found as (
        select i.kind, i.value, c.id, c.merged_into, c.deleted_at
          from json_to_recordset(?::json) as k (kind text, value text)
          join contact_identity i on i.workspace_id = current_workspace() and i.kind = k.kind and i.value = k.value
            and i.released_at is null
          join contact c on c.workspace_id = current_workspace() and c.id = i.contact_id
        union
        select 'id', c.id::text, c.id, c.merged_into, c.deleted_at
          from json_array_elements_text(?::json) k join contact c on c.workspace_id = current_workspace() and c.id = k::uuid
        union
        select f.kind, f.value, w.id, w.merged_into, w.deleted_at
          from found f join contact w on w.workspace_id = current_workspace() and w.id = f.merged_into
      )
      select f.kind, f.value, c.id, c.name, c.phone, c.email, c.company, c.position, c.consent, c.owner_id as "ownerId",
          c.merged_into as "mergedInto", (select coalesce(json_agg(json_build_object('kind', n.kind, 'value', n.value)), '[]')
            from contact_identity n where n.workspace_id = c.workspace_id and n.contact_id = c.id and n.kind in ('phone', 'wa_id')) as numbers,
          c.custom_fields as "customFields", (select coalesce(json_agg(lower(l.name)), '[]') from contact_label cl
            join label l on l.workspace_id = cl.workspace_id and l.id = cl.label_id
            where cl.workspace_id = c.workspace_id and cl.contact_id = c.id) as labels
        from found f join contact c on c.workspace_id = current_workspace() and c.id = f.id
        where f.merged_into is null and f.deleted_at is null and (c.deleted_at is null or c.merged_into is not null)
        order by c.id for update of c`,
    [JSON.stringify(identities), JSON.stringify(ids)],
  );
  // Who was merged while their lock was waited for leads on, as the next look sees.
  if (rows.some(({ mergedInto }) => mergedInto !== null)) return findPeople(em, identities, ids);
  const byId = new Map<string, ImportPerson>();
  for (const { kind, value, mergedInto: _merged, numbers, ...one } of rows) {
    const person = byId.get(one.id) ?? { ...one, phones: phonesOf(numbers, one.phone) };
    byId.set(one.id, person);
    people.set(`${kind}:${value}`, person);
  }
  return people;
}

/** Whom a dry run would have made or changed by now, over those who are there. */
export async function overlayPeople(
  em: EntityManager,
  importId: string,
  { identities, ids }: { identities: readonly Identity[]; ids: readonly string[] },
  people: Map<LookupKey, ImportPerson>,
): Promise<void> {
  const rows = await em.execute<{ identity: LookupKey; person: ImportPerson }[]>(
    `select i.identity, i.person from json_array_elements_text(?::json) as k (identity)
      join import_identity i on i.workspace_id = current_workspace() and i.import_id = ?::uuid and i.identity = k.identity`,
    [JSON.stringify([...identities.map(keyOf), ...ids.map((id) => `id:${id}`)]), importId],
  );
  const byId = new Map<string, ImportPerson>();
  for (const { identity, person } of rows) {
    const one = byId.get(person.id) ?? person;
    byId.set(one.id, one);
    people.set(identity, one);
  }
  for (const [key, person] of people) people.set(key, byId.get(person.id) ?? person);
}

/** Notes whom a dry run would have made or changed. */
export async function notePeople(
  em: EntityManager,
  importId: string,
  people: ReadonlyMap<LookupKey, ImportPerson>,
  { created, updated }: Settled,
): Promise<void> {
  const touched = new Set([...created, ...updated.keys()]);
  const rows = [...people].filter(([, person]) => touched.has(person));
  if (rows.length === 0) return;
  await em.execute(
    `insert into import_identity (workspace_id, import_id, identity, person)
      select current_workspace(), ?::uuid, n.identity, n.person from json_to_recordset(?::json) as n (identity text, person json)
      on conflict (workspace_id, import_id, identity) do update set person = excluded.person`,
    [importId, JSON.stringify(rows.map(([identity, person]) => ({ identity, person })))],
  );
}

/** Forgets what a dry run noted of people. */
export async function forgetPeople(em: EntityManager, importId: string): Promise<void> {
  await em.execute('delete from import_identity where workspace_id = current_workspace() and import_id = ?::uuid', [
    importId,
  ]);
}

/**
 * Writes what rows came to, with its timelines and events, in as many statements however many there are.
 * @throws Error where somebody else made one of the new contacts meanwhile: done again, the step finds them
 */
export async function writePeople(
  em: EntityManager,
  settled: Settled,
  { importId, actorId, listKey }: { importId: string; actorId: string; listKey: ListKey },
): Promise<void> {
  const { created, updated } = settled;
  await insertContacts(em, created);
  await insertIdentities(em, settled);
  await updateContacts(em, [...updated.keys()]);
  await writeLabels(em, settled);
  await insertConsents(em, settled.decisions, { proof: `Import ${importId}`, actorId });
  await suppressDenied(em, listKey, [...settled.denied], actorId);
  const changes = [...updated].map(([person, fields]) => ({ person, changed: [...fields].toSorted() }));
  await addActivities(em, [
    ...created.map(({ id }) => activity('contact.created', id, actorId, { source: 'import' })),
    ...changes.map(({ person, changed }) =>
      activity('contact.updated', person.id, actorId, { changed, source: 'import' }),
    ),
  ]);
  await emitEvents(em, [
    ...created.map(({ id, ownerId }) => ({
      type: 'contact.created' as const,
      data: { contactId: id, ownerId },
      subjectId: id,
      actorId,
    })),
    ...changes.map(({ person: { id, ownerId }, changed }) => ({
      type: 'contact.updated' as const,
      data: { contactId: id, ownerId, changed },
      subjectId: id,
      actorId,
    })),
  ]);
}

const activity = (type: string, contactId: string, actorId: string, payload: object) => ({
  type,
  contactId,
  dealId: null,
  actorId,
  payload,
});

const FIELDS = `id uuid, name text, phone text, email text, company text, position text, consent text, "ownerId" uuid, "customFields" jsonb`;

// In the order of keys, so that two imports of the same people wait for each other and do not block each other.
async function insertContacts(em: EntityManager, people: readonly ImportPerson[]): Promise<void> {
  if (people.length === 0) return;
  await em.execute(
    `insert into contact (workspace_id, id, name, source, phone, email, company, position, consent, owner_id, custom_fields)
      select current_workspace(), p.id, p.name, 'import', p.phone, p.email, p.company, p.position, p.consent, p."ownerId", p."customFields"
      from json_to_recordset(?::json) as p (${FIELDS}) order by p.phone, p.id`,
    [JSON.stringify(people)],
  );
}

async function insertIdentities(em: EntityManager, { created, identities }: Settled): Promise<void> {
  if (identities.length === 0) return;
  const rows = await em.execute<{ contact_id: string; kind: string; value: string }[]>(
    `insert into contact_identity (workspace_id, id, contact_id, kind, value)
      select current_workspace(), uuidv7(), i."contactId", i.kind, i.value
      from json_to_recordset(?::json) as i ("contactId" uuid, kind text, value text) order by i.kind, i.value
      on conflict do nothing returning contact_id, kind, value`,
    [JSON.stringify(identities)],
  );
  if (rows.length === identities.length) return;
  const written = new Set(rows.map((row) => `${row.contact_id} ${row.kind}:${row.value}`));
  const fresh = new Map(created.map((person) => [person.id, person]));
  // Without what tells who they are, the next who looks would find another contact.
  const lost = identities.some(({ contactId, kind, value }) => {
    const person = fresh.get(contactId);
    return person && isTelling({ kind, person }) && !written.has(`${contactId} ${kind}:${value}`);
  });
  if (lost) throw new Error('Somebody else made the contact meanwhile');
}

async function updateContacts(em: EntityManager, people: readonly ImportPerson[]): Promise<void> {
  if (people.length === 0) return;
  await em.execute(
    `update contact c set name = p.name, phone = p.phone, email = p.email, company = p.company, position = p.position,
        consent = p.consent, custom_fields = p."customFields", version = c.version + 1, updated_at = now()
      from json_to_recordset(?::json) as p (${FIELDS}) where c.workspace_id = current_workspace() and c.id = p.id`,
    [JSON.stringify(people)],
  );
}

async function writeLabels(em: EntityManager, { labels }: Settled): Promise<void> {
  const names = [...new Map(labels.map(({ name }) => [name.toLowerCase(), name])).entries()];
  const ids = await labelIds(
    em,
    names.map(([, name]) => name),
  );
  const byName = new Map(names.map(([folded], at) => [folded, ids[at]]));
  const pairs = labels.flatMap(({ contactId, name }) => {
    const labelId = byName.get(name.toLowerCase());
    return labelId === undefined ? [] : [{ contactId, labelId }];
  });
  await addLabels(em, pairs, 'import');
}
