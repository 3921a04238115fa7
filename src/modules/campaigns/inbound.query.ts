import type { PoolClient } from 'pg';

/** A message somebody wrote, as the system reads it. */
export interface Inbound {
  workspaceId: string;
  messageId: string;
  contactId: string;
  channelId: string;
  body: string | null;
  /** As Postgres writes it. */
  sentAt: string;
  /** What the workspace takes for a no besides; of whatever shape. */
  words: unknown;
}

/** How long after a campaign's message an answer is one to it. */
const REPLY_HOURS = 72;

export async function findInbound(
  tx: PoolClient,
  events: readonly { workspaceId: string; messageId: string }[],
): Promise<Inbound[]> {
  const { rows } = await tx.query<Inbound>({
    name: 'campaign-inbound',
    text: `select m.workspace_id as "workspaceId", m.id as "messageId", m.contact_id as "contactId", m.channel_id as "channelId",
        case when m.type = 'text' then left(m.body, 200) end as body, m.sent_at::text as "sentAt",
        (select s.value from workspace_setting s where s.workspace_id = m.workspace_id and s.key = 'campaigns.optOutWords') as words
      from unnest($1::uuid[], $2::uuid[]) as e (workspace_id, id) join message m on m.workspace_id = e.workspace_id and m.id = e.id`,
    values: [events.map(({ workspaceId }) => workspaceId), events.map(({ messageId }) => messageId)],
  });
  return rows;
}

/**
 * Notes who answered: the newest campaign message that had been sent to them within the last days, on the channel they wrote to before
 * others. The first answer counts.
 */
export async function noteReplies(
  tx: PoolClient,
  replies: readonly { workspaceId: string; messageId: string; isOptOut: boolean }[],
): Promise<void> {
  await tx.query({
    name: 'campaign-replies',
    text: `with told as materialized (
        select m.workspace_id, m.contact_id, m.channel_id, m.sent_at, e.is_opt_out from unnest($1::uuid[], $2::uuid[], $3::boolean[]) as e
            (workspace_id, id, is_opt_out)
          join message m on m.workspace_id = e.workspace_id and m.id = e.id),
      meant as (
        select i.workspace_id, i.id, min(t.sent_at) as at, min(t.sent_at) filter (where t.is_opt_out) as opted_out_at from told t cross join lateral (
          select i.workspace_id, i.id from campaign_item i where i.workspace_id = t.workspace_id and i.contact_id = t.contact_id
            and i.status in ('dispatching', 'sent', 'delivered', 'read', 'unknown') and i.dispatch_started_at <= t.sent_at + interval '1 minute'
            and i.dispatch_started_at > t.sent_at - interval '${REPLY_HOURS} hours'
          order by i.channel_id = t.channel_id desc, i.dispatch_started_at desc limit 1) i group by 1, 2),
      locked as materialized (
        select i.workspace_id, i.id, m.at, m.opted_out_at from campaign_item i join meant m on m.workspace_id = i.workspace_id and m.id = i.id
          order by i.workspace_id, i.id for no key update of i)
      update campaign_item i set replied_at = coalesce(i.replied_at, l.at), opted_out_at = coalesce(i.opted_out_at, l.opted_out_at), updated_at = now()
        from locked l where i.workspace_id = l.workspace_id and i.id = l.id
          and (i.replied_at is null or (i.opted_out_at is null and l.opted_out_at is not null))`,
    values: [
      replies.map(({ workspaceId }) => workspaceId),
      replies.map(({ messageId }) => messageId),
      replies.map(({ isOptOut }) => isOptOut),
    ],
  });
}

/** Somebody who says no, with what they are known by. */
export interface Leaving {
  workspaceId: string;
  contactId: string;
  phone: string | null;
  known: { kind: string; value: string }[];
}

/**
 * Locks contacts until the transaction ends, and has whoever learns another number of theirs wait; those who said no before, or yes since, or are
 * gone, are passed over.
 */
export async function lockLeaving(
  tx: PoolClient,
  contacts: readonly { workspaceId: string; contactId: string; sentAt: string }[],
): Promise<Leaving[]> {
  const locked = await tx.query<{ workspaceId: string; contactId: string }>({
    name: 'campaign-leaving',
    text: `select c.workspace_id as "workspaceId", c.id as "contactId"
      from contact c where exists (select from unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) n (workspace_id, id, sent_at)
          where n.workspace_id = c.workspace_id and n.id = c.id and not exists (select from consent_event e where e.workspace_id = c.workspace_id
            and e.contact_id = c.id and e.decision = 'granted' and e.created_at > n.sent_at))
        and c.id = any ($2::uuid[]) and c.erased_at is null and c.consent <> 'denied'
      order by c.workspace_id, c.id for update of c`,
    values: [
      contacts.map(({ workspaceId }) => workspaceId),
      contacts.map(({ contactId }) => contactId),
      contacts.map(({ sentAt }) => sentAt),
    ],
  });
  if (locked.rows.length === 0) return [];
  // A statement of its own: one that waits for the lock does not see what was learnt meanwhile.
  const { rows } = await tx.query<Leaving>({
    name: 'campaign-leaving-known',
    text: `select c.workspace_id as "workspaceId", c.id as "contactId", c.phone,
        (select coalesce(json_agg(json_build_object('kind', i.kind, 'value', i.value)), '[]') from contact_identity i
          where i.workspace_id = c.workspace_id and i.contact_id = c.id) as known
      from unnest($1::uuid[], $2::uuid[]) n (workspace_id, id) join contact c on c.workspace_id = n.workspace_id and c.id = n.id
      order by c.workspace_id, c.id`,
    values: [locked.rows.map(({ workspaceId }) => workspaceId), locked.rows.map(({ contactId }) => contactId)],
  });
  return rows;
}

/**
 * Writes down that somebody said no, and by which message: consent, the list of who is not written to, timeline and event. What is still to be
 * sent to them is skipped by the change of consent itself.
 * @param hashes of their numbers, in hexadecimal
 */
export async function writeLeaving(
  tx: PoolClient,
  one: { workspaceId: string; contactId: string; messageId: string; hashes: readonly string[] },
): Promise<void> {
  await tx.query({
    name: 'campaign-leave',
    text: `with left_out as (
        update contact c set consent = 'denied', version = version + 1, updated_at = now() where c.workspace_id = $1 and c.id = $2
          returning c.workspace_id, c.id, c.owner_id),
      listed as (
        insert into suppression (workspace_id, id, address_hash, reason, source)
          select l.workspace_id, uuidv7(), decode(h, 'hex'), 'opt_out', 'contact' from left_out l, unnest($4::text[]) h order by h
          on conflict on constraint suppression_address do nothing),
      proven as (
        insert into consent_event (workspace_id, id, contact_id, decision, legal_basis, proof)
          select l.workspace_id, uuidv7(), l.id, 'denied', 'consent', 'message ' || $3::text from left_out l),
      told as (
        insert into outbox_event (workspace_id, id, type, subject_id, actor_id, data)
          select l.workspace_id, uuidv7(), 'contact.opted_out', l.id, null, json_build_object('contactId', l.id, 'ownerId', l.owner_id) from left_out l)
      insert into activity (workspace_id, id, type, contact_id, payload)
        select l.workspace_id, uuidv7(), 'contact.opted_out', l.id, json_build_object('legalBasis', 'consent', 'messageId', $3::uuid) from left_out l`,
    values: [one.workspaceId, one.contactId, one.messageId, one.hashes],
  });
}
