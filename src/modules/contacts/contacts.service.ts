import { UniqueConstraintViolationException, type EntityManager } from '@mikro-orm/postgresql';
import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, conflict, notFound } from '#src/errors.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import type { Auth } from '#src/http/access-token.ts';
import { etagOf, mustMatch } from '#src/http/etag.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import { addActivities } from '#src/modules/activities/activity.query.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { lockedContact, seenContact, taken } from '#src/modules/contacts/contact-access.ts';
import { ContactField } from '#src/modules/contacts/contact-field.entity.ts';
import { addLabels, labelIds } from '#src/modules/contacts/contact-labels.query.ts';
import { presentContact, type ContactRow } from '#src/modules/contacts/contact.row.ts';
import type { ContactBody, ContactPatch, ContactView } from '#src/modules/contacts/contacts.schemas.ts';
import {
  addIdentities,
  binContact,
  countryOf,
  findTaken,
  insertContact,
  isMember,
  lockBinned,
  removeIdentity,
  unbinContact,
  updateContact,
  winnerOf,
  type ContactFields,
} from '#src/modules/contacts/contacts.query.ts';
import { checkContactRoom } from '#src/modules/billing/room.ts';
import { changeCustomFields, type CustomFields } from '#src/modules/contacts/custom-fields.ts';
import { identitiesOf } from '#src/modules/contacts/identities.ts';
import { findContacts } from '#src/modules/contacts/identify.query.ts';
import { isCountry, parsePhone } from '#src/modules/contacts/phone.ts';
import { insertConsents } from '#src/modules/privacy/consent.query.ts';
import { isSuppressed, suppressDenied } from '#src/modules/privacy/suppression.ts';
import type { Runtime } from '#src/runtime.ts';

type Place = Pick<Runtime, 'orm' | 'config'>;

/** Who does something, as a member and as the audit log names them. */
export interface Doer {
  auth: Auth;
  actor: Actor;
}

/** The state a contact is in, for `If-Match`: what the platform notes of it (a score, a message) is no change of it. */
export const contactEtag = ({ id, version }: Pick<ContactView, 'id' | 'version'>): string => etagOf([id, version]);

/** Runs what changes contacts; an identity that somebody else took at the same moment is a 409. */
export function inContactTx<Result>(
  orm: Orm,
  auth: Auth,
  work: (em: EntityManager) => Promise<Result>,
): Promise<Result> {
  return inWorkspaceTx(orm, auth, work).catch((error: unknown) => {
    if (!(error instanceof UniqueConstraintViolationException)) throw error;
    throw conflict('identity_taken', 'Another contact has just got what this one is known by.');
  });
}

/** Tells of a change in the audit log, the timeline and the outbox. What changed is named, not shown: people must be able to be forgotten. */
export async function tellContact(
  em: EntityManager,
  { auth, actor }: Doer,
  { id, ownerId }: { id: string; ownerId: string | null },
  change:
    | { verb: 'created' | 'deleted' | 'restored' }
    | { verb: 'updated'; changed: string[]; payload?: Record<string, unknown> },
): Promise<void> {
  const { verb } = change;
  const more = 'changed' in change ? { changed: change.changed } : {};
  const payload = { ...more, ...('payload' in change ? change.payload : {}) };
  const actorId = auth.userId;
  await addActivities(em, [{ type: `contact.${verb}`, contactId: id, dealId: null, actorId, payload }]);
  const event = { subjectId: id, actorId };
  const data = { contactId: id, ownerId };
  if (change.verb === 'updated')
    await emitEvent(em, { ...event, type: 'contact.updated', data: { ...data, changed: change.changed } });
  else await emitEvent(em, { ...event, type: `contact.${change.verb}`, data });
  await appendAudit(em, actor, { action: `contact.${verb}`, target: { type: 'contact', id }, after: payload });
}

async function phoneIn(em: EntityManager, text: string | null | undefined): Promise<string | null> {
  if (text === null || text === undefined) return null;
  const country = await countryOf(em);
  const phone = isCountry(country) ? parsePhone(text, country) : parsePhone(text);
  if (phone !== null) return phone;
  const message = 'is no phone number; one of another country begins with + and its code';
  throw badRequest('validation_failed', `phone ${message}.`, [{ path: 'phone', code: 'invalid_phone', message }]);
}

