import type { EntityManager } from '@mikro-orm/postgresql';
import type { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { FieldError } from '#src/errors.ts';
import type { EventType } from '#src/events/catalog.ts';
import { emitEvents, type NewEvent } from '#src/events/outbox.query.ts';
import type { Auth } from '#src/http/access-token.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { idAt } from '#src/lib/ids.ts';
import { addActivities } from '#src/modules/activities/activity.query.ts';
import { checkLimit } from '#src/modules/billing/plans.ts';
import { countChannels } from '#src/modules/channels/channels.query.ts';
import { findContactRows } from '#src/modules/contacts/contacts.query.ts';
import { findContacts, identifyContacts } from '#src/modules/contacts/identify.query.ts';
import {
  rankOf,
  type MessageStatus,
  type SyncBody,
  type SyncOutcome,
  type SyncView,
} from '#src/modules/messages/messages.schemas.ts';
import { groupItems, isFault, keyText, readItem, type Group } from '#src/modules/messages/settle.ts';
import {
  addChannel,
  adoptChannel,
  findKeys,
  insertKeys,
  insertMessages,
  lockChannel,
  openConversations,
  raiseMessages,
  touchConversations,
  type NewMessage,
  type StoredConversation,
  type StoredKey,
  type Touch,
} from '#src/modules/messages/sync.query.ts';
import { phoneOfWaId } from '#src/modules/contacts/phone.ts';
import type { ListKey } from '#src/modules/privacy/suppression.ts';
import { lockWorkspace } from '#src/modules/workspaces/plans.ts';
import { isOptOut } from '#src/modules/campaigns/opt-out-words.ts';
import type { Runtime } from '#src/runtime.ts';

/** What is older when it comes is history: nobody is told of it, and it is not unread. */
const FRESH_MS = 86_400_000;
/** A no that is older than this has been passed over by people, or been followed by other words. */
const LATE_MS = 30 * FRESH_MS;

/** What came of one message of a batch. */
interface Settled {
  group: Group;
  outcome: 'created' | 'updated' | 'known' | 'invalid';
  messageId: string | null;
  /** Of one that is invalid. */
  why?: FieldError;
}

/** Where a message belongs, for what is told of it. */
interface Told {
  messageId: string;
  conversationId: string;
  contactId: string;
  ownerId: string | null;
}

const CLASH: FieldError = {
  path: 'clientId',
  code: 'ids_of_two_messages',
  message: 'and providerId belong to two different messages',
};

const NO_ROOM: FieldError = {
  path: 'chat',
  code: 'plan_limit',
  message: "is with somebody new, and the workspace's plan has no room for more contacts",
};

const NOT_YOURS: FieldError = {
  path: 'chat',
  code: 'not_yours',
  message: 'is with a contact that somebody else looks after',
};

/**
 * Stores a batch of one channel. The same message any number of times, in any order and also in two batches at once, is one message, whose
 * status is the highest that was told. Members who see only their own contacts write to those alone, and look after whom they are the first to
 * write to. A constant number of statements, however many messages.
 * @returns for each what came of it; one that cannot be read keeps no other out
 * @throws AppError 403 `plan_limit` where the workspace has no room for one more channel
 */
export function syncMessages(
  rt: Pick<Runtime, 'orm' | 'settings' | 'config'>,
  auth: Auth,
  { channel, messages }: z.output<typeof SyncBody>,
): Promise<z.input<typeof SyncView>> {
  const { workspaceId, userId: actorId } = auth;
  const by = { workspaceId, actorId, onlyOf: onlyOwner(auth, 'contacts') };
  return storeMessages(rt, by, (em) => openChannel(em, workspaceId, channel), messages);
}

/** @throws AppError 403 `plan_limit` where it would be one channel too many */
async function openChannel(
  em: EntityManager,
  workspaceId: string,
  { externalId, name }: z.output<typeof SyncBody>['channel'],
): Promise<string> {
  const known = await lockChannel(em, externalId, name);
  if (known !== undefined) return known;
  const workspace = await lockWorkspace(em, workspaceId);
  const phone = phoneOfWaId(externalId.replace(/^\+/, ''));
  // Another batch may have made it while the lock was waited for.
  const found = (await lockChannel(em, externalId, name)) ?? (phone && (await adoptChannel(em, externalId, phone)));
  if (found) return found;
  checkLimit(workspace, 'channels', await countChannels(em));
  return addChannel(em, externalId, name);
}

/** Who brings messages: a member, or, with nobody, a channel by itself. */
export interface Bringer {
  workspaceId: string;
  actorId: string | null;
  /** Whose contacts alone may be written to. */
  onlyOf: string | undefined;
}

/** As `syncMessages`. @param openChannel finds the channel, and has its other batches wait */
export async function storeMessages(
  { orm, settings, config }: Pick<Runtime, 'orm' | 'settings' | 'config'>,
  { workspaceId, actorId, onlyOf }: Bringer,
  openChannel: (em: EntityManager) => Promise<string>,
  messages: readonly unknown[],
): Promise<z.input<typeof SyncView>> {
  const { 'privacy.retentionDays': keepDays, 'campaigns.optOutWords': words } =
    await settings.readWorkspace(workspaceId);
  const now = new Date();
  const items = messages.map((value) => readItem(value, now.getTime(), keepDays));
  const groups = groupItems(items);
  const batch = { actorId, onlyOf, now, words, listKey: { appSecret: config.APP_SECRET, workspaceId } };
  return inWorkspaceTx(orm, { workspaceId, userId: actorId ?? undefined }, async (em) => {
    const channelId = await openChannel(em);
    const settled = groups.length === 0 ? [] : await settle(em, { channelId, ...batch }, groups);
    const results = items.map((item): SyncOutcome => ({ outcome: 'invalid', messageId: null, why: faultOf(item) }));
    for (const { group, outcome, messageId, why } of settled) {
      for (const [at, place] of group.places.entries()) {
        const own = at > 0 && outcome !== 'invalid' ? 'known' : outcome;
        results[place] = { outcome: own, messageId, why: outcome === 'invalid' ? (why ?? CLASH) : null };
      }
    }
    const counts = { created: 0, known: 0, updated: 0, invalid: 0 };
    for (const { outcome } of results) counts[outcome] += 1;
    return { channelId, counts, results };
  });
}

const faultOf = (item: ReturnType<typeof readItem>): FieldError | null => (isFault(item) ? item : null);

interface Batch {
  channelId: string;
  actorId: string | null;
  /** Whose contacts alone may be written to. */
  onlyOf: string | undefined;
  now: Date;
  /** What the workspace takes for a no besides. */
  words: readonly string[];
  listKey: ListKey;
}

async function settle(em: EntityManager, batch: Batch, groups: readonly Group[]): Promise<Settled[]> {
  const keys = groups.flatMap((group) => [...group.keys.values()]);
  const stored = new Map((await findKeys(em, batch.channelId, keys)).map((row) => [keyText(row), row]));
  const fresh: Group[] = [];
  const known: { group: Group; row: StoredKey }[] = [];
  const clashing: Settled[] = [];
  for (const group of groups) {
    const rows = [...group.keys.keys()].flatMap((key) => stored.get(key) ?? []);
    const [row] = rows;
    if (!row) fresh.push(group);
    else if (batch.onlyOf !== undefined && rows.some((one) => one.owner_id !== batch.onlyOf))
      clashing.push({ group, outcome: 'invalid', messageId: null, why: NOT_YOURS });
    else if (rows.every(({ id }) => id === row.id)) known.push({ group, row });
    else clashing.push({ group, outcome: 'invalid', messageId: null });
  }
  const barred = await findBarred(em, batch, fresh);
  for (const group of barred) clashing.push({ group, outcome: 'invalid', messageId: null, why: NOT_YOURS });
  const made = await createMessages(
    em,
    batch,
    fresh.filter((group) => !barred.has(group)),
  );
  const risen = await updateMessages(em, batch, known, stored);
  return [...made, ...risen, ...clashing];
}

/** Those whose chat is with a contact that the batch may not be about. */
async function findBarred(em: EntityManager, { onlyOf }: Batch, groups: readonly Group[]): Promise<Set<Group>> {
  if (onlyOf === undefined || groups.length === 0) return new Set();
  const found = await findContacts(
    em,
    groups.map(({ item }) => item.chat),
  );
  const own = await findContactRows(
    em,
    found.filter((id) => id !== null),
    onlyOf,
  );
  const isOwn = new Set(own.map(({ id }) => id));
  return new Set(groups.filter((_, at) => typeof found[at] === 'string' && !isOwn.has(found[at])));
}

async function createMessages(em: EntityManager, batch: Batch, groups: readonly Group[]): Promise<Settled[]> {
  if (groups.length === 0) return [];
  const chats = groups.map(({ item }) => ({ ...item.chat, name: item.name ?? null }));
  const people = await identifyContacts(em, chats, {
    actorId: batch.actorId,
    source: 'message',
    listKey: batch.listKey,
    ownerId: batch.onlyOf ?? null,
    // What people write to a number comes once: it is taken in whoever they are.
    isUnlimited: batch.actorId === null,
  });
  const turnedAway = groups.filter((_, at) => people[at]?.contactId === null);
  const placed = groups.flatMap((group, at) => {
    const contactId = people[at]?.contactId;
    return contactId === undefined || contactId === null
      ? []
      : [{ group, contactId, id: idAt(group.sentAt.getTime(), at) }];
  });
  const byContact = new Map(placed.map((one) => [one.contactId, one]));
  const wanted = [...byContact.values()].map(({ contactId, id, group }) => ({
    contactId,
    messageId: id,
    sentAt: group.sentAt,
  }));
  const opened = await openConversations(em, batch.channelId, wanted);
  const conversations = new Map(opened.map((one) => [one.contact_id, one]));
  const rows = placed.flatMap(({ group, contactId, id }) => {
    const conversation = conversations.get(contactId);
    return conversation ? [{ group, conversation, row: rowOf(batch, group, id, conversation) }] : [];
  });
  await insertMessages(
    em,
    batch.channelId,
    rows.map(({ row }) => row),
  );
  await insertKeys(
    em,
    batch.channelId,
    rows.flatMap(({ group, row }) => [...group.keys.values()].map((key) => ({ ...key, messageId: row.id }))),
  );
  await touchConversations(em, touchesOf(batch, rows));
  const told = rows.filter(({ row }) => isTold(batch, row));
  await emitEvents(
    em,
    told.flatMap(({ row, conversation }) => {
      const where = { messageId: row.id, conversationId: conversation.id, contactId: row.contact_id };
      return eventsOf({ ...where, ownerId: conversation.owner_id }, row.direction, null, row.status, batch.actorId);
    }),
  );
  const begun = new Map(
    told.filter(({ conversation }) => conversation.is_new).map((one) => [one.conversation.id, one]),
  );
  await addActivities(
    em,
    [...begun.values()].map(({ row, conversation }) => ({
      type: 'conversation.started',
      contactId: row.contact_id,
      dealId: null,
      actorId: batch.actorId,
      payload: { conversationId: conversation.id, channelId: batch.channelId, direction: row.direction },
    })),
  );
  return [
    ...rows.map(({ group, row }): Settled => ({ group, outcome: 'created', messageId: row.id })),
    ...turnedAway.map((group): Settled => ({ group, outcome: 'invalid', messageId: null, why: NO_ROOM })),
  ];
}

/** A no counts also when it comes late, as after a weekend without a connection: who said it must not be written to. */
function isTold({ now, words }: Batch, { sent_at: sentAt, direction, type, body }: NewMessage): boolean {
  const ageMs = now.getTime() - sentAt.getTime();
  if (ageMs < FRESH_MS) return true;
  return ageMs < LATE_MS && direction === 'inbound' && type === 'text' && isOptOut(body ?? '', words);
}

const firstOf = (group: Group, kind: 'client' | 'provider'): string | null =>
  [...group.keys.values()].find((key) => key.kind === kind)?.value ?? null;

function rowOf({ actorId }: Batch, group: Group, id: string, conversation: StoredConversation): NewMessage {
  const { item, status } = group;
  return {
    id,
    conversation_id: conversation.id,
    contact_id: conversation.contact_id,
    direction: item.direction,
    type: item.type,
    body: item.body ?? null,
    media_ref: item.mediaRef ?? null,
    status,
    error_code: status === 'failed' ? group.errorCode : null,
    client_id: firstOf(group, 'client'),
    provider_id: firstOf(group, 'provider'),
    actor_id: item.direction === 'outbound' ? actorId : null,
    sent_at: group.sentAt,
  };
}

const latest = (a: Date | null, b: Date): Date => (a !== null && a > b ? a : b);

function touchesOf({ now }: Batch, rows: readonly { row: NewMessage }[]): Touch[] {
  const touches = new Map<string, Touch>();
  for (const { row } of rows) {
    const touch = touches.get(row.conversation_id) ?? {
      id: row.conversation_id,
      last_message_id: row.id,
      last_message_at: row.sent_at,
      last_inbound_at: null,
      last_outbound_at: null,
      unread: [],
    };
    touches.set(row.conversation_id, touch);
    if (row.id > touch.last_message_id) touch.last_message_id = row.id;
    touch.last_message_at = latest(touch.last_message_at, row.sent_at);
    if (row.direction === 'outbound') touch.last_outbound_at = latest(touch.last_outbound_at, row.sent_at);
    else {
      touch.last_inbound_at = latest(touch.last_inbound_at, row.sent_at);
      if (row.status !== 'read' && row.sent_at.getTime() > now.getTime() - FRESH_MS) touch.unread.push(row.sent_at);
    }
  }
  return [...touches.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

async function updateMessages(
  em: EntityManager,
  batch: Batch,
  known: readonly { group: Group; row: StoredKey }[],
  stored: ReadonlyMap<string, StoredKey>,
): Promise<Settled[]> {
  const keys = known.flatMap(({ group, row }) =>
    [...group.keys].flatMap(([text, key]) => (stored.has(text) ? [] : [{ ...key, messageId: row.id }])),
  );
  if (keys.length > 0) await insertKeys(em, batch.channelId, keys);
  const byId = Map.groupBy(known, ({ row }) => row.id);
  const learning = new Set(keys.map(({ messageId }) => messageId));
  const rises = [...byId].flatMap(([id, all]) => {
    const [first] = all;
    const best = all.toSorted((a, b) => rankOf(b.group.status) - rankOf(a.group.status))[0] ?? first;
    if (!first || !best) return [];
    if (rankOf(best.group.status) <= rankOf(first.row.status) && !learning.has(id)) return [];
    const { status, errorCode } = best.group;
    const ids = { client_id: firstOf(best.group, 'client'), provider_id: firstOf(best.group, 'provider') };
    return [{ id, status, error_code: errorCode, ...ids }];
  });
  const risen = rises.length === 0 ? [] : await raiseMessages(em, rises);
  await tellRisen(em, risen, byId, batch);
  const changed = new Set([...risen.map(({ id }) => id), ...learning]);
  return known.map(({ group, row }) => ({
    group,
    outcome: changed.has(row.id) ? 'updated' : 'known',
    messageId: row.id,
  }));
}

async function tellRisen(
  em: EntityManager,
  risen: readonly { id: string; status: MessageStatus }[],
  byId: ReadonlyMap<string, { group: Group; row: StoredKey }[]>,
  { now, actorId }: Batch,
): Promise<void> {
  const events = risen.flatMap(({ id, status }) => {
    const [known] = byId.get(id) ?? [];
    if (!known || known.group.sentAt.getTime() <= now.getTime() - FRESH_MS) return [];
    const { row } = known;
    const where = { messageId: id, conversationId: row.conversation_id, contactId: row.contact_id };
    return eventsOf({ ...where, ownerId: row.owner_id }, row.direction, row.status, status, actorId);
  });
  await emitEvents(em, events);
}

/** What is told of a message whose status went from `before` (null: there was none) to `after`. */
export function eventsOf(
  told: Told,
  direction: 'inbound' | 'outbound',
  before: MessageStatus | null,
  after: MessageStatus,
  actorId: string | null,
): NewEvent<EventType>[] {
  const about = { subjectId: told.contactId, actorId };
  if (direction === 'inbound') return before === null ? [{ type: 'message.received', data: told, ...about }] : [];
  const events: NewEvent<EventType>[] = [];
  const wasSent = before !== null && before !== 'pending' && before !== 'failed';
  if (!wasSent && after !== 'pending' && after !== 'failed')
    events.push({ type: 'message.sent', data: told, ...about });
  if (after === 'failed' || after === 'delivered' || after === 'read')
    events.push({ type: 'message.status', data: { ...told, status: after }, ...about });
  return events;
}
