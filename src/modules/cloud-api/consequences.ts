import type { EntityManager } from '@mikro-orm/postgresql';
import { appendAudit, SYSTEM } from '#src/modules/audit/audit.ts';
import { isUndeliverableAgain, pauseCampaign, slowChannel, stopChannel } from '#src/modules/cloud-api/cloud.query.ts';
import { codeText, type Meaning } from '#src/modules/cloud-api/errors.ts';
import { lockPerson } from '#src/modules/privacy/consent.query.ts';
import { recordOptOut, suppressInvalid } from '#src/modules/privacy/decide.ts';

/** Whose message it was. */
export interface About {
  workspaceId: string;
  channelId: string;
  campaignId: string;
  itemId: string;
  contactId: string | null;
}

/**
 * Does what an error asks for beyond its own message: a number keeps still or stops, a campaign pauses, somebody is not written to any more.
 * May be done again. @param em of the workspace's transaction
 */
export async function follow(
  em: EntityManager,
  appSecret: string,
  about: About,
  { code, meaning }: { code: number; meaning: Meaning },
): Promise<void> {
  if (meaning.kind === 'throttle') await slowChannel(em, about.channelId);
  else if (meaning.kind === 'stop_campaign') await pauseCampaign(em, about.campaignId, meaning.reason);
  else if (meaning.kind === 'stop_channel') await stop(em, about.channelId, meaning.reason, code);
  else if (meaning.kind === 'refuse' && meaning.because !== null && about.contactId !== null) {
    const { contactId, itemId, workspaceId } = about;
    const key = { appSecret, workspaceId };
    if (meaning.because === 'opted_out') await optOut(em, key, contactId, codeText(code));
    else if (await isUndeliverableAgain(em, { contactId, itemId, code: codeText(code) })) {
      const contact = await lockPerson(em, contactId, { onlyOf: undefined });
      if (contact) await suppressInvalid(em, key, contact);
    }
  }
}

/** Somebody told WhatsApp that they want no marketing. */
export async function optOut(
  em: EntityManager,
  key: { appSecret: string; workspaceId: string },
  contactId: string,
  proof: string,
): Promise<void> {
  const contact = await lockPerson(em, contactId, { onlyOf: undefined });
  if (!contact || contact.consent === 'denied') return;
  await recordOptOut(em, key, contact, proof);
}

async function stop(em: EntityManager, channelId: string, reason: string, code: number): Promise<void> {
  if (!(await stopChannel(em, channelId, reason))) return;
  const after = { state: 'paused', reason, code };
  await appendAudit(em, SYSTEM, { action: 'channel.stopped', target: { type: 'channel', id: channelId }, after });
}
