import type { EntityManager } from '@mikro-orm/postgresql';

const BATCH = 2000;

/**
 * Takes a person out of campaigns: what waits to be sent to them is skipped, and what stood for their number stands for nothing any more; what
 * WhatsApp calls a message may have the number in it. The items stay, since a campaign counts them.
 */
export async function eraseItems(
  em: EntityManager,
  { contactIds }: { contactIds: readonly string[] },
): Promise<{ count: number; place: string | null }> {
  const rows = await em.execute<unknown[]>(
    `update campaign_item i set address_hash = sha256(convert_to(i.id::text, 'UTF8')), provider_message_id = null,
        text = null, rendered = null, own_message_id = null, awaits_text = false, text_job_id = null, updated_at = now(), status = case when i.status in ('pending', 'claimed') then 'skipped' else i.status end,
        skip_reason = case when i.status in ('pending', 'claimed') then 'contact_gone' else i.skip_reason end,
        lease_expires_at = case when i.status in ('pending', 'claimed') then null else i.lease_expires_at end
      where i.workspace_id = current_workspace() and i.id in (select o.id from campaign_item o where o.workspace_id = current_workspace()
        and o.contact_id in (select jsonb_array_elements_text(?::jsonb)::uuid) and o.address_hash <> sha256(convert_to(o.id::text, 'UTF8'))
        limit ${BATCH}) returning 1 as one`,
    [JSON.stringify(contactIds)],
  );
  return { count: rows.length, place: rows.length < BATCH ? null : 'more' };
}
