import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { openPool } from '#src/db/pool.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { createEventRelay } from '#src/events/relay.ts';
import { enrolConsumer } from '#src/events/relay.query.ts';
import { newId } from '#src/lib/ids.ts';
import { createInboundConsumer } from '#src/modules/campaigns/inbound.ts';
import { createItems } from '#src/modules/campaigns/items.query.ts';
import { prepareCampaign } from '#src/modules/campaigns/prepare.ts';
import { scheduleCampaigns, tendCampaigns } from '#src/modules/campaigns/schedule.ts';
import { sendChannel } from '#src/modules/campaigns/send.ts';
import { openKey } from '#src/modules/channels/channel-keys.ts';
import { readTarget } from '#src/modules/channels/channels.query.ts';
import { createCloudCarrier } from '#src/modules/cloud-api/cloud-carrier.ts';
import { openCredentials } from '#src/modules/cloud-api/credentials.ts';
import type { Runtime } from '#src/runtime.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp } from '#test/harness.ts';
import { startReceiver } from '#test/webhooks.ts';

export interface Person {
  name: string;
  phone: string | null;
  waId?: string;
  consent?: 'unknown' | 'granted' | 'denied';
}

/** Contacts of a workspace, as an import leaves them. @returns their ids, in the order given */
export async function addContacts(
  rt: Pick<Runtime, 'orm'>,
  workspaceId: string,
  people: readonly Person[],
): Promise<string[]> {
  const rows = people.map((person) => ({ ...person, id: newId(), consent: person.consent ?? 'unknown' }));
  await inWorkspaceTx(rt.orm, { workspaceId }, async (em) => {
    await em.execute(
      `insert into contact (workspace_id, id, name, phone, consent) select current_workspace(), r.id, r.name, r.phone, r.consent
        from json_to_recordset(?::json) as r (id uuid, name text, phone text, consent text)`,
      [JSON.stringify(rows)],
    );
    await em.execute(
      `insert into contact_identity (workspace_id, id, contact_id, kind, value)
        select current_workspace(), gen_random_uuid(), r.id, k.kind, k.value from json_to_recordset(?::json) as r (id uuid, phone text, "waId" text)
          cross join lateral (values ('phone', r.phone), ('wa_id', r."waId")) k (kind, value) where k.value is not null`,
      [JSON.stringify(rows)],
    );
  });
  return rows.map(({ id }) => id);
}

export const somePeople = (count: number, from = 0): Person[] =>
  Array.from({ length: count }, (_, at) => ({ name: `Pessoa ${from + at}`, phone: `+55119${80_000_000 + from + at}` }));

/** A test app with a gateway; campaigns are prepared, sent and tended by hand, in this process and without Redis between. */
export async function openCampaignTest(env: Record<string, string> = {}) {
  const receiver = await startReceiver();
  const test = await openTestApp({ EGRESS_ALLOW: receiver.target, DEFAULT_PLAN: 'enterprise', ...env });
  const { rt } = test;
  const systemPool = openPool(test.config, { name: 'campaigns', role: 'wh_system', max: 4 }, rt.log);
  const leaseMs = test.config.CAMPAIGN_LEASE_MS;
  const items = createItems(rt.pool, { leaseMs, appSecret: test.config.APP_SECRET });
  const inbound = createInboundConsumer(test.config.APP_SECRET);
  await enrolConsumer(systemPool, inbound.name);
  const relay = createEventRelay({ pool: systemPool, consumers: [inbound], log: rt.log, metrics: rt.metrics });
  const stopping = new AbortController();
  const leaving = new AbortController();
  const worker = {
    items,
    egress: rt.egress,
    leaseMs,
    holder: 'test',
    log: rt.log,
    stopping: stopping.signal,
    leaving: leaving.signal,
  };
  const cloud = { egress: rt.egress, baseUrl: test.config.WHATSAPP_CLOUD_BASE_URL };
  const carrying = { cloud, orm: rt.orm, pool: rt.pool, appSecret: test.config.APP_SECRET, log: rt.log };
  /** What the pool `campaigns` does with a reference. */
  const run = async ({ workspaceId, jobId: id }: { workspaceId: string; jobId: string }): Promise<number | null> => {
    const target = await readTarget(rt.pool, workspaceId, id);
    if (!target) {
      await prepareCampaign(rt, workspaceId, id);
      return null;
    }
    if (target.secrets === null) return null;
    if (target.kind === 'cloud_api') {
      const credentials = await openCredentials(rt.vault, workspaceId, id, target.secrets);
      return sendChannel(worker, {
        workspaceId,
        id,
        carrier: createCloudCarrier(carrying, { workspaceId, id, credentials }),
      });
    }
    if (target.url === null) return null;
    const key = await openKey(rt.vault, workspaceId, id, target.secrets);
    return sendChannel(worker, { workspaceId, id, url: target.url, key });
  };
  const wakeAll = async (): Promise<number> => {
    const refs: { workspaceId: string; jobId: string }[] = [];
    await scheduleCampaigns(systemPool, {
      enqueue: async (_queue, jobs) => void refs.push(...jobs.map(({ ref }) => ref)),
    });
    await Promise.all(refs.map(run));
    return refs.length;
  };
  return {
    ...test,
    receiver,
    systemPool,
    items,
    worker,
    run,
    wakeAll,
    tend: () => tendCampaigns(systemPool),
    /** Has campaigns hear of what people wrote. */
    async hear(): Promise<void> {
      await relay.place();
      while ((await relay.consume(inbound)) > 0);
    },
    /** Until nothing is to be done now. */
    async flow(): Promise<void> {
      await tendCampaigns(systemPool);
      while ((await wakeAll()) > 0);
      await tendCampaigns(systemPool);
    },
    async close() {
      await systemPool.end();
      await test.close();
      await receiver.close();
    },
  };
}
export type CampaignTest = Awaited<ReturnType<typeof openCampaignTest>>;

