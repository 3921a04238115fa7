import type { EntityManager } from '@mikro-orm/postgresql';
import { emitEvents } from '#src/events/outbox.query.ts';
import { contactRoom } from '#src/modules/billing/plans.query.ts';
import { addActivities } from '#src/modules/activities/activity.query.ts';
import {
  findPerson,
  isTelling,
  keyOf,
  lookupsOf,
  settlePeople,
  type Identity,
  type Known,
  type NewIdentity,
  type Person,
  type PersonKey,
} from '#src/modules/contacts/identities.ts';
import { suppressDenied, type ListKey } from '#src/modules/privacy/suppression.ts';

export type { Known } from '#src/modules/contacts/identities.ts';

/** Where a contact came from. */
export type ContactSource = 'message' | 'import' | 'manual';

/** Who asks for contacts to be made. */
export interface Origin {
  /** The member who did it; null for the platform. */
  actorId: string | null;
  source: ContactSource;
  /** Of the list that the numbers of those go on who want no marketing. */
  listKey: ListKey;
  /** Who looks after the new ones. */
  ownerId?: string | null;
  /** Whether all are let in, however many contacts the workspace's plan has room for. */
  isUnlimited?: boolean;
}

/** What came of one who was looked for. */
export interface Identified {
  /** Null: they are new, and the workspace's plan has no room for them. */
  contactId: string | null;
  isNew: boolean;
}

/** Others can take an identity only once between a look and the next; each round looks again. */
const MAX_ROUNDS = 4;

/**
 * Finds contacts by whatever is known of them, in the transaction's workspace (`inWorkspaceTx`), in one statement. A Brazilian mobile is
 * found in both its forms, one who was merged leads to the contact they went into, and nobody in the bin is found.
 * @returns for each the contact's id, or null
 */
export async function findContacts(em: EntityManager, known: readonly Known[]): Promise<(string | null)[]> {
  const people = await readPeople(em, known, false);
  return known.map((one) => findPerson(people, one)?.id ?? null);
}

/**
 * Finds contacts by whatever is known of them, as `findContacts`, or makes them, and notes what was learnt of those found: identities, and
 * a phone, e-mail or name they had not; a number of somebody who wants no marketing goes on the list of those not written to. An identity that is another contact's stays there. Until the transaction ends those found stay what they are:
 * nobody merges or forgets them, so that what is written of them hangs on them afterwards. Writes activities and events, but no audit.
 * A constant number of statements for all; up to 1000 at once. Two transactions that make the same contact at once end up with one.
 * @returns for each the contact, or nobody where the plan has no room for them; `isNew` for the first that made it
 */
export async function identifyContacts(
  em: EntityManager,
  known: readonly Known[],
  origin: Origin,
): Promise<Identified[]> {
  const made = new Set<string>();
  for (let round = 1; round <= MAX_ROUNDS; round += 1) {
    const people = await readPeople(em, known, true);
    const { persons, identities } = settlePeople(people, known, origin.ownerId ?? null);
    const everyone = [...new Set(persons)];
    const newcomers = everyone.filter(({ isNew }) => isNew);
    const isOpen = newcomers.length === 0 || origin.isUnlimited === true;
    const room = isOpen ? Infinity : await contactRoom(em, newcomers.length);
    const fresh = newcomers.slice(0, room);
    const refused = new Set(newcomers.slice(fresh.length));
    const learnt = identities.filter(({ person }) => !refused.has(person));
    const lost = await writePeople(em, fresh, learnt, origin);
    await suppressLearnt(em, learnt, origin);
    const newborn = fresh.filter(({ id }) => !lost.has(id));
    await tellCreated(em, newborn, origin);
    await writeLearnt(
      em,
      everyone.filter(({ isNew, learnt }) => !isNew && learnt.size > 0),
      origin,
    );
    for (const { id } of newborn) made.add(id);
    if (lost.size === 0)
      return persons.map((person) =>
        refused.has(person)
          ? { contactId: null, isNew: false }
          : { contactId: person.id, isNew: made.delete(person.id) },
      );
  }
  throw new Error('Contacts were taken and released again and again while they were looked for');
}

