import { createSimulator } from '../simulator/server.ts';
import { openCampaignTest, type CampaignTest, type Person } from '#test/campaigns.ts';

export const CREDENTIALS = {
  phoneNumberId: '106540352242922',
  accessToken: 'EAAG-a-token-of-a-system-user',
  appSecret: 'the-secret-of-the-app',
  verifyToken: 'chosen-by-the-owner',
};
export const NUMBER = CREDENTIALS.phoneNumberId;
export const TEMPLATE = { name: 'natal', language: 'pt_BR' };
export const content = { text: 'Oi, {{contact.first_name|"amigo"}}!', cloudTemplate: TEMPLATE };
export const cloudChannel = { name: 'Loja', kind: 'cloud_api', phone: '+551133334444', credentials: CREDENTIALS };

/** As WhatsApp knows them, and so the contacts. */
export const known = (people: readonly Person[]): Person[] =>
  people.map((person) => ({ ...person, ...(person.phone && { waId: person.phone.slice(1) }) }));

/** A test app that listens, with a Cloud API beside it that tells it what happens. */
export async function openCloudTest() {
  const simulator = await createSimulator();
  const test = await openCampaignTest({
    EGRESS_ALLOW: new URL(simulator.url).host,
    WHATSAPP_CLOUD_BASE_URL: `${simulator.url}/whatsapp/v25.0`,
  });
  const base = await test.app.listen({ host: '127.0.0.1', port: 0 });
  const close = async () => {
    await test.close();
    await simulator.close();
  };
  const tellStatuses = (statuses: object[]) =>
    simulator.cloud.tell(NUMBER, 'messages', {
      metadata: { display_phone_number: '1', phone_number_id: NUMBER },
      statuses,
    });
  return { simulator, test, base, tellStatuses, close };
}

/** As if it were time for all that waits in a workspace. */
export const hurry = (test: CampaignTest, workspaceId: string) =>
  test.systemPool.query(
    `with f as (update channel_flow set not_before = '-infinity', blocked_until = '-infinity', slowed_until = '-infinity' where workspace_id = $1)
      update campaign_item set next_attempt_at = now() where workspace_id = $1 and status = 'pending'`,
    [workspaceId],
  );
