import type { EntityManager } from '@mikro-orm/postgresql';
import { checkFeature, overLimit, termsOf, type Feature } from '#src/modules/billing/plans.ts';
import { contactRoom, countContacts, findPlan, sendRoom } from '#src/modules/billing/plans.query.ts';

/** @throws AppError 403 `plan_limit` when so many contacts more would be too many for the transaction's workspace */
export async function checkContactRoom(em: EntityManager, more: number): Promise<void> {
  if ((await contactRoom(em, more)) < more) throw overLimit(await findPlan(em), 'contacts', await countContacts(em));
}

/** @throws AppError 403 `plan_limit` when so many messages more would be too many for the workspace's day */
export async function checkSendRoom(em: EntityManager, more: number): Promise<void> {
  const room = await sendRoom(em, more);
  if (room >= more) return;
  const holder = await findPlan(em);
  throw overLimit(holder, 'messagesPerDay', (termsOf(holder).limits.messagesPerDay ?? 0) - room);
}

/** @throws AppError 403 `plan_feature` when the plan of the transaction's workspace does not have it */
export async function mustHaveFeature(em: EntityManager, feature: Feature): Promise<void> {
  checkFeature(await findPlan(em), feature);
}
