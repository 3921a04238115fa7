import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { judge } from '#src/modules/cloud-api/answer.ts';
import { carriedBy } from '#src/modules/cloud-api/cloud-carrier.ts';
import { meaningOf } from '#src/modules/cloud-api/errors.ts';
import { payloadOf } from '#src/modules/cloud-api/message.ts';
import { isSignedBy, readWebhook } from '#src/modules/cloud-api/webhook.ts';

const contact = {
  name: 'Ana  Lúcia Souza',
  phone: '+5511987654321',
  email: null,
  company: null,
  position: null,
  customFields: { plan: 'Ouro\ne prata', empty: '' },
};
const answer = (status: number, body: unknown) => ({
  status,
  body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  isTruncated: false,
});
const error = (code: number, more: object = {}) => ({ error: { message: '', type: 'OAuthException', code, ...more } });

const value = (more: object, id = '111') => ({
  field: 'messages',
  value: { messaging_product: 'whatsapp', metadata: { display_phone_number: '1', phone_number_id: id }, ...more },
});
const hook = (...changes: object[]) => ({ object: 'whatsapp_business_account', entry: [{ id: '1', changes }] });
const status = (more: object) => ({ id: 'wamid.1', timestamp: '1700000000', recipient_id: '55', ...more });
const refused = (code: number) => ({ kind: 'refused' as const, code, meaning: meaningOf(code) });

describe('a message', () => {
  it('fills an approved template by the places of its variables, flat, with its own header and buttons', () => {
    const template = {
      name: 'natal_2026',
      language: 'pt_BR',
      header: 'Loja {{custom.plan|"nossa"}}',
      buttons: [{ index: 0, type: 'url' as const, text: 'p/{{contact.first_name|"x"}}' }],
    };
    const body =
      'Oi {{contact.first_name|"amigo"}}, seu plano {{custom.plan|"b\\u00e1sico"}} vence. {{custom.none|"a \\"b\\""}} {{contact.first_name|"amigo"}}';
    const { body: said, text, unresolved } = payloadOf(body.replace('\\u00e1', 'á'), template, contact);
    expect(unresolved).toEqual([]);
    expect(text).toContain('Oi Ana, seu plano');
    expect(said).toEqual({
      type: 'template',
      template: {
        name: 'natal_2026',
        language: { code: 'pt_BR' },
        components: [
          { type: 'header', parameters: [{ type: 'text', text: 'Loja Ouro e prata' }] },
          {
            type: 'body',
            parameters: ['Ana', 'Ouro e prata', 'a "b"', 'Ana'].map((value) => ({ type: 'text', text: value })),
          },
          { type: 'button', sub_type: 'url', index: '0', parameters: [{ type: 'text', text: 'p/Ana' }] },
        ],
      },
    });
  });

  it('without a template is free text; what has no value anywhere keeps it from being sent', () => {
    expect(payloadOf('Oi!', null, contact).body).toEqual({ type: 'text', text: { preview_url: false, body: 'Oi!' } });
    const bare = { name: 't', language: 'pt_BR' };
    expect(payloadOf('Oi!', bare, contact).body).toEqual({
      type: 'template',
      template: { name: 't', language: { code: 'pt_BR' } },
    });
    const header = { ...bare, header: '{{custom.empty|""}}' };
    expect(payloadOf('Oi!', header, contact).unresolved).toEqual(['custom.empty']);
    expect(payloadOf('{{contact.email|""}}', bare, contact).unresolved).toEqual(['contact.email']);
  });
});

