import type { EntityManager } from '@mikro-orm/postgresql';
import { limitByPlan } from '#src/modules/billing/plans.ts';
import { newId } from '#src/lib/ids.ts';
import { CONTACT_COLUMNS, type ContactRow } from '#src/modules/contacts/contact.row.ts';
import type { CustomFields } from '#src/modules/contacts/custom-fields.ts';
import type { Identity } from '#src/modules/contacts/identities.ts';

const OWN = 'c.workspace_id = current_workspace()';

/** Those of some ids that are there, and seen: with `ownerId`, only who that member looks after. In no order. */
export async function findContactRows(
  em: EntityManager,
  ids: readonly string[],
  ownerId: string | undefined,
): Promise<ContactRow[]> {
  if (ids.length === 0) return [];
  return em.execute<ContactRow[]>(
    `select ${CONTACT_COLUMNS} from contact c where ${OWN} and c.deleted_at is null and c.merged_into is null
      and c.id in (select k.id from json_to_recordset(?::json) as k (id uuid)) and (?::uuid is null or c.owner_id = ?::uuid)`,
    [JSON.stringify(ids.map((id) => ({ id }))), ownerId ?? null, ownerId ?? null],
  );
}

/** Where an id leads: to itself, or through merges to the contact it went into. */
export async function winnerOf(em: EntityManager, id: string): Promise<string> {
  const rows = await em.execute<{ id: string }[]>(
    `with recursive way as (
        select c.id, c.merged_into from contact c where ${OWN} and c.id = ?::uuid
        union select c.id, c.merged_into from way w join contact c on ${OWN} and c.id = w.merged_into)
      select id from way where merged_into is null`,
    [id],
  );
  return rows[0]?.id ?? id;
}

/** Keeps a contact as it is until the transaction ends. @returns whether it is there and not in the bin */
export async function lockContact(em: EntityManager, id: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `select c.id from contact c where ${OWN} and c.id = ?::uuid and c.deleted_at is null and c.merged_into is null for no key update`,
    [id],
  );
  return rows.length > 0;
}

/** What people write of a contact. */
export interface ContactFields {
  name: string;
  phone: string | null;
  email: string | null;
  company: string | null;
  position: string | null;
  ownerId: string | null;
  customFields: CustomFields;
}

const valuesOf = ({ name, phone, email, company, position, ownerId, customFields }: ContactFields) => [
  name,
  phone,
  email,
  company,
  position,
  ownerId,
  JSON.stringify(customFields),
];

/** @returns whether it was written; not where its phone is taken, or the workspace's plan has no room for it */
export async function insertContact(
  em: EntityManager,
  id: string,
  fields: ContactFields,
  { createdBy, consent }: { createdBy: string; consent: string },
): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `insert into contact (workspace_id, id, created_by, consent, name, phone, email, company, position, owner_id, custom_fields)
      select current_workspace(), ?::uuid, ?::uuid, ?, ?, ?, ?, ?, ?, ?::uuid, ?::jsonb
      where coalesce(contact_room(?::jsonb, 1) > 0, true) on conflict do nothing returning id`,
    [id, createdBy, consent, ...valuesOf(fields), limitByPlan('contacts')],
  );
  return rows.length > 0;
}

/** @returns nothing; throws where its phone is taken (`contact_phone`) */
export async function updateContact(
  em: EntityManager,
  id: string,
  fields: ContactFields & { isArchived: boolean },
): Promise<void> {
  await em.execute(
    `update contact c set name = ?, phone = ?, email = ?, company = ?, position = ?, owner_id = ?::uuid, custom_fields = ?::jsonb,
        archived_at = case when ?::boolean then coalesce(c.archived_at, now()) end, version = c.version + 1, updated_at = now()
      where ${OWN} and c.id = ?::uuid`,
    [...valuesOf(fields), fields.isArchived, id],
  );
}

/** A contact has changed otherwise than in its own row. */
export async function touchContact(em: EntityManager, id: string): Promise<void> {
  await em.execute(`update contact c set version = c.version + 1, updated_at = now() where ${OWN} and c.id = ?::uuid`, [
    id,
  ]);
}

