import type { EntityManager } from '@mikro-orm/postgresql';
import { emitEvent } from '#src/events/outbox.query.ts';
import { addActivities } from '#src/modules/activities/activity.query.ts';
import { insertConsent, type Consenting } from '#src/modules/privacy/consent.query.ts';
import { phonesOf } from '#src/modules/privacy/needles.ts';
import { addressHash } from '#src/modules/privacy/suppression.ts';
import { insertSuppressions, removeByHash } from '#src/modules/privacy/suppression.query.ts';

/** What somebody decided about marketing. */
export interface Decided {
  decision: 'granted' | 'denied';
  legalBasis: string;
  /** What shows it. */
  proof: string | null;
  /** The member who wrote it down; null where they said so themselves. */
  actorId: string | null;
}

const hashesOf = ({ known, phone }: Consenting, key: { appSecret: string; workspaceId: string }): string[] =>
  phonesOf(known, phone).map((one) => addressHash(key.appSecret, key.workspaceId, one));

/**
 * Writes down what a contact decided, in the transaction's workspace: consent, the list of who is not written to, timeline and event.
 * @param contact as `lockContact` gives it
 * @returns when, in ISO 8601
 */
export async function recordDecision(
  em: EntityManager,
  key: { appSecret: string; workspaceId: string },
  contact: Consenting,
  { decision, legalBasis, proof, actorId }: Decided,
): Promise<string> {
  const { id: contactId, owner_id: ownerId } = contact;
  const hashes = hashesOf(contact, key);
  const recordedAt = await insertConsent(em, { contactId, decision, legalBasis, proof, actorId });
  if (decision === 'granted') await removeByHash(em, hashes);
  else await insertSuppressions(em, hashes, { reason: 'opt_out', source: 'contact', createdBy: actorId });
  const type = decision === 'granted' ? 'contact.opted_in' : 'contact.opted_out';
  await emitEvent(em, { type, data: { contactId, ownerId }, subjectId: contactId, actorId });
  await addActivities(em, [{ type, contactId, dealId: null, actorId, payload: { legalBasis } }]);
  return recordedAt;
}

/** Puts the numbers of a contact on the list of who is not written to: nothing arrives there. */
export async function suppressInvalid(
  em: EntityManager,
  key: { appSecret: string; workspaceId: string },
  contact: Consenting,
): Promise<void> {
  await insertSuppressions(em, hashesOf(contact, key), { reason: 'invalid', source: 'contact', createdBy: null });
}
