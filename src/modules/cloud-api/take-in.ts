import type { EntityManager } from '@mikro-orm/postgresql';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { findContacts } from '#src/modules/contacts/identify.query.ts';
import {
  lockInbound,
  noteHealth,
  noteStatuses,
  pauseCampaignsOf,
  readPhone,
} from '#src/modules/cloud-api/cloud.query.ts';
import { follow, optOut } from '#src/modules/cloud-api/consequences.ts';
import { meaningOf } from '#src/modules/cloud-api/errors.ts';
import type { Told } from '#src/modules/cloud-api/webhook.ts';
import { phoneOfWaId } from '#src/modules/contacts/phone.ts';
import { MAX_BATCH } from '#src/modules/messages/messages.schemas.ts';
import { raiseKnown } from '#src/modules/messages/raise.ts';
import { storeMessages } from '#src/modules/messages/sync.ts';
import { addressHash } from '#src/modules/privacy/suppression.ts';
import { insertSuppressions } from '#src/modules/privacy/suppression.query.ts';
import type { Runtime } from '#src/runtime.ts';

type Needs = Pick<Runtime, 'orm' | 'settings' | 'config' | 'log'>;
interface Channel {
  workspaceId: string;
  id: string;
}

/**
 * Does what a webhook tells. The same may be told again and in any order, as Meta does for up to seven days where an answer was not a 200:
 * each part is a transaction of its own, and done once more changes nothing.
 */
export async function takeIn(rt: Needs, channel: Channel, told: Told): Promise<void> {
  const { workspaceId, id } = channel;
  const inTx = (work: (em: EntityManager) => Promise<void>) => inWorkspaceTx(rt.orm, { workspaceId }, work);
  if (told.statuses.length > 0) await inTx((em) => takeStatuses(em, rt, channel, told.statuses));
  for (let at = 0; at < told.messages.length; at += MAX_BATCH) {
    const by = { workspaceId, actorId: null, onlyOf: undefined };
    const openChannel = async (em: EntityManager): Promise<string> => {
      await lockInbound(em, id);
      return id;
    };
    const batch = told.messages.slice(at, at + MAX_BATCH);
    const { results } = await storeMessages(rt, by, openChannel, batch);
    const invalid = results.flatMap(({ why }) => (why === null ? [] : [why.code]));
    if (invalid.length > 0) rt.log.warn({ channel: id, invalid }, 'Messages of a webhook could not be read');
  }
  if (told.optOuts.length > 0) await inTx((em) => takeOptOuts(em, rt, workspaceId, told.optOuts));
  if (told.numbers.length > 0 || told.templates.length > 0) await inTx((em) => takeUpdates(em, id, told));
}

async function takeStatuses(em: EntityManager, rt: Needs, channel: Channel, said: Told['statuses']): Promise<void> {
  const { workspaceId, id: channelId } = channel;
  const changed = await noteStatuses(em, channelId, said);
  // What is no item's is known by an id of its own; an item raises its message itself.
  const told = said
    .filter(({ item_id: itemId }) => itemId === null)
    .map(({ tryId, message_id: messageId, status, code: errorCode }) => ({
      key:
        tryId === null
          ? ({ kind: 'provider', value: messageId } as const)
          : ({ kind: 'client', value: tryId } as const),
      status,
      errorCode,
    }));
  await raiseKnown(em, channelId, told);
  const failed = new Map(said.flatMap((one) => (one.errorCode === null ? [] : [[one.item_id ?? one.message_id, one]])));
  for (const { item_id: itemId, campaign_id: campaignId, contact_id: contactId, message_id, status } of changed) {
    const code = status === 'failed' ? (failed.get(itemId) ?? failed.get(message_id))?.errorCode : undefined;
    if (typeof code !== 'number') continue;
    const about = { workspaceId, channelId, campaignId, itemId, contactId };
    await follow(em, rt.config.APP_SECRET, about, { code, meaning: meaningOf(code) });
  }
}

async function takeOptOuts(em: EntityManager, rt: Needs, workspaceId: string, waIds: readonly string[]): Promise<void> {
  const key = { appSecret: rt.config.APP_SECRET, workspaceId };
  const found = await findContacts(
    em,
    waIds.map((waId) => ({ waId })),
  );
  for (const contactId of new Set(found)) if (contactId !== null) await optOut(em, key, contactId, 'user_preferences');
  // Nobody's number yet: whoever is made with it is kept out all the same.
  const strangers = waIds.filter((_, at) => found[at] === null).map((waId) => phoneOfWaId(waId));
  const hashes = strangers.flatMap((phone) => (phone === null ? [] : [addressHash(key.appSecret, workspaceId, phone)]));
  await insertSuppressions(em, hashes, { reason: 'opt_out', source: 'contact', createdBy: null });
}

async function takeUpdates(em: EntityManager, channelId: string, { numbers, templates }: Told): Promise<void> {
  for (const template of templates) await pauseCampaignsOf(em, channelId, template, 'template_refused');
  if (numbers.length === 0) return;
  const digits = (await readPhone(em, channelId))?.replaceAll(/\D/g, '');
  for (const { digits: of, event, messagingLimit } of numbers) {
    if (of !== digits) continue;
    const at = new Date().toISOString();
    await noteHealth(em, channelId, { event, eventAt: at, ...(messagingLimit !== null && { messagingLimit }) });
  }
}
