import type { EntityManager } from '@mikro-orm/postgresql';
import { emitEvent } from '#src/events/outbox.query.ts';
import { addActivities } from '#src/modules/activities/activity.query.ts';
import { insertConsent, type Consenting } from '#src/modules/privacy/consent.query.ts';
import { phonesOf } from '#src/modules/privacy/needles.ts';
import { addressHash } from '#src/modules/privacy/suppression.ts';
import { insertSuppressions } from '#src/modules/privacy/suppression.query.ts';

const hashesOf = ({ known, phone }: Consenting, key: { appSecret: string; workspaceId: string }): string[] =>
  phonesOf(known, phone).map((one) => addressHash(key.appSecret, key.workspaceId, one));

/**
 * Writes down that a contact said themselves that they want no marketing, in the transaction's workspace: consent, the list of who is not
 * written to, timeline and event.
 * @param contact as `lockPerson` gives it
 * @param proof what shows it
 */
export async function recordOptOut(
  em: EntityManager,
  key: { appSecret: string; workspaceId: string },
  contact: Consenting,
  proof: string,
): Promise<void> {
  const { id: contactId, owner_id: ownerId } = contact;
  await insertConsent(em, { contactId, decision: 'denied', legalBasis: 'consent', proof, actorId: null });
  await insertSuppressions(em, hashesOf(contact, key), { reason: 'opt_out', source: 'contact', createdBy: null });
  const type = 'contact.opted_out' as const;
  await emitEvent(em, { type, data: { contactId, ownerId }, subjectId: contactId, actorId: null });
  await addActivities(em, [{ type, contactId, dealId: null, actorId: null, payload: { legalBasis: 'consent' } }]);
}

/** Puts the numbers of a contact on the list of who is not written to: nothing arrives there. */
export async function suppressInvalid(
  em: EntityManager,
  key: { appSecret: string; workspaceId: string },
  contact: Consenting,
): Promise<void> {
  await insertSuppressions(em, hashesOf(contact, key), { reason: 'invalid', source: 'contact', createdBy: null });
}
