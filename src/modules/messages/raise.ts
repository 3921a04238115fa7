import type { EntityManager } from '@mikro-orm/postgresql';
import { emitEvents } from '#src/events/outbox.query.ts';
import type { MessageStatus } from '#src/modules/messages/messages.schemas.ts';
import { keyText, type MessageKey } from '#src/modules/messages/settle.ts';
import { eventsOf } from '#src/modules/messages/sync.ts';
import { findKeys, raiseMessages } from '#src/modules/messages/sync.query.ts';

/** What a channel says of one message, by a key it is known by. */
export interface Said {
  key: MessageKey;
  status: MessageStatus;
  errorCode: string | null;
}

/** Raises the outbound messages of a channel that are known by these keys, and tells of it; the others are passed over. @returns how many rose */
export async function raiseKnown(em: EntityManager, channelId: string, said: readonly Said[]): Promise<number> {
  if (said.length === 0) return 0;
  const found = await findKeys(
    em,
    channelId,
    said.map(({ key }) => key),
  );
  const stored = new Map(found.filter(({ direction }) => direction === 'outbound').map((row) => [keyText(row), row]));
  let count = 0;
  // One by one, since the same message may be told of twice; there are few, for campaigns' are known by their items.
  for (const { key, status, errorCode } of said) {
    const row = stored.get(keyText(key));
    if (!row) continue;
    const rise = { id: row.id, status, error_code: errorCode, client_id: null, provider_id: null };
    const [risen] = await raiseMessages(em, [rise]);
    if (!risen) continue;
    count += 1;
    const where = { messageId: row.id, conversationId: row.conversation_id, contactId: row.contact_id };
    await emitEvents(em, eventsOf({ ...where, ownerId: row.owner_id }, 'outbound', row.status, status, null));
    row.status = status;
  }
  return count;
}