describe('an answer', () => {
  it('is believed in Meta’s own form alone: anything else leaves open whether it went out', () => {
    const accepted = { messaging_product: 'whatsapp', messages: [{ id: 'wamid.1', message_status: 'accepted' }] };
    expect(judge(answer(200, accepted))).toEqual({ kind: 'accepted', messageId: 'wamid.1' });
    for (const one of [
      answer(200, {}),
      answer(200, 'ok'),
      answer(502, '<html>'),
      answer(500, ''),
      answer(400, { error: 'no' }),
      answer(302, error(190)),
      { ...answer(200, accepted), isTruncated: true },
    ])
      expect(judge(one).kind).toBe('unknown');
  });

  it.each([
    [401, 190, { kind: 'stop_channel', reason: 'token_refused' }],
    [401, 999_999, { kind: 'stop_channel', reason: 'token_refused' }],
    [403, 200, { kind: 'stop_channel', reason: 'permission_missing' }],
    [403, 368, { kind: 'stop_channel', reason: 'account_restricted' }],
    [400, 131048, { kind: 'stop_channel', reason: 'spam_limited' }],
    [400, 131042, { kind: 'stop_channel', reason: 'payment_needed' }],
    [429, 130429, { kind: 'throttle' }],
    [429, 999_999, { kind: 'throttle' }],
    [400, 131056, { kind: 'pair' }],
    [500, 131000, { kind: 'retry' }],
    [503, 999_999, { kind: 'retry' }],
    [404, 132001, { kind: 'stop_campaign', reason: 'template_refused' }],
    [400, 132005, { kind: 'refuse', isChannels: false, because: null }],
    [400, 131026, { kind: 'refuse', isChannels: false, because: 'undeliverable' }],
    [400, 131050, { kind: 'refuse', isChannels: false, because: 'opted_out' }],
    [400, 131049, { kind: 'refuse', isChannels: false, because: null }],
    [400, 100, { kind: 'refuse', isChannels: true, because: null }],
  ])('%i with code %i means %o', (status, code, meaning) => {
    expect(judge(answer(status, error(code)))).toEqual({ kind: 'refused', code, meaning });
  });

  it('tells an object that there is not from a wrong parameter', () => {
    expect(judge(answer(400, error(100, { error_subcode: 33 })))).toMatchObject({
      meaning: { kind: 'stop_channel', reason: 'number_not_registered' },
    });
    expect(meaningOf(131047)).toEqual({ kind: 'refuse', isChannels: false, because: null });
  });

  it('means for its item: sent, unknown, tried again, given back unused, or failed', () => {
    expect(carriedBy({ kind: 'accepted', messageId: 'w' }, 1)).toMatchObject({ result: 'sent', messageId: 'w' });
    expect(carriedBy({ kind: 'unknown', code: 'timeout' }, 1)).toMatchObject({ result: 'unknown', code: 'timeout' });
    expect(carriedBy({ kind: 'not_sent', code: 'dns' }, 1)).toMatchObject({ result: 'failed', retryable: true });
    expect(carriedBy(refused(131016), 1)).toMatchObject({ result: 'failed', retryable: true, isChannels: true });
    expect(carriedBy(refused(131026), 1)).toMatchObject({ result: 'failed', retryable: false, isChannels: false });
    for (const code of [190, 130429, 132015]) expect(carriedBy(refused(code), 1)).toMatchObject({ result: 'deferred' });
    const waits = [1, 2, 3].map((fence) => Object(carriedBy(refused(131056), fence)).waitMs / 4 ** fence);
    for (const wait of waits) expect(Math.abs(wait - 1000)).toBeLessThanOrEqual(201);
  });
});