/** @throws AppError 400 where it is no member; who sees their own alone gives contacts to nobody else */
async function checkOwner(em: EntityManager, auth: Auth, ownerId: string | null): Promise<void> {
  const self = onlyOwner(auth, 'contacts');
  const isFit = self === undefined ? ownerId === null || (await isMember(em, ownerId)) : ownerId === self;
  if (isFit) return;
  const message = self === undefined ? 'must be a member of the workspace' : 'must be yourself';
  throw badRequest('validation_failed', `ownerId ${message}.`, [{ path: 'ownerId', code: 'invalid_owner', message }]);
}

async function customFieldsIn(em: EntityManager, before: CustomFields, change: CustomFields | undefined) {
  if (change === undefined || Object.keys(change).length === 0) return before;
  return changeCustomFields(await em.find(ContactField, {}), before, change);
}

/** @returns what stood against a contact @throws AppError 403 `plan_limit` where that is its plan */
async function notMade(em: EntityManager, auth: Auth, phone: string | null) {
  const [other] = phone === null ? [] : await findContacts(em, [{ phone }]);
  if (!other) await checkContactRoom(em, 1);
  return phoneTaken(em, auth, phone);
}

async function phoneTaken(em: EntityManager, auth: Auth, phone: string | null) {
  const [other] = await findContacts(em, [{ phone }]);
  return taken(em, auth, 'phone', other);
}

/** @throws AppError 404 */
export const readContact = (orm: Orm, auth: Auth, id: string): Promise<ContactView> =>
  inWorkspaceTx(orm, auth, async (em) => presentContact(await seenContact(em, auth, id)));

const keyOf = ({ config }: Place, { workspaceId }: Auth) => ({ appSecret: config.APP_SECRET, workspaceId });

/** Writes down what a new contact decided. @throws AppError 409 `suppressed` where a number that is not written to would agree without proof */
async function decide(
  em: EntityManager,
  rt: Place,
  auth: Auth,
  { id, phone, consent }: { id: string; phone: string | null; consent: ContactBody['consent'] },
): Promise<void> {
  if (consent === undefined || consent === 'unknown') return;
  const { userId: actorId } = auth;
  const key = keyOf(rt, auth);
  if (consent === 'granted' && phone !== null && (await isSuppressed(em, key, [phone])).size > 0)
    throw conflict(
      'suppressed',
      'The number is on the list of those not written to. Make the contact without consent, and record what proves that they agreed: opt-in.',
    );
  await insertConsents(em, [{ contactId: id, decision: consent }], { proof: null, actorId });
  if (consent === 'denied') await suppressDenied(em, key, [id], actorId);
}

/** @throws AppError 400 for a number, owner or custom field that is none, 403 `plan_limit`, 409 `phone_taken`, 409 `suppressed` */
export function createContact(rt: Place, doer: Doer, body: ContactBody): Promise<ContactView> {
  const { auth } = doer;
  return inContactTx(rt.orm, auth, async (em) => {
    const ownerId = body.ownerId === undefined ? (onlyOwner(auth, 'contacts') ?? null) : body.ownerId;
    await checkOwner(em, auth, ownerId);
    const fields: ContactFields = {
      name: body.name,
      phone: await phoneIn(em, body.phone),
      email: body.email ?? null,
      company: body.company ?? null,
      position: body.position ?? null,
      ownerId,
      customFields: await customFieldsIn(em, {}, body.customFields),
    };
    const id = newId();
    const made = { createdBy: auth.userId, consent: body.consent ?? 'unknown' };
    if (!(await insertContact(em, id, fields, made))) throw await notMade(em, auth, fields.phone);
    await nameContact(em, auth, id, fields);
    await decide(em, rt, auth, { id, phone: fields.phone, consent: body.consent });
    const labels = (await labelIds(em, body.labels ?? [])).map((labelId) => ({ contactId: id, labelId }));
    await addLabels(em, labels, 'manual');
    await tellContact(em, doer, { id, ownerId }, { verb: 'created' });
    return presentContact(await seenContact(em, auth, id));
  });
}

/** Lets a contact be found by its phone and e-mail. @throws AppError 409 `phone_taken` */
async function nameContact(
  em: EntityManager,
  auth: Auth,
  id: string,
  { phone, email }: Pick<ContactFields, 'phone' | 'email'>,
): Promise<void> {
  const written = await addIdentities(em, id, identitiesOf({ phone, email }));
  if (phone !== null && !written.some(({ kind }) => kind === 'phone')) throw await phoneTaken(em, auth, phone);
}

