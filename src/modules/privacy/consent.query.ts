import type { EntityManager } from '@mikro-orm/postgresql';
import { newId } from '#src/lib/ids.ts';
import { winnerOf } from '#src/modules/contacts/contacts.query.ts';

const OWN = 'workspace_id = current_workspace()';

export interface Consenting {
  id: string;
  owner_id: string | null;
  phone: string | null;
  consent: 'unknown' | 'granted' | 'denied';
  known: { kind: string; value: string }[];
}

/**
 * A contact, locked until the transaction ends, with what it is known by.
 * @param onlyOf the member who alone may see it
 * @param alsoInBin contacts that were put into the bin can still ask to be forgotten
 */
async function lockContact(
  em: EntityManager,
  id: string,
  { onlyOf, alsoInBin = false }: { onlyOf: string | undefined; alsoInBin?: boolean },
): Promise<Consenting | undefined> {
  const [contact] = await em.execute<Omit<Consenting, 'known'>[]>(
    `select id, owner_id, phone, consent from contact
      where ${OWN} and id = ?::uuid and erased_at is null and merged_into is null and (?::boolean or deleted_at is null)
        and (?::uuid is null or owner_id = ?::uuid) for update`,
    [id, alsoInBin, onlyOf ?? null, onlyOf ?? null],
  );
  if (!contact) return undefined;
  // A statement of its own: one that waits for the lock does not see what was learnt meanwhile.
  const known = await em.execute<Consenting['known']>(
    `select kind, value from contact_identity where ${OWN} and contact_id = ?::uuid`,
    [id],
  );
  return { ...contact, known };
}

/**
 * The person an id stands for, locked until the transaction ends: whoever was merged is the contact they went into, also where that happens in
 * this moment. Else as `lockContact`.
 */
export async function lockPerson(
  em: EntityManager,
  id: string,
  how: { onlyOf: string | undefined; alsoInBin?: boolean },
): Promise<Consenting | undefined> {
  const winnerId = await winnerOf(em, id);
  const contact = await lockContact(em, winnerId, how);
  return contact === undefined && (await winnerOf(em, winnerId)) !== winnerId ? lockPerson(em, winnerId, how) : contact;
}

/** Writes down what a contact decided, and on what proof. @returns when, in ISO 8601 */
export async function insertConsent(
  em: EntityManager,
  one: {
    contactId: string;
    decision: 'granted' | 'denied';
    legalBasis: string;
    proof: string | null;
    actorId: string | null;
  },
): Promise<string> {
  await em.execute(
    `update contact set consent = ?, version = version + 1, updated_at = now() where ${OWN} and id = ?::uuid and consent <> ?`,
    [one.decision, one.contactId, one.decision],
  );
  const [row] = await em.execute<[{ at: string }]>(
    `insert into consent_event (workspace_id, id, contact_id, decision, legal_basis, proof, actor_id)
      values (current_workspace(), ?::uuid, ?::uuid, ?, ?, ?, ?::uuid)
      returning to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at`,
    [newId(), one.contactId, one.decision, one.legalBasis, one.proof, one.actorId],
  );
  return row.at;
}

/** Writes down what contacts decided that were made or changed with it. @param how all of them were recorded */
export async function insertConsents(
  em: EntityManager,
  decisions: readonly { contactId: string; decision: 'granted' | 'denied' }[],
  how: { proof: string | null; actorId: string },
): Promise<void> {
  if (decisions.length === 0) return;
  await em.execute(
    `insert into consent_event (workspace_id, id, contact_id, decision, legal_basis, proof, actor_id)
      select current_workspace(), d.id, d."contactId", d.decision, 'consent', ?, ?::uuid
      from json_to_recordset(?::json) as d (id uuid, "contactId" uuid, decision text)`,
    [how.proof, how.actorId, JSON.stringify(decisions.map((one) => ({ id: newId(), ...one })))],
  );
}

/** What those of some contacts are known by that want no marketing. */
export async function findDenied(
  em: EntityManager,
  ids: readonly string[],
): Promise<Pick<Consenting, 'phone' | 'known'>[]> {
  return em.execute<Pick<Consenting, 'phone' | 'known'>[]>(
    `select phone, (select coalesce(json_agg(json_build_object('kind', kind, 'value', value)), '[]')
        from contact_identity i where i.${OWN} and i.contact_id = c.id and i.kind in ('phone', 'wa_id')) as known
      from contact c where ${OWN} and id in (select k::uuid from json_array_elements_text(?::json) k) and consent = 'denied'`,
    [JSON.stringify(ids)],
  );
}

/** From the moment a contact is to be forgotten nothing new is written to them: who writes or is imported again is somebody new. */
export async function closeContact(em: EntityManager, id: string): Promise<void> {
  await em.execute(
    `update contact set deleted_at = coalesce(deleted_at, now()), version = version + 1, updated_at = now() where ${OWN} and id = ?::uuid`,
    [id],
  );
}
