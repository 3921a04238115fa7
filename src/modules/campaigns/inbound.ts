import { z } from 'zod';
import type { Consumer } from '#src/events/relay.ts';
import {
  findInbound,
  lockLeaving,
  noteReplies,
  writeLeaving,
  type Inbound,
} from '#src/modules/campaigns/inbound.query.ts';
import { isOptOut } from '#src/modules/campaigns/opt-out-words.ts';
import { phonesOf } from '#src/modules/privacy/needles.ts';
import { addressHash } from '#src/modules/privacy/suppression.ts';
import { SETTINGS } from '#src/modules/settings/registry.ts';

const Told = z.object({ messageId: z.uuid() });
const ownWords = ({ words }: Inbound): string[] => SETTINGS['campaigns.optOutWords'].schema.safeParse(words).data ?? [];

/**
 * Listens to what people write: who answers a campaign's message is noted, and who says no is written to no more. Both are in the relay's
 * transaction, so once.
 * @param appSecret the installation's, of which the list of who is not written to is keyed
 */
export const createInboundConsumer = (appSecret: string): Consumer => ({
  name: 'campaign-inbound',
  async handle(tx, events) {
    const received = events.flatMap(({ type, workspaceId, data }) =>
      type === 'message.received' ? [{ workspaceId, messageId: Told.parse(data).messageId }] : [],
    );
    if (received.length === 0) return;
    const found = await findInbound(tx, received);
    const said = found.map((one) => ({ ...one, isOptOut: one.body !== null && isOptOut(one.body, ownWords(one)) }));
    await noteReplies(tx, said);
    const nos = new Map(said.flatMap((one) => (one.isOptOut ? [[one.contactId, one] as const] : [])));
    if (nos.size === 0) return;
    for (const { workspaceId, contactId, phone, known } of await lockLeaving(tx, [...nos.values()])) {
      const messageId = nos.get(contactId)?.messageId;
      if (messageId === undefined) continue;
      const hashes = phonesOf(known, phone).map((one) => addressHash(appSecret, workspaceId, one));
      await writeLeaving(tx, { workspaceId, contactId, messageId, hashes });
    }
  },
});
