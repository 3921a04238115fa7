import { CANARY, type World } from '#test/isolation/world.ts';
import { ANALYTICS_REQUESTS } from '#test/isolation/analytics-requests.ts';
import { BILLING_REQUESTS } from '#test/isolation/billing-requests.ts';
import { CAMPAIGN_REQUESTS } from '#test/isolation/campaign-requests.ts';
import { engines } from '#src/ai/engines/index.ts';

/** One good request to a route, as a member of the world who may would send it. */
export interface Entry {
  params?: (world: World) => Promise<Record<string, string>> | Record<string, string>;
  /** Its parameters choose among things that every workspace has. */
  namesNoRow?: true;
  query?: Record<string, string>;
  /** A text goes as it is, under the content type that `headers` says. */
  body?: (world: World) => object | string;
  headers?: Record<string, string>;
  /** Answers of a caller who may; by default any 2xx. */
  ok?: number[];
  /** It ends its caller's sessions: each request gets a new member to send it. */
  endsSession?: true;
  /** What the service refuses beyond what the route's access says. */
  forbiddenTo?: ('viewer' | 'member' | 'admin')[];
}

const aLabel = () => ({ name: `l-${crypto.randomUUID()}`, color: '#25d366' });
const aTemplate = () => ({ name: `t-${crypto.randomUUID()}`, body: 'Oi, {{contact.first_name|"amigo"}}' });
const someTemplate = async (world: World) => ({ id: await world.create('/api/templates', aTemplate()) });
const aBatch = () => ({
  channel: { externalId: '5511900000000' },
  messages: [
    {
      clientId: crypto.randomUUID(),
      chat: { waId: '5511987654321' },
      direction: 'inbound',
      body: 'Oi',
      sentAt: new Date().toISOString(),
    },
  ],
});
const someMessage = async (world: World) => ({ id: (await world.message()).id });
const someConversation = async (world: World) => ({ id: (await world.message()).conversationId });
const aTask = async (world: World) => ({ id: await world.create('/api/tasks', { title: 'Ligar', dueAt: inAnHour() }) });
const aTaskReminder = async (world: World) => {
  const { id } = await aTask(world);
  return { id, reminderId: await world.create(`/api/tasks/${id}/reminders`, { minutesBefore: 1 }) };
};
const aPhone = () => `+551198${String(Math.floor(Math.random() * 1e7)).padStart(7, '0')}`;
const aField = () => ({ key: `f${crypto.randomUUID().replaceAll('-', '')}`, name: 'Campo', kind: 'text' });
const someContact = async (world: World) => ({
  id: await world.create('/api/contacts', { name: `${CANARY} contact` }),
});
const someField = async (world: World) => ({ id: await world.create('/api/contact-fields', aField()) });
const aPipeline = () => ({ name: `p-${crypto.randomUUID()}` });
const somePipeline = async (world: World) => ({ id: (await world.pipeline()).id });
const newPipeline = async (world: World) => ({ id: await world.create('/api/pipelines', aPipeline()) });
const newStage = async (world: World) => {
  const { id } = await world.pipeline();
  return { id, stageId: await world.create(`/api/pipelines/${id}/stages`, { name: 's' }) };
};
const someDeal = async (world: World) => ({ id: await world.deal() });
const someDeletedDeal = async (world: World) => ({ id: await world.deal(true) });
const anImport = async (world: World) => ({ id: await world.contactImport() });
const anExport = async (world: World) => ({ id: await world.create('/api/exports', {}) });
const everybody = { and: [] };
const aSegment = () => ({ name: `s-${crypto.randomUUID()}`, filter: everybody });
const someSegment = async (world: World) => ({ id: await world.create('/api/segments', aSegment()) });
const someMerge = async (world: World) => {
  const [winner, loser] = [await someContact(world), await someContact(world)];
  return { id: await world.create('/api/contacts/merge', { winnerId: winner.id, loserIds: [loser.id] }) };
};
const inWorld = ({ id }: World) => ({ id });
const nothing: Entry = {};
const somePrompt = { params: () => ({ engine: 'copilot', language: 'pt' }), namesNoRow: true } as const;
const someWebhook = async (world: World) => ({ id: (await world.webhook()).id });
const someDelivery = (world: World) => world.webhook();
const password = 'not the password';
const unlikely = '00000000-0000-7000-8000-000000000000';

