import type { EntityManager } from '@mikro-orm/postgresql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findItemsOfContact } from '#src/modules/campaigns/report.query.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { aCampaigner, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { aDeniedMember } from '#test/factories.ts';

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
let contacts: string[];
beforeAll(async () => {
  test = await openCampaignTest();
  me = await aCampaigner(test);
  contacts = await me.contacts(somePeople(3));
});
afterAll(() => test.close());

const denied = async (...denies: string[]) => (await aDeniedMember(test.rt, me.workspaceId, denies)).headers;
/** Every page of a contact's list, one at a time. */
async function pages(path: string, headers = {}) {
  const found: Record<string, unknown>[] = [];
  for (let cursor = ''; ;) {
    const { status, body } = await me.call('GET', `/api/contacts/${path}?limit=1${cursor}`, undefined, headers);
    if (status !== 200) return status;
    found.push(...body.data);
    if (!body.page.hasMore) return found;
    cursor = `&cursor=${body.page.nextCursor}`;
  }
}

describe('of a contact', () => {
  it('deals are listed, the newest first, to who may see them', async () => {
    const limited = await aDeniedMember(test.rt, me.workspaceId, ['deals:all']);
    const deal = async (title: string, contactId?: string, ownerId?: string) =>
      (await me.call('POST', '/api/deals', { title, contactId, ...(ownerId && { ownerId }) })).body.id;
    const ids = [
      await deal('Um', contacts[0]),
      await deal('Dois', contacts[0], limited.user.id),
      await deal('Três', contacts[0]),
    ];
    await deal('De outra', contacts[1]);
    const idsOf = async (headers = {}) => {
      const found = await pages(`${contacts[0]}/deals`, headers);
      return Array.isArray(found) ? found.map(({ id }) => id) : found;
    };
    expect(await idsOf()).toEqual(ids.toReversed());
    expect(await idsOf(limited.headers)).toEqual([ids[1]]);
    expect(await idsOf(await denied('deals:read'))).toBe(403);
    expect(await idsOf(await denied('contacts:all'))).toBe(404);
    expect(await pages(`${crypto.randomUUID()}/deals`)).toBe(404);
  });

  it('campaigns are listed with what became of them, the newest first, to who may see them', async () => {
    test.receiver.answers(() => ({ text: '{"messageId":"m"}' }));
    const { id: channelId } = await me.channel();
    const sent: string[] = [];
    for (const name of ['Natal', 'Ano novo']) {
      const id = await me.campaign(channelId, { name, audience: { contactIds: [contacts[0]] } });
      await me.start(id);
      await test.flow();
      sent.unshift(id);
    }
    const csv = async (headers = {}) =>
      (await me.call('GET', `/api/campaigns/${sent[0]}/report.csv`, undefined, headers)).text.split('\r\n')[1];
    expect(await csv()).toContain(`"${contacts[0]}","Pessoa 0"`);
    const made = await me.call('POST', '/api/api-keys', { name: 'Chave', scopes: ['campaigns:read'] });
    expect(await csv({ authorization: `Bearer ${made.body.secret}` })).toContain(`"${contacts[0]}",""`);
    const path = `${contacts[0]}/campaigns`;
    expect(await pages(path)).toMatchObject([
      { campaignId: sent[0], campaignName: 'Ano novo', status: 'sent', contactId: contacts[0], messageId: 'm' },
      { campaignId: sent[1], campaignName: 'Natal', campaignStatus: 'completed', variant: expect.any(String) },
    ]);
    expect(await pages(`${contacts[1]}/campaigns`)).toEqual([]);
    expect(await pages(path, await denied('contacts:all'))).toBe(404);
    expect(await pages(path, await denied('campaigns:read'))).toBe(403);
    // Campaigns of all are not for who sees their own deals alone.
    expect(await pages(path, await denied('deals:all'))).toEqual([]);
    await me.call('POST', '/api/contacts/merge', { winnerId: contacts[2], loserIds: [contacts[0]] });
    expect(await pages(path)).toHaveLength(2);
    expect(await pages(`${contacts[2]}/campaigns`)).toHaveLength(2);
  });

  it('campaigns are found by an index', async () => {
    const only = { ownerId: null, dealOwnerId: null };
    const plan = await inWorkspaceTx(test.rt.orm, { workspaceId: me.workspaceId }, async (em) => {
      await em.execute('set local enable_seqscan = off');
      const explain = (sql: string, params: unknown[]) => em.execute(`explain ${sql}`, params);
      const asked = Object.create(em, { execute: { value: explain } }) as EntityManager;
      return JSON.stringify(await findItemsOfContact(asked, contacts[0] ?? '', { only, before: null, limit: 26 }));
    });
    expect(plan).toMatch(/campaign_item_of_contact/);
  });
});
