import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Webhook } from 'standardwebhooks';
import { aCampaigner, checkCounters, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';

let test: CampaignTest;
let me: Awaited<ReturnType<typeof aCampaigner>>;
beforeAll(async () => {
  test = await openCampaignTest();
});
afterAll(() => test.close());
beforeEach(async () => {
  me = await aCampaigner(test);
  let sent = 0;
  test.receiver.answers(() => ({ text: JSON.stringify({ messageId: `wamid-${(sent += 1)}` }) }));
});

const dataOf = (at: number) => Object(test.receiver.received[at]?.body['data']);

describe('a campaign through a gateway', () => {
  it('reaches each person once, signed, and says what became of them', async () => {
    await me.contacts(somePeople(3));
    const channel = await me.channel();
    const made = await me.call('POST', '/api/campaigns', {
      name: 'Natal',
      channelId: channel.id,
      content: { text: 'Oi, {{contact.first_name|"amigo"}}!' },
      audience: { all: true },
    });
    expect(made.body).toMatchObject({ status: 'draft', counters: { total: 0 } });
    expect(made.body.notice).toContain('Cloud API');
    const id = made.body.id;
    expect(await me.start(id)).toMatchObject({ status: 202, body: { status: 'preparing' } });
    await test.flow();
    expect(test.receiver.received).toHaveLength(3);
    const [first] = test.receiver.received;
    expect(first?.body).toMatchObject({ type: 'campaign.item', data: { text: 'Oi, Pessoa!' } });
    const headers = Object.fromEntries(
      Object.entries(first?.headers ?? {}).map(([name, value]) => [name, String(value)]),
    );
    expect(() => new Webhook(channel.secret).verify(first?.text ?? '', headers)).not.toThrow();
    expect(await me.read(id)).toMatchObject({ status: 'completed', counters: { total: 3, sent: 3, pending: 0 } });
    const [item] = await me.items(id);
    const attempts = await me.call('GET', `/api/campaigns/${id}/items/${item.id}/attempts`);
    expect(attempts.body.data.map(({ to }: { to: string }) => to)).toEqual(['claimed', 'dispatching', 'sent']);
    expect((await me.call('GET', `/api/campaigns/${id}/progress`)).body).toMatchObject({ etaSeconds: 0 });
    expect((await me.call('GET', `/api/campaigns/${id}/report`)).body).toMatchObject({
      funnel: { reached: 3, delivered: 0 },
    });
    expect((await me.call('GET', `/api/campaigns/${id}/report.csv`)).text.split('\r\n')).toHaveLength(5);
    expect(await checkCounters(test.systemPool)).toEqual([]);
  });

  it.each([
    ['422', { status: 422 }, 'failed'],
    ['a 2xx that names no message', { text: 'ok' }, 'unknown'],
    ['an id that no table can hold', { text: '{"messageId":"a\\u0000\\ud800"}' }, 'sent'],
    ['a 500', { status: 500 }, 'unknown'],
    ['a 302', { status: 302, headers: { location: '/x' } }, 'unknown'],
    ['a 503 that says nothing happened', { status: 503, text: '{"effect":"none"}' }, 'pending'],
  ])('takes %s for %s', async (_, answer, status) => {
    await me.contacts(somePeople(1));
    const id = await me.campaign((await me.channel()).id);
    test.receiver.answers(() => answer);
    await me.start(id);
    await test.flow();
    expect(test.receiver.received).toHaveLength(1);
    expect((await me.items(id)).map((item: { status: string }) => item.status)).toEqual([status]);
    if (status === 'unknown') expect(await me.read(id)).toMatchObject({ status: 'completed_with_unknown' });
  });

  it('is one send for two spellings of one number, and for nobody who must not be written to', async () => {
    await me.contacts([
      { name: 'Bia', phone: '+5511987654321' },
      { name: 'Bia antiga', phone: null, waId: '551187654321' },
      { name: 'Não', phone: '+5511987654322', consent: 'denied' },
      { name: 'Sem número', phone: null },
    ]);
    const id = await me.campaign((await me.channel()).id);
    const excluded = { same_address: 1, opted_out: 1, no_identity: 1 };
    const preview = await me.call('POST', '/api/campaigns/preview-audience', { audience: { all: true } });
    expect(preview.body).toMatchObject({ count: 1, excluded, sample: [{ name: 'Bia', phone: '+5511987654321' }] });
    await me.start(id);
    await test.flow();
    expect(test.receiver.received).toHaveLength(1);
    expect(dataOf(0).to).toBe('+5511987654321');
    expect(await me.read(id)).toMatchObject({ counters: { total: 1, sent: 1 }, excluded });
  });

  it('skips who left between the start and the sending', async () => {
    const [gone, other] = await me.contacts(somePeople(2));
    const id = await me.campaign((await me.channel()).id);
    await me.start(id);
    await test.run({ workspaceId: me.workspaceId, jobId: id });
    expect(await me.call('POST', '/api/suppressions', { phone: '(11) 98000-0000' })).toMatchObject({ status: 201 });
    await test.flow();
    expect(test.receiver.received).toHaveLength(1);
    const items = await me.items(id);
    expect(items.find((item: { contactId: string }) => item.contactId === gone)).toMatchObject({
      status: 'skipped',
      skipReason: 'suppressed',
    });
    const preview = await me.call('POST', '/api/campaigns/preview-audience', { audience: { all: true } });
    expect(preview.body).toMatchObject({ count: 1, excluded: { suppressed: 1 } });
    expect(items.find((item: { contactId: string }) => item.contactId === other)).toMatchObject({ status: 'sent' });
  });

  it('begins once, however many start it', async () => {
    await me.contacts(somePeople(20));
    const id = await me.campaign((await me.channel()).id);
    expect(await me.call('POST', `/api/campaigns/${id}/start`)).toMatchObject({ status: 400 });
    const answers = await Promise.all(['a', 'a', 'b', 'c'].map((key) => me.start(id, `${id}-${key}`)));
    const ok = answers.filter(({ status }) => status === 202);
    expect(answers.filter(({ status }) => status === 409).length + ok.length).toBe(4);
    expect(ok.filter(({ headers }) => headers['idempotent-replayed'] === undefined)).toHaveLength(1);
    const prepare = () => test.run({ workspaceId: me.workspaceId, jobId: id });
    await Promise.all([prepare(), prepare(), test.flow(), test.flow()]);
    await test.flow();
    expect(test.receiver.received).toHaveLength(20);
    expect(new Set(test.receiver.received.map((_, at) => dataOf(at).to)).size).toBe(20);
    const other = await me.campaign((await me.channel()).id);
    const used = answers.findIndex(({ status }) => status === 202);
    expect(await me.start(other, `${id}-${['a', 'a', 'b', 'c'][used]}`)).toMatchObject({ status: 422 });
  });

  it('that comes too late is missed, until somebody starts it', async () => {
    await me.contacts(somePeople(1));
    const id = await me.campaign((await me.channel()).id);
    const scheduledAt = new Date(Date.now() + 3_600_000).toISOString();
    expect(await me.call('POST', `/api/campaigns/${id}/schedule`, { scheduledAt })).toMatchObject({
      body: { status: 'scheduled' },
    });
    await test.systemPool.query(`update campaign set scheduled_at = now() - interval '2 hours' where id = $1`, [id]);
    await test.flow();
    expect(await me.read(id)).toMatchObject({ status: 'missed', counters: { total: 0 } });
    expect(test.receiver.received).toHaveLength(0);
    await me.start(id);
    await test.flow();
    expect(await me.read(id)).toMatchObject({ status: 'completed' });
  });

  it('in time begins by itself, once, though two look', async () => {
    await me.contacts(somePeople(2));
    const id = await me.campaign((await me.channel()).id, {
      scheduledAt: new Date(Date.now() + 3_600_000).toISOString(),
    });
    expect(await me.start(id)).toMatchObject({ body: { status: 'scheduled' } });
    await test.systemPool.query(`update campaign set scheduled_at = now() - interval '1 minute' where id = $1`, [id]);
    await Promise.all([test.flow(), test.flow()]);
    await test.flow();
    expect(test.receiver.received).toHaveLength(2);
  });

  it('pauses by itself after three whose end nobody knows; one is said to have arrived, one is sent again', async () => {
    await me.contacts(somePeople(40));
    const id = await me.campaign((await me.channel()).id);
    test.receiver.answers(() => ({ status: 500 }));
    await me.start(id);
    await test.flow();
    const paused = await me.read(id);
    expect(paused).toMatchObject({ status: 'paused', pauseReason: 'unknown_in_a_row' });
    expect(paused.counters.pending).toBeGreaterThan(0);
    const unknown = (await me.call('GET', `/api/campaigns/${id}/items?status=unknown`)).body.data;
    expect(test.receiver.received).toHaveLength(unknown.length);
    const resolve = (at: number, as: string) =>
      me.call('POST', `/api/campaigns/${id}/items/${unknown[at].id}/resolve`, { as });
    expect(await resolve(0, 'sent')).toMatchObject({ status: 200, body: { status: 'sent' } });
    expect(await resolve(1, 'failed')).toMatchObject({ body: { status: 'failed' } });
    expect(await resolve(1, 'resend')).toMatchObject({ status: 409 });
    expect(await resolve(2, 'resend')).toMatchObject({ body: { status: 'pending' } });
    test.receiver.answers(() => ({ text: '{"messageId":"m"}' }));
    expect(await me.call('POST', `/api/campaigns/${id}/resume`)).toMatchObject({ body: { status: 'running' } });
    await test.flow();
    const done = await me.read(id);
    expect(done).toMatchObject({
      status: 'completed_with_unknown',
      counters: { total: 40, unknown: unknown.length - 3, failed: 1, sent: 40 - unknown.length + 2 },
    });
    expect(await checkCounters(test.systemPool)).toEqual([]);
  });

  it('pauses after failures of the gateway, not of numbers', async () => {
    await me.contacts(somePeople(60));
    const channel = await me.channel();
    const id = await me.campaign(channel.id);
    test.receiver.answers(() => ({ status: 422 }));
    await me.start(id);
    await test.flow();
    expect(await me.read(id)).toMatchObject({ status: 'completed', counters: { failed: 60 } });
    const retried = await me.call('POST', `/api/campaigns/${id}/retry-failed`);
    expect(retried.body).toEqual({ retried: 60 });
    test.receiver.answers(() => ({ status: 401 }));
    await test.flow();
    const paused = await me.read(id);
    expect(paused).toMatchObject({ status: 'paused', pauseReason: 'failures_in_a_row' });
    expect(paused.counters.pending).toBeGreaterThan(0);
    await me.call('POST', `/api/campaigns/${id}/cancel`);
    expect((await me.read(id)).counters).toMatchObject({ pending: 0, cancelled: paused.counters.pending });
    expect(await me.call('POST', `/api/campaigns/${id}/resume`)).toMatchObject({ status: 409 });
    expect(await checkCounters(test.systemPool)).toEqual([]);
  });
});