/**
 * The people that identities lead to, by identity.
 * @param isKept whether they stay what they are until the transaction ends: locked in the order of ids, as merges lock them
 */
async function readPeople(
  em: EntityManager,
  known: readonly Known[],
  isKept: boolean,
): Promise<Map<PersonKey, Person>> {
  const keys = new Map(known.flatMap(lookupsOf).map((identity) => [keyOf(identity), identity]));
  if (keys.size === 0) return new Map();
  const rows = await em.execute<
    (Identity &
      Pick<Person, 'id' | 'name' | 'phone' | 'email' | 'isDenied'> & {
        owner_id: string | null;
        merged_into: string | null;
      })[]
  >(
    `with recursive found as (
        select i.kind, i.value, c.id, c.merged_into, c.deleted_at
          from json_to_recordset(?::json) as k (kind text, value text)
          join contact_identity i on i.workspace_id = current_workspace() and i.kind = k.kind and i.value = k.value
            and i.released_at is null
          join contact c on c.workspace_id = current_workspace() and c.id = i.contact_id
        union
        select f.kind, f.value, w.id, w.merged_into, w.deleted_at
          from found f join contact w on w.workspace_id = current_workspace() and w.id = f.merged_into
      )
      select f.kind, f.value, c.id, c.name, c.phone, c.email, c.owner_id, c.merged_into, c.consent = 'denied' as "isDenied"
        from found f join contact c on c.workspace_id = current_workspace() and c.id = f.id
        where f.merged_into is null and f.deleted_at is null and (c.deleted_at is null or c.merged_into is not null)
        ${isKept ? 'order by c.id for key share of c' : ''}`,
    [JSON.stringify([...keys.values()])],
  );
  // Who was merged while their lock was waited for leads on, as the next look sees.
  if (rows.some((row) => row.merged_into !== null)) return readPeople(em, known, isKept);
  const byId = new Map<string, Person>();
  const people = new Map<PersonKey, Person>();
  for (const { id, kind, value, name, phone, email, isDenied, owner_id: ownerId } of rows) {
    const person = byId.get(id) ?? { id, isNew: false, name, phone, email, ownerId, isDenied, learnt: new Set() };
    byId.set(id, person);
    people.set(keyOf({ kind, value }), person);
  }
  return people;
}

/**
 * Writes new contacts and identities; whoever writes the same at the same time is waited for. In the order of keys, so that two seldom wait
 * for each other.
 * @returns the new contacts that somebody else made meanwhile: they are not written
 */
async function writePeople(
  em: EntityManager,
  fresh: readonly Person[],
  identities: NewIdentity[],
  { source, actorId }: Origin,
): Promise<Set<string>> {
  if (fresh.length === 0 && identities.length === 0) return new Set();
  const rows = await em.execute<(Identity & { contact_id: string })[]>(
    `with made as (
        insert into contact (workspace_id, id, name, source, created_by, phone, email, owner_id)
          select current_workspace(), c.id, c.name, ?::text, ?::uuid, c.phone, c.email, c.owner_id
          from json_to_recordset(?::json) as c (id uuid, name text, phone text, email text, owner_id uuid) order by c.phone, c.id
        on conflict do nothing returning id),
      alive as materialized (
        select c.id from contact c where c.workspace_id = current_workspace() and c.deleted_at is null
          and c.id in (select p.id from json_to_recordset(?::json) as p (id uuid)) order by c.id for share of c),
      named as (
        insert into contact_identity (workspace_id, id, contact_id, kind, value)
          select current_workspace(), uuidv7(), i.contact_id, i.kind, i.value
          from json_to_recordset(?::json) as i (contact_id uuid, kind text, value text)
          where i.contact_id in (select id from made union all select id from alive) order by i.kind, i.value
        on conflict do nothing returning contact_id, kind, value)
      select id as contact_id, null as kind, null as value from made union all select contact_id, kind, value from named`,
    [
      source,
      actorId,
      JSON.stringify(
        fresh.map(({ id, name, phone, email, ownerId }) => ({ id, name, phone, email, owner_id: ownerId })),
      ),
      JSON.stringify(identities.filter(({ person }) => !person.isNew).map(({ person }) => ({ id: person.id }))),
      JSON.stringify(identities.map(({ person, kind, value }) => ({ contact_id: person.id, kind, value }))),
    ],
  );
  const written = new Set(rows.map(({ contact_id: id, kind, value }) => `${id} ${kind}:${value}`));
  const isWritten = (identity: NewIdentity) => written.has(`${identity.person.id} ${keyOf(identity)}`);
  const lost = new Set<string>();
  for (const { id } of fresh) if (!written.has(`${id} null:null`)) lost.add(id);
  for (const one of identities) if (one.person.isNew && isTelling(one) && !isWritten(one)) lost.add(one.person.id);
  for (const one of identities) if (!one.person.isNew && !isWritten(one)) forget(one);
  if (lost.size > 0) await removeContacts(em, [...lost]);
  return lost;
}

