import type { EntityManager } from '@mikro-orm/postgresql';
import { newId } from '#src/lib/ids.ts';

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
export async function lockContact(
  em: EntityManager,
  id: string,
  { onlyOf, alsoInBin = false }: { onlyOf: string | undefined; alsoInBin?: boolean },
): Promise<Consenting | undefined> {
  const rows = await em.execute<Consenting[]>(
    `select id, owner_id, phone, consent, (select coalesce(json_agg(json_build_object('kind', kind, 'value', value)), '[]')
        from contact_identity i where i.${OWN} and i.contact_id = c.id) as known
      from contact c where ${OWN} and id = ?::uuid and erased_at is null and (?::boolean or deleted_at is null)
        and (?::uuid is null or owner_id = ?::uuid) for update of c`,
    [id, alsoInBin, onlyOf ?? null, onlyOf ?? null],
  );
  return rows[0];
}

/** Writes down what a contact decided, and on what proof. @returns when, in ISO 8601 */
export async function insertConsent(
  em: EntityManager,
  one: { contactId: string; decision: 'granted' | 'denied'; legalBasis: string; proof: string | null; actorId: string },
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