/** @returns those that were written; what another contact is known by is not */
export async function addIdentities(
  em: EntityManager,
  contactId: string,
  identities: readonly Identity[],
): Promise<Identity[]> {
  if (identities.length === 0) return [];
  return em.execute<Identity[]>(
    `insert into contact_identity (workspace_id, id, contact_id, kind, value)
      select current_workspace(), i.id, ?::uuid, i.kind, i.value
      from json_to_recordset(?::json) as i (id uuid, kind text, value text) order by i.kind, i.value
      on conflict do nothing returning kind, value`,
    [contactId, JSON.stringify(identities.map(({ kind, value }) => ({ id: newId(), kind, value })))],
  );
}

/** From now on the contact is not known by it. */
export async function removeIdentity(em: EntityManager, contactId: string, { kind, value }: Identity): Promise<void> {
  await em.execute(
    `delete from contact_identity i where i.workspace_id = current_workspace() and i.contact_id = ?::uuid and i.kind = ? and i.value = ?`,
    [contactId, kind, value],
  );
}

/** Puts a contact into the bin; what it is known by is free for others (the trigger `released`). */
export async function binContact(em: EntityManager, id: string): Promise<void> {
  await em.execute(
    `update contact c set deleted_at = now(), version = c.version + 1, updated_at = now() where ${OWN} and c.id = ?::uuid`,
    [id],
  );
}

/** A contact in the bin, locked; nobody who was merged or erased. */
export async function lockBinned(
  em: EntityManager,
  id: string,
  ownerId: string | undefined,
): Promise<{ id: string; owner_id: string | null } | undefined> {
  const rows = await em.execute<{ id: string; owner_id: string | null }[]>(
    `select c.id, c.owner_id from contact c where ${OWN} and c.id = ?::uuid and c.deleted_at is not null and c.merged_into is null
      and c.erased_at is null and (?::uuid is null or c.owner_id = ?::uuid)
      and not exists (select from privacy_request r where workspace_id = current_workspace() and r.contact_id = c.id and r.completed_at is null) for update`,
    [id, ownerId ?? null, ownerId ?? null],
  );
  return rows[0];
}

/** Who has by now what a contact in the bin was known by; an e-mail address may be several people's. */
export async function findTaken(
  em: EntityManager,
  id: string,
): Promise<{ kind: string; contact_id: string } | undefined> {
  const rows = await em.execute<{ kind: string; contact_id: string }[]>(
    `select t.kind, t.contact_id from contact_identity i join contact_identity t on t.workspace_id = i.workspace_id and t.kind = i.kind
        and t.value = i.value and t.released_at is null
      where i.workspace_id = current_workspace() and i.contact_id = ?::uuid and i.released_at is not null and i.kind <> 'email' limit 1`,
    [id],
  );
  return rows[0];
}

/** Takes a contact out of the bin, with what it was known by. */
export async function unbinContact(em: EntityManager, id: string): Promise<void> {
  await em.execute(
    `update contact c set deleted_at = null, version = c.version + 1, updated_at = now() where ${OWN} and c.id = ?::uuid`,
    [id],
  );
  await em.execute(
    `update contact_identity i set released_at = null where i.workspace_id = current_workspace() and i.contact_id = ?::uuid
      and i.released_at is not null and not exists (select from contact_identity t where t.workspace_id = i.workspace_id
        and t.kind = i.kind and t.value = i.value and t.released_at is null)`,
    [id],
  );
}

/** Whether somebody is a member of the transaction's workspace. */
export async function isMember(em: EntityManager, userId: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    `select user_id from member where workspace_id = current_workspace() and user_id = ?::uuid`,
    [userId],
  );
  return rows.length > 0;
}

/** What numbers are taken for that say no country: ISO 3166-1 alpha-2, of the transaction's workspace. */
export async function countryOf(em: EntityManager): Promise<string> {
  const rows = await em.execute<{ country: string }[]>('select country from workspace where id = current_workspace()');
  return rows[0]?.country ?? '';
}