/** An identity that somebody else got meanwhile was not learnt. */
function forget({ person, kind }: NewIdentity): void {
  if ((kind === 'phone' || kind === 'email') && person.learnt.delete(kind)) person[kind] = null;
}

async function suppressLearnt(em: EntityManager, learnt: NewIdentity[], { listKey, actorId }: Origin): Promise<void> {
  const denied = learnt.filter(({ kind, person }) => person.isDenied && (kind === 'phone' || kind === 'wa_id'));
  await suppressDenied(em, listKey, [...new Set(denied.map(({ person }) => person.id))], actorId);
}

/** Takes away what this transaction wrote in vain; nobody has seen it. */
async function removeContacts(em: EntityManager, ids: readonly string[]): Promise<void> {
  await em.execute(
    `delete from contact c using json_to_recordset(?::json) as l (id uuid)
      where c.workspace_id = current_workspace() and c.id = l.id`,
    [JSON.stringify(ids.map((id) => ({ id })))],
  );
}

async function tellCreated(em: EntityManager, persons: readonly Person[], { actorId, source }: Origin): Promise<void> {
  await addActivities(
    em,
    persons.map(({ id }) => ({
      type: 'contact.created',
      contactId: id,
      dealId: null,
      actorId,
      payload: { source },
    })),
  );
  await emitEvents(
    em,
    persons.map(({ id, ownerId }) => ({
      type: 'contact.created' as const,
      data: { contactId: id, ownerId },
      subjectId: id,
      actorId,
    })),
  );
}

/** Fills what a contact had not; what was filled or given meanwhile stays. */
async function writeLearnt(em: EntityManager, persons: readonly Person[], { actorId, source }: Origin): Promise<void> {
  if (persons.length === 0) return;
  const changed = persons.map(({ id, learnt, name, phone, email, ownerId }) => ({
    id,
    ownerId,
    name: learnt.has('name') ? name : null,
    phone: learnt.has('phone') ? phone : null,
    email: learnt.has('email') ? email : null,
    changed: [...learnt],
  }));
  await em.execute(
    `with learnt as materialized (
        select l.* from json_to_recordset(?::json) as l (id uuid, name text, phone text, email text)
          join contact c on c.workspace_id = current_workspace() and c.id = l.id order by c.id for no key update of c)
      update contact c set name = coalesce(l.name, c.name), phone = coalesce(c.phone, l.phone), email = coalesce(c.email, l.email),
          version = c.version + 1, updated_at = now()
        from learnt l where c.workspace_id = current_workspace() and c.id = l.id and c.deleted_at is null`,
    [JSON.stringify(changed)],
  );
  await addActivities(
    em,
    changed.map((one) => ({
      type: 'contact.updated',
      contactId: one.id,
      dealId: null,
      actorId,
      payload: { changed: one.changed, source },
    })),
  );
  await emitEvents(
    em,
    changed.map((one) => ({
      type: 'contact.updated' as const,
      data: { contactId: one.id, ownerId: one.ownerId, changed: one.changed },
      subjectId: one.id,
      actorId,
    })),
  );
}