const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString();

const INPUTS: Record<string, object> = {
  copilot: { conversationHistory: [{ role: 'user', content: 'Oi' }] },
  'smart-replies': { message: 'Quanto custa?' },
  sentiment: { text: 'Adorei!' },
  intent: { text: 'Quanto custa?' },
  'extract-entities': { text: 'Sou a Ana' },
  summarize: { messages: [{ role: 'user', content: 'Oi' }] },
  translate: { text: 'Oi', targetLanguage: 'en' },
  'score-lead': { features: { pediu_preço: true } },
  chat: { messages: [{ role: 'user', content: 'Oi' }] },
};

/** Every route that is not public and not for operators, by method and path. A new route needs a line here. */
export const REQUESTS: Record<string, Entry> = {
  'POST /api/auth/logout': { endsSession: true },
  'POST /api/auth/logout-all': { endsSession: true },
  'GET /api/auth/me': nothing,
  'PATCH /api/auth/me': { body: () => ({ locale: 'pt-BR' }) },
  'GET /api/auth/sessions': nothing,
  'DELETE /api/auth/sessions/:id': { params: () => ({ id: unlikely }), ok: [404] },
  'POST /api/auth/resend-verification': { ok: [202, 409, 429] },
  'POST /api/auth/change-password': {
    body: () => ({ currentPassword: password, newPassword: 'um-novo-segredo-9' }),
    ok: [401, 403, 429],
  },
  'POST /api/auth/totp/setup': { body: () => ({ password }), ok: [401, 403, 429] },
  'POST /api/auth/totp/enable': { body: () => ({ code: '000000' }), ok: [400, 401, 409, 429] },
  'POST /api/auth/totp/disable': { body: () => ({ password, code: '000000' }), ok: [400, 401, 403, 409, 429] },
  'GET /api/workspaces': nothing,
  'POST /api/workspaces': { body: () => ({ name: 'Outra' }), ok: [201, 403] },
  'GET /api/workspaces/:id': { params: inWorld },
  'PATCH /api/workspaces/:id': { params: inWorld, body: () => ({ country: 'BR' }) },
  'GET /api/workspaces/:id/usage': { params: inWorld },
  'POST /api/workspaces/:id/switch': { params: inWorld },
  'GET /api/workspaces/:id/members': { params: inWorld },
  'PATCH /api/workspaces/:id/members/:userId': {
    params: async (world) => ({ id: world.id, userId: (await world.join('viewer')).user.id }),
    body: () => ({ role: 'viewer' }),
  },
  'DELETE /api/workspaces/:id/members/:userId': {
    params: async (world) => ({ id: world.id, userId: (await world.join('viewer')).user.id }),
    forbiddenTo: ['viewer', 'member'],
  },
  'POST /api/workspaces/:id/transfer-ownership': { params: inWorld, body: () => ({ userId: unlikely }), ok: [404] },
  'POST /api/workspaces/:id/invites': {
    params: inWorld,
    body: () => ({ email: `guest-${crypto.randomUUID()}@example.com`, role: 'viewer' }),
    ok: [201, 403],
  },
  'GET /api/workspaces/:id/invites': { params: inWorld },
  'DELETE /api/workspaces/:id/invites/:inviteId': {
    params: async (world) => ({ id: world.id, inviteId: await world.invite() }),
  },
  'POST /api/invites/accept': { body: () => ({ token: 'A'.repeat(86) }), ok: [404] },
  'GET /api/api-keys': nothing,
  'POST /api/api-keys': { body: () => ({ name: 'k', scopes: ['*'] }), ok: [201, 403] },
  'GET /api/api-keys/:id': { params: async (world) => ({ id: (await world.apiKey(['*'])).id }) },
  'POST /api/api-keys/:id/rotate': {
    params: async (world) => ({ id: (await world.apiKey(['*'])).id }),
    body: () => ({ overlapSeconds: 0 }),
  },
  'DELETE /api/api-keys/:id': { params: async (world) => ({ id: (await world.apiKey(['*'])).id }) },
  // A model there is not: nothing works on jobs here, and the door waits for their end.
  'POST /v1/chat/completions': {
    body: () => ({ model: 'none-such', messages: [{ role: 'user', content: 'Oi' }] }),
    ok: [404],
  },
  'POST /v1/embeddings': { body: () => ({ model: 'text-embedding-3-small', input: 'Oi' }), ok: [404, 503] },
  'GET /v1/models': nothing,
  'GET /v1/models/:model': { params: () => ({ model: 'none-such' }), ok: [404] },
  'GET /api/jobs': nothing,
  'GET /api/jobs/:id': { params: async (world) => ({ id: await world.job() }) },
  'POST /api/jobs/:id/cancel': { params: async (world) => ({ id: await world.job() }) },
  'GET /api/jobs/:id/events': {
    params: async (world) => ({ id: await world.endedJob() }),
  },
  'GET /api/ai/credits': nothing,
  'GET /api/billing/credits/entries': nothing,
  'POST /api/license/topup': { body: () => ({ code: 'WH-00000-00000-00000-00000' }), ok: [422] },
  'POST /api/license/activate': { body: () => ({ key: 'WHL-00000-00000-00000-00000' }), ok: [422] },
  'POST /api/license/validate': { body: () => ({ key: 'WHL-00000-00000-00000-00000' }) },
  'GET /api/license/status': nothing,
  'GET /api/license/usage': nothing,
  'POST /api/ai/batch': { body: () => ({ engine: 'sentiment', items: [{ text: 'Adorei!' }] }), ok: [202] },
  'POST /api/ai/mask': { body: () => ({ text: 'cpf 529.982.247-25' }) },
  'GET /api/ai/prompts': nothing,
  'GET /api/ai/prompts/:engine/:language/versions': somePrompt,
  'POST /api/ai/prompts/:engine/:language/preview': { ...somePrompt, body: () => ({}) },
  'PUT /api/ai/prompts/:engine/:language': {
    ...somePrompt,
    body: () => ({ text: 'Responda como a nossa loja responde.' }),
  },
  'POST /api/ai/prompts/:engine/:language/activate': {
    ...somePrompt,
    body: () => ({ version: 1 }),
    ok: [200, 404],
  },
  'POST /api/ai/prompts/:engine/:language/deactivate': somePrompt,
  'GET /api/ai/providers': nothing,
  'POST /api/ai/explain': { body: () => ({ engine: 'copilot', input: INPUTS['copilot'] }) },
  'GET /api/ai/usage': { query: { groupBy: 'user' } },
  'GET /api/ai/models': nothing,
  'POST /api/ai/count-tokens': { body: () => ({ model: 'gpt-4o', text: 'Oi' }) },
  ...ANALYTICS_REQUESTS,
  'GET /api/contacts': nothing,
  'POST /api/contacts': { body: () => ({ name: 'Ana' }) },
  'POST /api/contacts/lookup': { body: () => ({ phones: ['11 98765-4321'] }) },
  'GET /api/contacts/:id': { params: someContact },
  'PATCH /api/contacts/:id': { params: someContact, body: () => ({ company: 'Outra' }) },
  'DELETE /api/contacts/:id': { params: someContact },
  'POST /api/contacts/:id/restore': { params: someContact, ok: [404] },
  'PUT /api/contacts/:id/labels': { params: someContact, body: () => ({ labels: ['Novo'] }) },
  'POST /api/contacts/:id/labels': { params: someContact, body: () => ({ labels: ['Novo'] }) },
  'DELETE /api/contacts/:id/labels/:labelId': {
    params: async (world) => ({ ...(await someContact(world)), labelId: unlikely }),
    ok: [404],
  },
  'GET /api/contacts/:id/timeline': { params: someContact },
  'POST /api/contacts/:id/notes': { params: someContact, body: () => ({ text: 'Ligar' }) },
  'GET /api/contact-fields': nothing,
  'POST /api/contact-fields': { body: () => aField() },
  'GET /api/contact-fields/:id': { params: someField },
  'PATCH /api/contact-fields/:id': { params: someField, body: () => ({ name: 'Outro' }) },
  'DELETE /api/contact-fields/:id': { params: someField },
  'GET /api/labels': nothing,
  'POST /api/labels': { body: () => aLabel() },
  'GET /api/labels/:id': { params: async (world) => ({ id: await world.create('/api/labels', aLabel()) }) },
  'PATCH /api/labels/:id': {
    params: async (world) => ({ id: await world.create('/api/labels', aLabel()) }),
    body: () => ({ color: '#000000' }),
  },
  'DELETE /api/labels/:id': { params: async (world) => ({ id: await world.create('/api/labels', aLabel()) }) },
  'POST /api/labels/bulk': { body: () => ({ labels: [aLabel()] }) },
  'PATCH /api/labels/reorder': { body: () => ({ labelIds: [unlikely] }), ok: [404] },
  'POST /api/messages/sync': { body: () => aBatch() },
  // Names no row of theirs: the contact is nobody's.
  'GET /api/messages': { query: { contactId: unlikely }, ok: [404] },
  'GET /api/messages/search': { query: { q: 'canario' } },
  'GET /api/messages/:id': { params: someMessage },
  'PATCH /api/messages/:id/status': { params: someMessage, body: () => ({ status: 'read' }) },
  'GET /api/contacts/:id/messages': { params: someContact },
  'GET /api/contacts/:id/score': { params: someContact },
  'GET /api/contacts/:id/deals': { params: someContact },
  'GET /api/contacts/:id/campaigns': { params: someContact },
  'GET /api/conversations': nothing,
  'GET /api/conversations/:id': { params: someConversation },
  'GET /api/conversations/:id/messages': { params: someConversation },
  'PATCH /api/conversations/:id': { params: someConversation, body: () => ({ status: 'closed' }) },
  ...Object.fromEntries(
    ['/api/templates', '/api/messages/templates'].flatMap((root): [string, Entry][] => [
      [`GET ${root}`, nothing],
      [`POST ${root}`, { body: () => aTemplate() }],
      [`GET ${root}/:id`, { params: someTemplate }],
      [`GET ${root}/:id/versions`, { params: someTemplate }],
      [`PATCH ${root}/:id`, { params: someTemplate, body: () => ({ body: 'Oi' }) }],
      [`DELETE ${root}/:id`, { params: someTemplate }],
      [`POST ${root}/:id/duplicate`, { params: someTemplate }],
      // A contact there is not.
      [`POST ${root}/:id/preview`, { params: someTemplate, body: () => ({ contactId: unlikely }), ok: [404] }],
    ]),
  ),
  'GET /api/analytics/messages': nothing,
  ...BILLING_REQUESTS,
  ...CAMPAIGN_REQUESTS,
  'GET /api/tasks': nothing,
  'POST /api/tasks': { body: () => ({ title: 'Ligar' }) },
  'GET /api/tasks/today': nothing,
  'GET /api/tasks/upcoming': nothing,
  'GET /api/tasks/:id': { params: aTask },
  'PATCH /api/tasks/:id': { params: aTask, body: () => ({ priority: 'high' }) },
  'DELETE /api/tasks/:id': { params: aTask },
  'POST /api/tasks/:id/complete': { params: aTask },
  'POST /api/tasks/:id/reopen': { params: aTask },
  'GET /api/tasks/:id/reminders': { params: aTask },
  'POST /api/tasks/:id/reminders': { params: aTask, body: () => ({ minutesBefore: 1 }) },
  'GET /api/tasks/:id/reminders/:reminderId': { params: aTaskReminder },
  'PATCH /api/tasks/:id/reminders/:reminderId': { params: aTaskReminder, body: () => ({ minutesBefore: 2 }) },
  'DELETE /api/tasks/:id/reminders/:reminderId': { params: aTaskReminder },
  'POST /api/contacts/:id/consent': {
    params: someContact,
    body: () => ({ decision: 'granted', proof: 'Formulário do site' }),
  },
  'POST /api/contacts/:id/opt-out': { params: someContact, body: () => ({}) },
  'POST /api/contacts/:id/opt-in': { params: someContact, body: () => ({ proof: 'Pediu por mensagem' }) },
  'GET /api/contacts/:id/export': { params: someContact },
  'POST /api/contacts/:id/erasure': { params: someContact },
  'GET /api/suppressions': nothing,
  'POST /api/suppressions': { body: () => ({ phone: aPhone() }) },
  'POST /api/suppressions/import': { body: () => ({ phones: [aPhone()] }) },
  'DELETE /api/suppressions/:id': {
    params: async (world) => ({ id: await world.create('/api/suppressions', { phone: aPhone() }) }),
  },
  'GET /api/privacy/requests': nothing,
  'POST /api/privacy/requests': { body: () => ({ contactId: unlikely }), ok: [404] },
  // What makes one answers with its operation.
  'GET /api/privacy/requests/:id/receipt': { params: () => ({ id: unlikely }), ok: [404] },
  'GET /api/pipelines': nothing,
  'POST /api/pipelines': { body: aPipeline },
  'GET /api/pipelines/:id': { params: somePipeline },
  'PATCH /api/pipelines/:id': { params: somePipeline, body: aPipeline },
  'DELETE /api/pipelines/:id': { params: newPipeline },
  'POST /api/pipelines/:id/default': { params: somePipeline },
  'GET /api/pipelines/:id/board': { params: somePipeline },
  'GET /api/pipelines/:id/stages': { params: somePipeline },
  'POST /api/pipelines/:id/stages': { params: somePipeline, body: () => ({ name: 's' }) },
  'PATCH /api/pipelines/:id/stages/reorder': {
    params: somePipeline,
    body: () => ({ stageIds: [unlikely] }),
    ok: [400],
  },
  'GET /api/pipelines/:id/stages/:stageId': { params: (world) => world.pipeline() },
  'PATCH /api/pipelines/:id/stages/:stageId': { params: (world) => world.pipeline(), body: () => ({ name: 's' }) },
  'DELETE /api/pipelines/:id/stages/:stageId': { params: newStage },
  'GET /api/deals': nothing,
  'GET /api/deals/forecast': nothing,
  // Whose contact it is to be is another workspace's for a stranger, and nobody's here.
  'POST /api/deals': { body: () => ({ title: 'd', contactId: unlikely }), ok: [404] },
  'GET /api/deals/:id': { params: someDeal },
  'PATCH /api/deals/:id': { params: someDeal, body: () => ({ title: 'd' }) },
  'DELETE /api/deals/:id': { params: someDeal },
  'POST /api/deals/:id/restore': { params: someDeletedDeal },
  'POST /api/deals/:id/move': { params: someDeal, body: () => ({ stageId: unlikely }), ok: [404] },
  'POST /api/deals/:id/won': { params: someDeal },
  'POST /api/deals/:id/lost': { params: someDeal, body: () => ({ reason: 'Caro' }) },
  'POST /api/deals/:id/reopen': { params: someDeal, ok: [409] },
  'GET /api/deals/:id/history': { params: someDeal },
  'GET /api/activities': { query: { contactId: unlikely }, ok: [404] },
  'POST /api/activities': { body: () => ({ type: 'note', text: 'n', contactId: unlikely }), ok: [404] },
  'GET /api/imports': nothing,
  'POST /api/imports': { body: () => 'nome,telefone\nAna,11987654321\n', headers: { 'content-type': 'text/csv' } },
  'GET /api/imports/:id': { params: anImport },
  'POST /api/imports/:id/start': { params: anImport, body: () => ({ mode: 'skip' }) },
  'POST /api/imports/:id/cancel': { params: anImport, ok: [409] },
  'GET /api/imports/:id/rows': { params: anImport },
  'GET /api/imports/:id/rejected.csv': { params: anImport },
  'POST /api/exports': { body: () => ({ format: 'ndjson' }) },
  'GET /api/exports/:id': { params: anExport },
  // Nobody writes it here.
  'GET /api/exports/:id/download': { params: anExport, ok: [409] },
  'GET /api/segments': nothing,
  'POST /api/segments': { body: () => aSegment() },
  'GET /api/segments/:id': { params: someSegment },
  'PATCH /api/segments/:id': { params: someSegment, body: () => ({ filter: { not: everybody } }) },
  'DELETE /api/segments/:id': { params: someSegment },
  'POST /api/segments/preview': { body: () => ({ filter: everybody }) },
  'GET /api/segments/:id/contacts': { params: someSegment },
  'POST /api/contacts/search': { body: () => ({ filter: everybody }) },
  'GET /api/contacts/duplicates': nothing,
  'POST /api/contacts/bulk': { body: () => ({ action: 'archive', ids: [unlikely] }) },
  'POST /api/contacts/merge': { body: () => ({ winnerId: unlikely, loserIds: [crypto.randomUUID()] }), ok: [404] },
  'POST /api/contacts/merges/:id/undo': { params: someMerge },
  'GET /api/operations': nothing,
  // There is none here: what makes one has its own line.
  'GET /api/operations/:id': { params: async () => ({ id: crypto.randomUUID() }), ok: [404] },
  'POST /api/operations/:id/cancel': { params: async () => ({ id: crypto.randomUUID() }), ok: [404] },
  'POST /api/ws/ticket': nothing,
  'GET /api/events': { query: { follow: 'false' } },
  'GET /api/audit': nothing,
  'GET /api/audit/verify': nothing,
  'GET /api/audit/export': { query: { format: 'csv' } },
  'GET /api/settings/user': nothing,
  'PATCH /api/settings/user': { body: () => ({ 'ui.theme': null }) },
  'GET /api/settings/workspace': nothing,
  'PATCH /api/settings/workspace': { body: () => ({ 'ai.tone': null }) },
  'GET /api/settings/ai': nothing,
  'PATCH /api/settings/ai': { body: () => ({ 'ai.tone': null }) },
  'GET /api/settings/notifications': nothing,
  'PATCH /api/settings/notifications': { body: () => ({ 'notifications.email': null }) },
  'GET /api/settings/global': nothing,
  'GET /api/notifications': nothing,
  'POST /api/notifications/:id/read': { params: async (world) => ({ id: await world.notification() }), ok: [200, 404] },
  'POST /api/notifications/read-all': { body: () => ({}) },
  'DELETE /api/notifications/:id': { params: async (world) => ({ id: await world.notification() }), ok: [200, 404] },
  'GET /api/reminders': nothing,
  'POST /api/reminders': { body: () => ({ title: 'Ligar', remindAt: inAnHour() }) },
  'GET /api/reminders/:id': { params: async (world) => ({ id: await world.reminder() }), ok: [200, 404] },
  'PATCH /api/reminders/:id': {
    params: async (world) => ({ id: await world.reminder() }),
    body: () => ({ title: 'Ligar' }),
    ok: [200, 404],
  },
  'POST /api/reminders/:id/cancel': { params: async (world) => ({ id: await world.reminder() }), ok: [200, 404] },
  'DELETE /api/reminders/:id': { params: async (world) => ({ id: await world.reminder() }), ok: [200, 404] },
  'GET /api/webhook-events': nothing,
  'POST /api/webhooks': {
    body: () => ({ name: 'w', url: 'https://example.com/hooks', events: ['*'] }),
    ok: [201, 403],
  },
  'GET /api/webhooks': nothing,
  'GET /api/webhooks/:id': { params: someWebhook },
  'PATCH /api/webhooks/:id': { params: someWebhook, body: () => ({ events: ['ai.*'] }) },
  'DELETE /api/webhooks/:id': { params: someWebhook },
  'POST /api/webhooks/:id/rotate-secret': { params: someWebhook, body: () => ({ graceHours: 0 }) },
  'POST /api/webhooks/:id/enable': { params: someWebhook },
  'POST /api/webhooks/:id/test': { params: someWebhook },
  'GET /api/webhooks/:id/deliveries': { params: someWebhook },
  'GET /api/webhooks/:id/deliveries/:deliveryId': { params: someDelivery },
  'POST /api/webhooks/:id/deliveries/:deliveryId/retry': { params: someDelivery },
  'POST /api/webhooks/:id/replay': { params: someWebhook, body: () => ({ from: '2026-01-01T00:00:00Z' }) },
  // Last: nothing of the workspace is there afterwards.
  'DELETE /api/workspaces/:id': { params: inWorld },
  ...Object.fromEntries(
    // 503: no provider is configured for it here.
    Object.keys(engines).map((name) => [
      `POST /api/ai/${name}`,
      { body: () => INPUTS[name] ?? {}, ok: [202, 503] } satisfies Entry,
    ]),
  ),
};
