import type { World } from '#test/isolation/world.ts';
import { engines } from '#src/ai/engines/index.ts';

/** One good request to a route, as a member of the world who may would send it. */
export interface Entry {
  params?: (world: World) => Promise<Record<string, string>> | Record<string, string>;
  /** Its parameters choose among things that every workspace has. */
  namesNoRow?: true;
  query?: Record<string, string>;
  body?: (world: World) => object;
  /** Answers of a caller who may; by default any 2xx. */
  ok?: number[];
  /** It ends its caller's sessions: each request gets a new member to send it. */
  endsSession?: true;
  /** What the service refuses beyond what the route's access says. */
  forbiddenTo?: ('viewer' | 'member' | 'admin')[];
}

const aLabel = () => ({ name: `l-${crypto.randomUUID()}`, color: '#25d366' });
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
  'GET /api/analytics/dashboard': nothing,
  'GET /api/analytics/timeseries': {
    query: { metric: 'ai.calls', bucket: 'hour', from: '2026-03-01', to: '2026-03-02' },
  },
  'GET /api/analytics/ai': { query: { groupBy: 'engine' } },
  'GET /api/analytics/team': nothing,
  'POST /api/analytics/export': { body: () => ({ report: 'ai', from: '2026-03-01', to: '2026-03-02' }), ok: [202] },
  // Without `usage:all` there is no export of everybody's figures.
  'GET /api/analytics/exports/:id': {
    params: async (world) => ({ id: await world.analyticsExport() }),
    ok: [200, 404],
  },
  'GET /api/analytics/exports/:id/download': {
    params: async (world) => ({ id: await world.analyticsExport() }),
    ok: [404, 409],
  },
  'GET /api/labels': nothing,
  'POST /api/labels': { body: () => aLabel() },
  'GET /api/labels/:id': { params: async (world) => ({ id: await world.create('/api/labels', aLabel()) }) },
  'PATCH /api/labels/:id': {
    params: async (world) => ({ id: await world.create('/api/labels', aLabel()) }),
    body: () => ({ color: '#000000' }),
  },
  'DELETE /api/labels/:id': { params: async (world) => ({ id: await world.create('/api/labels', aLabel()) }) },
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
