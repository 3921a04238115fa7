import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CloudScriptInput } from '../../../simulator/cloud-script.ts';
import type { Simulator } from '../../../simulator/server.ts';
import { aCampaigner, checkCounters, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { cloudChannel, content, CREDENTIALS, hurry, known, NUMBER, openCloudTest, TEMPLATE } from '#test/cloud.ts';

let cloud: Awaited<ReturnType<typeof openCloudTest>>;
let simulator: Simulator;
let test: CampaignTest;
beforeAll(async () => {
  cloud = await openCloudTest();
  ({ simulator, test } = cloud);
});
afterAll(() => cloud.close());

let me: Awaited<ReturnType<typeof aCampaigner>>;
let channelId: string;
let contacts: string[];
const script = (more: CloudScriptInput = {}) =>
  simulator.cloud.script(NUMBER, {
    accessToken: CREDENTIALS.accessToken,
    webhook: { url: `${cloud.base}/api/hooks/meta/${channelId}`, appSecret: CREDENTIALS.appSecret },
    displayPhoneNumber: '+55 11 3333-4444',
    ...more,
  });
beforeEach(async () => {
  simulator.clear();
  me = await aCampaigner(test);
  contacts = await me.contacts(known(somePeople(4)));
  const made = await me.call('POST', '/api/channels', cloudChannel);
  expect(made.text).toContain('"state":"active"');
  channelId = made.body.id;
  script();
});

/** A campaign that was started and sent as far as it goes, and told of. */
async function send(body: object = { content }): Promise<string> {
  const id = await me.campaign(channelId, body);
  await me.start(id);
  await test.flow();
  await simulator.cloud.idle();
  await test.tend();
  return id;
}
const statuses = async (id: string) => (await me.items(id)).map(({ status }: { status: string }) => status).toSorted();
const sends = () => simulator.cloud.journal;

describe('a channel of the Cloud API', () => {
  it('keeps what it was given to itself, and takes it in parts', async () => {
    for (const [body, path] of [
      [{ ...cloudChannel, credentials: undefined }, 'credentials'],
      [{ ...cloudChannel, phone: undefined }, 'phone'],
      [{ name: 'x', kind: 'extension', credentials: CREDENTIALS }, 'credentials'],
      [{ ...cloudChannel, credentials: { ...CREDENTIALS, phoneNumberId: '../1' } }, 'credentials.phoneNumberId'],
    ] as const) {
      const refused = await me.call('POST', '/api/channels', body);
      expect([refused.status, refused.body.errors?.[0]?.path]).toEqual([400, path]);
    }
    const renewed = await me.call('PATCH', `/api/channels/${channelId}`, {
      credentials: { accessToken: 'EAAG-another' },
    });
    expect(renewed.status).toBe(200);
    const read = await me.call('GET', `/api/channels/${channelId}`);
    const audit = await me.call('GET', '/api/audit?limit=100');
    for (const said of [renewed.text, read.text, audit.text])
      for (const secret of [...Object.values(CREDENTIALS), 'EAAG-another']) expect(said).not.toContain(secret);
    const { rows } = await test.systemPool.query('select encode(secrets, $1) as s from channel where id = $2', [
      'escape',
      channelId,
    ]);
    expect(rows[0].s).not.toContain('EAAG');
    script({ accessToken: 'EAAG-another' });
    expect((await me.call('POST', `/api/channels/${channelId}/test`)).body.problem).toBeNull();
  });

  it('tells how it is, as Meta said when it was asked or by itself', async () => {
    const health = async () => (await me.call('GET', `/api/channels/${channelId}/health`)).body;
    expect(await health()).toMatchObject({ state: 'active', quality: null, checkedAt: null });
    const asked = await me.call('POST', `/api/channels/${channelId}/test`);
    expect(asked.body).toMatchObject({
      quality: 'GREEN',
      messagingLimit: 'TIER_2K',
      throughput: 'STANDARD',
      problem: null,
    });
    const update = { display_phone_number: '551133334444', event: 'FLAGGED', current_limit: 'TIER_250' };
    simulator.cloud.tell(NUMBER, 'phone_number_quality_update', update);
    simulator.cloud.tell(NUMBER, 'phone_number_quality_update', {
      ...update,
      display_phone_number: '1',
      event: 'OTHER',
    });
    await simulator.cloud.idle();
    expect(await health()).toMatchObject({ quality: 'GREEN', messagingLimit: 'TIER_250', event: 'FLAGGED' });
    script({ accessToken: 'expired' });
    expect((await me.call('POST', `/api/channels/${channelId}/test`)).body).toMatchObject({
      quality: 'GREEN',
      problem: 'cloud_190',
    });
    const other = await me.channel({ url: 'https://hooks.example.com/wa' });
    expect((await me.call('POST', `/api/channels/${other.id}/test`)).status).toBe(409);
  });
});

describe('a campaign over it', () => {
  it('sends an approved template with each one’s values, and hears what became of it', async () => {
    script({ templates: [{ ...TEMPLATE, parameters: 1 }], read: 1 });
    const id = await send();
    expect(await statuses(id)).toEqual(['read', 'read', 'read', 'read']);
    expect(await me.read(id)).toMatchObject({ status: 'completed', counters: { read: 4 } });
    expect(
      sends()
        .map(({ to }) => to)
        .toSorted(),
    ).toEqual(somePeople(4).map(({ phone }) => phone));
    expect(sends()[0]?.body).toMatchObject({
      messaging_product: 'whatsapp',
      type: 'template',
      template: { name: 'natal', components: [{ type: 'body', parameters: [{ type: 'text', text: 'Pessoa' }] }] },
    });
    expect(await checkCounters(test.systemPool)).toEqual([]);
  });

  it('is tried out on a few numbers first, as it will be sent', async () => {
    const id = await me.campaign(channelId, { content });
    const tested = await me.call('POST', `/api/campaigns/${id}/test`, { to: ['+5511980000001'] });
    expect(tested.body.results).toMatchObject([{ to: '+5511980000001', text: 'Oi, Pessoa!', outcome: 'sent' }]);
    expect(sends()).toMatchObject([{ to: '+5511980000001', body: { type: 'template', template: { name: 'natal' } } }]);
    script({ accessToken: 'another' });
    const refused = await me.call('POST', `/api/campaigns/${id}/test`, { to: ['+5511980000001'] });
    expect(refused.body.results).toMatchObject([{ outcome: 'failed', code: 'cloud_190', messageId: null }]);
  });

  it('has cloudTemplate for numbers of the Cloud API alone, with texts that are whole', async () => {
    const other = await me.channel({ url: 'https://hooks.example.com/wa' });
    const body = { name: 'x', audience: { all: true }, content };
    const refused = await me.call('POST', '/api/campaigns', { ...body, channelId: other.id });
    expect([refused.status, refused.body.errors?.[0]?.code]).toEqual([400, 'wrong_kind']);
    const written = await me.call('POST', '/api/campaigns', {
      ...body,
      channelId,
      ai: { instruction: 'Escreva', budgetUsd: 1 },
    });
    expect([written.status, written.body.errors?.[0]?.path]).toEqual([400, 'ai']);
    const header = { ...content, cloudTemplate: { ...TEMPLATE, header: '{{contact.first_name}}' } };
    const broken = await me.call('POST', '/api/campaigns', { ...body, channelId, content: header });
    expect([broken.status, broken.body.errors?.[0]?.path]).toEqual([400, 'content.cloudTemplate.header']);
  });

  it('sends free text to those alone who wrote in the last 24 hours', async () => {
    await me.contacts([{ name: 'Bia', phone: '+5531987654321', waId: '553187654321' }]);
    // WhatsApp knows that number without its ninth digit.
    simulator.cloud.say(NUMBER, { from: '553187654321', name: 'Bia', text: 'Oi' });
    simulator.cloud.say(NUMBER, { from: '5511980000001', text: 'Ontem', at: Date.now() - 25 * 3_600_000 });
    await simulator.cloud.idle();
    const id = await send({ content: { text: 'Oi, {{contact.first_name|"amigo"}}!' } });
    expect(sends().map(({ to }) => to)).toEqual(['+5531987654321']);
    const { skipped } = (await me.call('GET', `/api/campaigns/${id}/report`)).body;
    expect(skipped).toEqual({ needs_template: 4 });
  });

  it('stops the number when its token is refused: nobody is lost, and it goes on once that is mended', async () => {
    script({ accessToken: 'another' });
    const id = await send();
    expect(await me.call('GET', `/api/channels/${channelId}`).then(({ body }) => body)).toMatchObject({
      state: 'paused',
      pauseReason: 'token_refused',
    });
    expect(await statuses(id)).toEqual(Array.from({ length: 4 }, () => 'pending'));
    expect((await me.read(id)).status).toBe('running');
    const { rows } = await test.systemPool.query(
      `select data from outbox_event where type = 'channel.state_changed' and workspace_id = $1`,
      [me.workspaceId],
    );
    expect(rows).toMatchObject([{ data: { channelId, state: 'paused', reason: 'token_refused' } }]);
    script();
    const resumed = await me.call('POST', `/api/channels/${channelId}/resume`);
    expect(resumed.body).toMatchObject({ state: 'active', pauseReason: null });
    await test.flow();
    expect(sends().filter(({ effect }) => effect)).toHaveLength(4);
  });

  it('keeps still when it is too fast, and uses nobody’s tries', async () => {
    script({ faults: [{ share: 1, code: 130429 }], faultsPerPerson: 1 });
    const id = await send();
    expect(sends().filter(({ effect }) => effect)).toHaveLength(0);
    expect((await me.call('GET', `/api/channels/${channelId}/health`)).body.slowedUntil).not.toBeNull();
    expect((await me.read(id)).status).toBe('running');
    const claim = await test.items.claim(me.workspaceId, { channelId, max: 5, holder: 'test', horizonMs: 0 });
    expect(claim.items).toEqual([]);
    script();
    await hurry(test, me.workspaceId);
    await test.flow();
    expect(sends().filter(({ effect }) => effect)).toHaveLength(4);
    const attempts = (await me.items(id)).map((one: { attempts: number }) => one.attempts);
    expect(attempts).toEqual([1, 1, 1, 1]);
  });

  it('waits between two messages to one person, and longer where Meta says so', async () => {
    await me.call('PUT', `/api/channels/${channelId}/pacing`, { perContactDay: null, perContactWeek: null });
    await send({ content, audience: { contactIds: contacts.slice(0, 1) } });
    // As if it had been this moment, however slow the machine is.
    await test.systemPool.query(`update campaign_item set dispatch_started_at = now() + interval '60 seconds'`);
    const second = await send({ content, audience: { contactIds: contacts.slice(0, 1) } });
    expect(sends()).toHaveLength(1);
    const { rows } = await test.systemPool.query(
      `select extract(epoch from next_attempt_at - now())::float as wait, error_code from campaign_item where campaign_id = $1`,
      [second],
    );
    expect(rows[0].error_code).toBe('pair_limit');
    expect(rows[0].wait).toBeGreaterThan(1);
    expect(rows[0].wait).toBeLessThan(66.1);
    await me.call('POST', `/api/campaigns/${second}/cancel`);
  });

  it('pauses when its template is refused, and when Meta says that it does not send it any more', async () => {
    script({ templates: [] });
    const id = await send();
    expect(await me.read(id)).toMatchObject({
      status: 'paused',
      pauseReason: 'template_refused',
      counters: { pending: 4 },
    });
    const other = await me.campaign(channelId, { content });
    await me.call('POST', `/api/channels/${channelId}/pause`);
    await me.start(other);
    await test.flow();
    script();
    const update = { event: 'PAUSED', message_template_name: 'natal', message_template_language: 'pt_BR' };
    simulator.cloud.tell(NUMBER, 'message_template_status_update', update);
    await simulator.cloud.idle();
    expect(await me.read(other)).toMatchObject({ status: 'paused', pauseReason: 'template_refused' });
  });

  it('takes those off who stopped marketing, and numbers where nothing arrives twice', async () => {
    const [first, second] = contacts;
    script({ faults: [{ share: 1, code: 131050 }] });
    await send({ content, audience: { contactIds: [first] } });
    expect((await me.call('GET', `/api/contacts/${first}`)).body.consent).toBe('denied');
    script({ fates: [{ share: 1, code: 131026 }] });
    await me.call('PUT', `/api/channels/${channelId}/pacing`, { perContactDay: null, perContactWeek: null });
    const isOff = async () => (await me.call('GET', '/api/suppressions?phone=%2B5511980000001')).body.data;
    const failed = await send({ content, audience: { contactIds: [second] } });
    expect(await me.items(failed)).toMatchObject([{ status: 'failed', errorCode: 'cloud_131026' }]);
    expect(await isOff()).toEqual([]);
    await test.systemPool.query(`update campaign_item set dispatch_started_at = now() - interval '1 minute'`);
    await send({ content, audience: { contactIds: [second] } });
    expect(await isOff()).toMatchObject([{ reason: 'invalid' }]);
    const preference = {
      wa_id: '5511980000002',
      category: 'marketing_messages',
      value: 'stop',
      detail: '',
      timestamp: 1,
    };
    simulator.cloud.tell(NUMBER, 'user_preferences', {
      metadata: { display_phone_number: '1', phone_number_id: NUMBER },
      user_preferences: [preference],
    });
    await simulator.cloud.idle();
    expect((await me.call('GET', `/api/contacts/${contacts[2]}`)).body.consent).toBe('denied');
  });

  it('knows by a status what the answer did not say, and sends nothing again that it does not know', async () => {
    script({ faults: [{ share: 1, lost: 'cut' }], webhook: undefined });
    const id = await me.campaign(channelId, { content, audience: { contactIds: contacts.slice(0, 2) } });
    await me.start(id);
    await test.flow();
    expect(await statuses(id)).toEqual(['unknown', 'unknown']);
    await hurry(test, me.workspaceId);
    await test.flow();
    expect(sends()).toHaveLength(2);
    const [first] = sends();
    script();
    const said = { id: first?.messageId, status: 'delivered', timestamp: `${Math.floor(Date.now() / 1000)}` };
    cloud.tellStatuses([{ ...said, biz_opaque_callback_data: first?.callback }]);
    await simulator.cloud.idle();
    expect(await statuses(id)).toEqual(['delivered', 'unknown']);
  });
});

const told = (name: string, more: object) => ({
  id: 'wamid.x',
  status: name,
  timestamp: `${Math.floor(Date.now() / 1000)}`,
  ...more,
});
async function begun() {
  const id = await me.campaign(channelId, { content, audience: { contactIds: contacts.slice(0, 1) } });
  await me.start(id);
  await test.run({ workspaceId: me.workspaceId, jobId: id });
  const { items } = await test.items.claim(me.workspaceId, { channelId, max: 1, holder: 'test', horizonMs: 0 });
  const [item] = items;
  if (!item) throw new Error('There was one');
  await test.items.begin(me.workspaceId, items);
  return { id, item, own: { biz_opaque_callback_data: `${item.itemId}.${item.attemptId}` } };
}
const url = () => `/api/hooks/meta/${channelId}`;
const post = (payload: string, signature?: string, to = url()) => {
  const headers = { 'content-type': 'application/json', ...(signature && { 'x-hub-signature-256': signature }) };
  return test.app.inject({ method: 'POST', url: to, payload, headers });
};
const signed = (text: string) => `sha256=${createHmac('sha256', CREDENTIALS.appSecret).update(text).digest('hex')}`;

const verify = (query: Record<string, string>) =>
  test.app.inject({ url: url(), query: { 'hub.mode': 'subscribe', 'hub.challenge': '1158201444', ...query } });

describe('statuses', () => {
  const failure = { errors: [{ code: 131049 }] };
  const sent = {
    result: 'sent' as const,
    retryable: false,
    isChannels: false,
    code: null,
    messageId: 'wamid.x',
    retryAfterMs: null,
  };

  it('never fall, in whatever order and however often they come; a refusal that overtakes the acceptance stays', async () => {
    const { id, item, own } = await begun();
    cloud.tellStatuses([told('failed', { ...own, ...failure })]);
    await simulator.cloud.idle();
    expect(await me.items(id)).toMatchObject([{ status: 'failed', errorCode: 'cloud_131049' }]);
    const [acked] = await test.items.ack(me.workspaceId, [{ ...item, ...sent }], 'cloud_ack');
    expect(acked).toMatchObject({ verdict: 'repeated', status: 'failed' });
    cloud.tellStatuses([told('sent', own)]);
    await simulator.cloud.idle();
    expect(await statuses(id)).toEqual(['failed']);
    // It arrived after all, says who should know.
    cloud.tellStatuses([told('read', own), told('delivered', own)]);
    cloud.tellStatuses([told('sent', own), told('failed', { ...own, ...failure }), told('delivered', own)]);
    await simulator.cloud.idle();
    expect(await me.items(id)).toMatchObject([{ status: 'read', errorCode: null }]);
    expect(await checkCounters(test.systemPool)).toEqual([]);
  });

  it('of an attempt that is over fail nothing of the one behind it', async () => {
    const { id, item, own } = await begun();
    await test.items.ack(me.workspaceId, [{ ...item, ...sent, result: 'unknown', messageId: null }], 'cloud_ack');
    await me.call('POST', `/api/campaigns/${id}/items/${item.itemId}/resolve`, { as: 'resend' });
    await hurry(test, me.workspaceId);
    await test.run({ workspaceId: me.workspaceId, jobId: channelId });
    await simulator.cloud.idle();
    const [before] = await statuses(id);
    cloud.tellStatuses([told('failed', { ...own, ...failure })]);
    await simulator.cloud.idle();
    expect(await statuses(id)).toEqual([before]);
    expect(['delivered', 'read']).toContain(before);
  });
});

describe('the webhook', () => {
  it('is ours to whoever knows the verify token', async () => {
    const known = await verify({ 'hub.verify_token': CREDENTIALS.verifyToken });
    expect([known.statusCode, known.body]).toEqual([200, '1158201444']);
    expect(known.headers['content-type']).toContain('text/plain');
    expect((await verify({ 'hub.verify_token': 'guessed' })).statusCode).toBe(401);
    const script = { 'hub.verify_token': CREDENTIALS.verifyToken, 'hub.challenge': '<script>' };
    expect((await verify(script)).statusCode).toBe(400);
  });

  it('takes what the app’s secret signed, over the bytes as they came', async () => {
    const body = '{ "object": "whatsapp_business_account",  "entry": [] }';
    expect((await post(body, signed(body))).statusCode).toBe(200);
    for (const answer of [
      await post(body),
      await post(`${body} `, signed(body)),
      await post(JSON.stringify(JSON.parse(body)), signed(body)),
      await post(body, signed(body), '/api/hooks/meta/0197b000-0000-7000-8000-000000000001'),
      await post(
        body,
        signed(body),
        `/api/hooks/meta/${(await me.channel({ url: 'https://hooks.example.com/wa' })).id}`,
      ),
      await post(body, signed(body), `/api/delivery/callbacks/${channelId}`),
    ])
      expect(answer.statusCode).toBe(401);
    for (const text of ['', 'no', '{"object":"page","entry":[]}'])
      expect((await post(text, signed(text))).statusCode).toBe(400);
  });

  it('brings what people write into conversations, once however often it comes', async () => {
    const message = { from: '5511980000003', name: 'Pessoa 3', text: 'Quanto custa?', id: 'wamid.in.1' };
    for (let times = 0; times < 3; times += 1) simulator.cloud.say(NUMBER, message);
    simulator.cloud.say(NUMBER, { from: '5521999998888', name: 'Nova', more: { type: 'image', image: { id: '77' } } });
    await simulator.cloud.idle();
    expect(simulator.cloud.answersOf(NUMBER).every((answer) => answer === 200)).toBe(true);
    const { data } = (await me.call('GET', `/api/conversations?channelId=${channelId}`)).body;
    expect(data).toHaveLength(2);
    const mine = data.find((one: { contact: { id: string } }) => one.contact.id === contacts[3]);
    expect(mine).toMatchObject({ unreadCount: 1 });
    const messages = (await me.call('GET', `/api/conversations/${mine.id}/messages`)).body.data;
    expect(messages).toMatchObject([{ direction: 'inbound', body: 'Quanto custa?', providerId: 'wamid.in.1' }]);
  });
});