/**
 * @param ifMatch the ETag of the state it was changed from, if the client says it
 * @throws AppError as `createContact`, and 404, 412
 */
export function changeContact(
  rt: Place,
  doer: Doer,
  id: string,
  { patch, ifMatch }: { patch: ContactPatch; ifMatch: string | undefined },
): Promise<ContactView> {
  const { auth } = doer;
  return inContactTx(rt.orm, auth, async (em) => {
    const row = await lockedContact(em, auth, id);
    mustMatch(ifMatch, contactEtag(row));
    if (patch.version !== undefined) mustMatch(contactEtag({ id: row.id, version: patch.version }), contactEtag(row));
    const before = fieldsOf(row);
    const after = {
      name: patch.name ?? before.name,
      phone: patch.phone === undefined ? before.phone : await phoneIn(em, patch.phone),
      email: patch.email === undefined ? before.email : patch.email,
      company: patch.company === undefined ? before.company : patch.company,
      position: patch.position === undefined ? before.position : patch.position,
      ownerId: patch.ownerId === undefined ? before.ownerId : patch.ownerId,
      customFields: await customFieldsIn(em, before.customFields, patch.customFields),
      isArchived: patch.isArchived ?? before.isArchived,
    };
    const changed = changedIn(before, after);
    if (changed.length === 0) return presentContact(row);
    if (changed.includes('ownerId')) await checkOwner(em, auth, after.ownerId);
    await renameContact(em, auth, row.id, before, after);
    await updateContact(em, row.id, after);
    if (changed.includes('phone') && row.consent === 'denied')
      await suppressDenied(em, keyOf(rt, auth), [row.id], auth.userId);
    await tellContact(em, doer, { id: row.id, ownerId: after.ownerId }, { verb: 'updated', changed });
    return presentContact(await seenContact(em, auth, row.id));
  });
}

const fieldsOf = (row: ContactRow) => ({
  name: row.name,
  phone: row.phone,
  email: row.email,
  company: row.company,
  position: row.position,
  ownerId: row.owner_id,
  customFields: row.custom_fields,
  isArchived: row.archived_at !== null,
});
type Fields = ReturnType<typeof fieldsOf>;

function changedIn(before: Fields, after: Fields): string[] {
  const old = new Map(Object.entries(before));
  return Object.entries(after).flatMap(([name, value]) => (etagOf(old.get(name)) === etagOf(value) ? [] : [name]));
}

async function renameContact(em: EntityManager, auth: Auth, id: string, before: Fields, after: Fields): Promise<void> {
  for (const kind of ['phone', 'email'] as const) {
    const value = before[kind];
    if (value !== null && value !== after[kind]) await removeIdentity(em, id, { kind, value });
  }
  await nameContact(em, auth, id, {
    phone: after.phone === before.phone ? null : after.phone,
    email: after.email === before.email ? null : after.email,
  });
}

/** Puts a contact into the bin. What leads to another contact does not take that one with it. @throws AppError 404, 409 `contact_merged`, 412 */
export function deleteContact(orm: Orm, doer: Doer, id: string, ifMatch: string | undefined): Promise<void> {
  const { auth } = doer;
  return inContactTx(orm, auth, async (em) => {
    const row = await lockedContact(em, auth, id);
    if (row.id !== id) throw conflict('contact_merged', `It went into another contact: ${row.id}.`);
    mustMatch(ifMatch, contactEtag(row));
    await binContact(em, id);
    await tellContact(em, doer, { id, ownerId: row.owner_id }, { verb: 'deleted' });
  });
}

/** Takes a contact out of the bin. @throws AppError 404, 409 where another contact has what it was known by */
export function restoreContact(rt: Place, doer: Doer, id: string): Promise<ContactView> {
  const { auth } = doer;
  return inContactTx(rt.orm, auth, async (em) => {
    const row = await lockBinned(em, id, onlyOwner(auth, 'contacts'));
    if (!row) throw notFound('A contact in the bin with this id');
    const other = await findTaken(em, id);
    if (other) throw await taken(em, auth, other.kind, await winnerOf(em, other.contact_id));
    await checkContactRoom(em, 1);
    await unbinContact(em, id);
    // Meanwhile another contact may have had the number, and agreed.
    await suppressDenied(em, keyOf(rt, auth), [id], auth.userId);
    await tellContact(em, doer, { id, ownerId: row.owner_id }, { verb: 'restored' });
    return presentContact(await seenContact(em, auth, id));
  });
}
