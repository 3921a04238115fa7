import type { EntityManager } from '@mikro-orm/postgresql';
import type { ConversationBody, ConversationView } from '#src/modules/messages/messages.schemas.ts';

export interface ConversationRow {
  id: string;
  channel_id: string;
  contact_id: string;
  contact_name: string;
  contact_phone: string | null;
  owner_id: string | null;
  assignee_id: string | null;
  status: 'open' | 'closed';
  unread_count: number;
  last_message_id: string;
  last_message_at: Date;
  last_inbound_at: Date | null;
  last_outbound_at: Date | null;
  created_at: Date;
}

const COLUMNS = `c.id, c.channel_id, c.contact_id, p.name as contact_name, p.phone as contact_phone, c.owner_id, c.assignee_id, c.status,
  c.unread_count, c.last_message_id, c.last_message_at, c.last_inbound_at, c.last_outbound_at, c.created_at`;
const WITH_CONTACT = `conversation c join contact p on p.workspace_id = current_workspace() and p.id = c.contact_id and p.deleted_at is null`;

const isoOf = (moment: Date | null) => moment && new Date(moment).toISOString();

export const toConversationView = (row: ConversationRow): ConversationView => ({
  id: row.id,
  channelId: row.channel_id,
  contact: { id: row.contact_id, name: row.contact_name, phone: row.contact_phone, ownerId: row.owner_id },
  status: row.status,
  assigneeId: row.assignee_id,
  unreadCount: row.unread_count,
  lastMessageId: row.last_message_id,
  lastMessageAt: new Date(row.last_message_at).toISOString(),
  lastInboundAt: isoOf(row.last_inbound_at),
  lastOutboundAt: isoOf(row.last_outbound_at),
  createdAt: new Date(row.created_at).toISOString(),
});

/** Which conversations; what is left out is not asked for. */
export interface ConversationsAsked {
  ownerId?: string | undefined;
  isUnread?: boolean | undefined;
  /** A member's id; null: nobody's. */
  assigneeId?: string | null | undefined;
  status?: 'open' | 'closed' | undefined;
  channelId?: string | undefined;
  contactId?: string | undefined;
  q?: string | undefined;
  after?: { at: string; id: string } | undefined;
  limit: number;
}

const likeOf = (text: string): string => `%${text.replaceAll(/[\\%_]/g, String.raw`\$&`)}%`;

/** Those with the newest messages first. */
export async function listConversations(em: EntityManager, asked: ConversationsAsked): Promise<ConversationRow[]> {
  const where: string[] = ['c.workspace_id = current_workspace()'];
  const values: string[] = [];
  const add = (sql: string, ...given: string[]): void => {
    where.push(sql);
    values.push(...given);
  };
  if (asked.ownerId !== undefined) add('c.owner_id = ?::uuid', asked.ownerId);
  if (asked.isUnread !== undefined) add(asked.isUnread ? 'c.unread_count > 0' : 'c.unread_count = 0');
  if (asked.assigneeId === null) add('c.assignee_id is null');
  else if (asked.assigneeId !== undefined) add('c.assignee_id = ?::uuid', asked.assigneeId);
  if (asked.status !== undefined) add('c.status = ?', asked.status);
  if (asked.channelId !== undefined) add('c.channel_id = ?::uuid', asked.channelId);
  if (asked.contactId !== undefined) add('c.contact_id = ?::uuid', asked.contactId);
  if (asked.q !== undefined) add('p.search like fold(?::text)', likeOf(asked.q));
  if (asked.after !== undefined)
    add('(c.last_message_at, c.id) < (?::timestamptz, ?::uuid)', asked.after.at, asked.after.id);
  return em.execute<ConversationRow[]>(
    `select ${COLUMNS} from ${WITH_CONTACT} where ${where.join(' and ')}
      order by c.last_message_at desc, c.id desc limit ${asked.limit}`,
    values,
  );
}

export async function findConversation(
  em: EntityManager,
  id: string,
  ownerId: string | undefined,
  isLocked = false,
): Promise<ConversationRow | undefined> {
  const rows = await em.execute<ConversationRow[]>(
    `select ${COLUMNS} from ${WITH_CONTACT} where c.workspace_id = current_workspace() and c.id = ?::uuid
      ${ownerId === undefined ? '' : 'and c.owner_id = ?::uuid'} ${isLocked ? 'for no key update of c' : ''}`,
    ownerId === undefined ? [id] : [id, ownerId],
  );
  return rows[0];
}

/** Changes what is given. */
export async function updateConversation(em: EntityManager, id: string, change: ConversationBody): Promise<void> {
  const isReassigned = change.assigneeId !== undefined;
  const isRead = change.read === true;
  await em.execute(
    `update conversation set updated_at = now(), status = coalesce(?::text, status),
        assignee_id = case when ?::boolean then ?::uuid else assignee_id end,
        unread_count = case when ?::boolean then 0 else unread_count end,
        read_at = case when ?::boolean then now() else read_at end
      where workspace_id = current_workspace() and id = ?::uuid`,
    [change.status ?? null, isReassigned, change.assigneeId ?? null, isRead, isRead, id],
  );
}

export async function isMember(em: EntityManager, userId: string): Promise<boolean> {
  const rows = await em.execute<unknown[]>(
    'select 1 from member where workspace_id = current_workspace() and user_id = ?::uuid',
    [userId],
  );
  return rows.length > 0;
}