describe('a webhook', () => {
  const body = Buffer.from('{"object":"whatsapp_business_account","entry":[]}');
  const signed = (secret: string) => `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;

  it('is signed over its bytes, with this secret and no other', () => {
    expect(isSignedBy('secret', signed('secret'), body)).toBe(true);
    for (const header of [
      undefined,
      '',
      'sha256=',
      signed('other'),
      signed('secret').toUpperCase(),
      [signed('secret')],
    ])
      expect(isSignedBy('secret', header, body)).toBe(false);
    expect(isSignedBy('secret', signed('secret'), Buffer.concat([body, Buffer.from(' ')]))).toBe(false);
  });

  const item = '0197b000-0000-7000-8000-000000000001';
  const attempt = '0197b000-0000-7000-8000-000000000002';

  it('tells statuses, of our own attempts where they say so', () => {
    const told = readWebhook(
      hook(
        value({
          statuses: [
            status({ status: 'sent', biz_opaque_callback_data: `${item}.${attempt}` }),
            status({ status: 'failed', errors: [{ code: 131026, title: '' }], biz_opaque_callback_data: 'theirs' }),
            status({ status: 'played' }),
            status({ status: 'warning' }),
          ],
        }),
      ),
      '111',
    );
    expect(told?.statuses).toMatchObject([
      { item_id: item, attempt_id: attempt, status: 'sent', at: '2023-11-14T22:13:20.000Z', errorCode: null },
      { item_id: null, attempt_id: null, status: 'failed', code: 'cloud_131026', errorCode: 131026 },
      { status: 'read', message_id: 'wamid.1' },
    ]);
    expect(told?.unread).toBe(1);
  });

  it('tells what people wrote, in whatever form; other numbers’ is left out', () => {
    const from = '5511987654321';
    const one = (id: string, more: object) => ({ from, id, timestamp: '1700000000', ...more });
    const contacts = [{ wa_id: from, profile: { name: 'Ana' } }];
    const messages = [
      one('1', { type: 'text', text: { body: 'SAIR' } }),
      one('2', { type: 'image', image: { id: '99', caption: 'veja', mime_type: 'image/jpeg' } }),
      one('3', {
        type: 'interactive',
        interactive: { type: 'button_reply', button_reply: { id: 'x', title: 'Parar' } },
      }),
      one('4', { type: 'button', button: { text: 'Quero', payload: 'p' } }),
      one('5', { type: 'location', location: { latitude: -23.5, longitude: -46.6, name: 'Loja' } }),
      one('6', { type: 'unsupported', errors: [{ code: 131051 }] }),
      { type: 'text' },
    ];
    const told = readWebhook(hook(value({ contacts, messages }), value({ messages: [messages[0]] }, '222')), '111');
    expect(told?.messages).toMatchObject([
      { providerId: '1', chat: { waId: from }, type: 'text', body: 'SAIR', name: 'Ana' },
      { type: 'image', body: 'veja', mediaRef: '99' },
      { type: 'text', body: 'Parar' },
      { type: 'text', body: 'Quero' },
      { type: 'location', body: 'Loja\n-23.5,-46.6' },
      { type: 'other' },
    ]);
    expect(told?.messages).toHaveLength(6);
    expect(told?.unread).toBe(1);
  });

  it('tells of stops, numbers and templates', () => {
    const preference = { wa_id: '55119', category: 'marketing_messages', detail: '', timestamp: 1 };
    const template = { message_template_name: 'natal', message_template_language: 'pt_BR' };
    const told = readWebhook(
      hook(
        {
          ...value({
            user_preferences: [
              { ...preference, value: 'stop' },
              { ...preference, value: 'resume' },
            ],
          }),
          field: 'user_preferences',
        },
        {
          field: 'phone_number_quality_update',
          value: { display_phone_number: '+1 555', event: 'FLAGGED', current_limit: 'TIER_250' },
        },
        { field: 'message_template_status_update', value: { event: 'PAUSED', ...template } },
        { field: 'message_template_status_update', value: { event: 'APPROVED', ...template } },
        { field: 'something_new', value: {} },
      ),
      '111',
    );
    expect(told).toMatchObject({
      optOuts: ['55119'],
      numbers: [{ digits: '1555', event: 'FLAGGED', messagingLimit: 'TIER_250' }],
      templates: [{ name: 'natal', language: 'pt_BR' }],
      unread: 0,
    });
    for (const body of [null, {}, { object: 'page', entry: [] }, 'text']) expect(readWebhook(body, '111')).toBeNull();
  });
});