/** One workspace's owner, as they would use the API. */
export async function aCampaigner(test: CampaignTest) {
  const owner: TestUser = await aUser(test.rt);
  const workspaceId = owner.workspace.id;
  const call = async (
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE' | 'PUT',
    url: string,
    payload?: object,
    headers = {},
  ) => {
    const answer = await test.app.inject({
      method,
      url,
      headers: { ...owner.headers, ...headers },
      ...(payload && { payload }),
    });
    return {
      status: answer.statusCode,
      headers: answer.headers,
      text: answer.body,
      body: answer.headers['content-type']?.toString().includes('json') ? answer.json() : {},
    };
  };
  return {
    owner,
    workspaceId,
    call,
    contacts: (people: readonly Person[]) => addContacts(test.rt, workspaceId, people),
    async channel(body: object = {}): Promise<{ id: string; secret: string }> {
      const made = await call('POST', '/api/channels', {
        name: 'Gateway',
        kind: 'webhook',
        url: test.receiver.url,
        ...body,
      });
      if (made.status !== 201) throw new Error(made.text);
      return made.body;
    },
    async campaign(channelId: string, body: object = {}): Promise<string> {
      const content = 'variants' in body ? {} : { content: { text: 'Oi, {{contact.first_name|"amigo"}}!' } };
      const made = await call('POST', '/api/campaigns', {
        name: 'Natal',
        channelId,
        audience: { all: true },
        ...content,
        ...body,
      });
      if (made.status !== 201) throw new Error(made.text);
      return made.body.id;
    },
    /** Somebody writes, and the extension stores it. */
    async receives(phone: string, body: string, sentAt = new Date()): Promise<void> {
      const waId = `${phone.slice(1)}@c.us`;
      const message = {
        providerId: randomUUID(),
        chat: { waId },
        direction: 'inbound',
        body,
        sentAt: sentAt.toISOString(),
      };
      const stored = await call('POST', '/api/messages/sync', {
        channel: { externalId: 'phone' },
        messages: [message],
      });
      if (stored.body.counts?.created !== 1) throw new Error(stored.text);
      await test.hear();
    },
    start: (id: string, key: string = randomUUID()) =>
      call('POST', `/api/campaigns/${id}/start`, undefined, { 'idempotency-key': key }),
    read: async (id: string) => (await call('GET', `/api/campaigns/${id}`)).body,
    items: async (id: string) => (await call('GET', `/api/campaigns/${id}/items?limit=100`)).body.data,
  };
}

/** Whatever happened, the counters are what the items are. @returns what is wrong */
export async function checkCounters(pool: Pool): Promise<string[]> {
  const { rows } = await pool.query<{ problem: string }>(`
    with said as (select campaign_id, (to_jsonb(n) - 'workspace_id' - 'campaign_id' - 'shard') as c from campaign_counter n),
      told as (select campaign_id, e.key as status, sum(e.value::int) as n from said cross join lateral jsonb_each_text(said.c) e group by 1, 2),
      held as (select campaign_id, status, count(*) as n from campaign_item group by 1, 2)
    select campaign_id || ' ' || status || ': ' || coalesce(t.n, 0) || ' counted, ' || coalesce(h.n, 0) || ' there are' as problem
      from told t full join held h using (campaign_id, status) where coalesce(t.n, 0) <> coalesce(h.n, 0)
    union all
    select c.id || ': ' || c.total || ' in all, ' || (select count(*) from campaign_item i where i.campaign_id = c.id) || ' items' from campaign c
      where c.started_at is not null and c.total <> (select count(*) from campaign_item i where i.campaign_id = c.id)`);
  return rows.map(({ problem }) => problem);
}
