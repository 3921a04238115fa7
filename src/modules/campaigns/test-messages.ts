import type { EntityManager } from '@mikro-orm/postgresql';
import type { By } from '#src/modules/campaigns/by.ts';
import { lockInbound } from '#src/modules/cloud-api/cloud.query.ts';
import type { MessageStatus } from '#src/modules/messages/messages.schemas.ts';
import { storeMessages } from '#src/modules/messages/sync.ts';
import type { Runtime } from '#src/runtime.ts';

/** A message that tries a campaign out, to a number of a contact's. */
export interface Tried {
  /** What it is known by until its channel has a name for it. */
  id: string;
  /** E.164. */
  to: string;
  text: string;
  sentAt: Date;
  status: MessageStatus;
  code: string | null;
  /** As its channel calls it. */
  messageId: string | null;
}

/** What a message may be known by; a gateway may call it anything. */
const isKey = (text: string | null): text is string => text !== null && /^[\x21-\x7e]{1,200}$/.test(text);

/**
 * Has messages stand in their contacts' conversations: pending before they are sent, and again with their ends, so that one stays behind also
 * where the process is lost in between.
 */
export async function writeTried(
  rt: Pick<Runtime, 'orm' | 'settings' | 'config'>,
  { auth }: By,
  channelId: string,
  tried: readonly Tried[],
): Promise<void> {
  if (tried.length === 0) return;
  const bringer = { workspaceId: auth.workspaceId, actorId: auth.userId, onlyOf: undefined };
  const openChannel = async (em: EntityManager): Promise<string> => {
    await lockInbound(em, channelId);
    return channelId;
  };
  const messages = tried.map(({ id, to, text, sentAt, status, code, messageId }) => ({
    clientId: id,
    ...(isKey(messageId) && { providerId: messageId }),
    chat: { phone: to },
    direction: 'outbound',
    body: text,
    sentAt: sentAt.toISOString(),
    status,
    ...(code !== null && { errorCode: code.slice(0, 100) }),
  }));
  await storeMessages(rt, bringer, openChannel, messages);
}
