import type { Entry } from '#test/isolation/requests.ts';
import { CANARY, type World } from '#test/isolation/world.ts';

const nothing: Entry = {};
const unlikely = '00000000-0000-7000-8000-000000000000';
const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString();
const aChannel = () => ({ name: `${CANARY} channel`, kind: 'extension', pacing: { perDay: 5 } });
const channelOf = (world: World) => world.create('/api/channels', aChannel());
const someChannel = async (world: World) => ({ id: await channelOf(world) });
const aCampaign = (channelId: string) => ({
  name: `${CANARY} campaign`,
  channelId,
  content: { text: `Oi ${CANARY}` },
  audience: { all: true },
});
const someCampaign = async (world: World) => ({
  id: await world.create('/api/campaigns', aCampaign(await channelOf(world))),
});
/** An item there is not: a campaign has some when a worker has chosen its people, and none works here. */
const noItem = async (world: World) => ({ ...(await someCampaign(world)), itemId: unlikely });
const noAttempt = () => ({ attemptId: unlikely, fence: 1 });

/** Good requests to the routes of channels, campaigns and deliveries. */
export const CAMPAIGN_REQUESTS: Record<string, Entry> = {
  'GET /api/channels': nothing,
  // Its maker sees it whole.
  'POST /api/channels': { body: () => ({ ...aChannel(), name: 'Celular' }) },
  'GET /api/channels/:id': { params: someChannel },
  'PATCH /api/channels/:id': { params: someChannel, body: () => ({ name: 'Outro' }) },
  'PUT /api/channels/:id/pacing': { params: someChannel, body: () => ({ perHour: 10 }) },
  'POST /api/channels/:id/pause': { params: someChannel },
  'POST /api/channels/:id/resume': { params: someChannel },
  'GET /api/channels/:id/health': { params: someChannel },
  'GET /api/channels/:id/limits': { params: someChannel },
  // Of a phone: only numbers of the Cloud API can be asked.
  'POST /api/channels/:id/test': { params: someChannel, ok: [409] },
  'DELETE /api/channels/:id': { params: someChannel },
  'GET /api/campaigns': nothing,
  // For a channel there is not.
  'POST /api/campaigns': { body: () => aCampaign(unlikely), ok: [400] },
  'POST /api/campaigns/preview-audience': { body: () => ({ audience: { all: true } }) },
  'GET /api/campaigns/:id': { params: someCampaign },
  'PATCH /api/campaigns/:id': { params: someCampaign, body: () => ({ name: 'Ano novo' }) },
  'DELETE /api/campaigns/:id': { params: someCampaign },
  'POST /api/campaigns/:id/duplicate': { params: someCampaign },
  'POST /api/campaigns/:id/test': { params: someCampaign, body: () => ({ to: ['+5511987654321'] }) },
  'POST /api/campaigns/:id/schedule': { params: someCampaign, body: () => ({ scheduledAt: inAnHour() }) },
  // Without an Idempotency-Key, once the campaign is found.
  'POST /api/campaigns/:id/start': { params: someCampaign, ok: [400] },
  'POST /api/campaigns/:id/pause': { params: someCampaign, ok: [409] },
  'POST /api/campaigns/:id/resume': { params: someCampaign, ok: [409] },
  'POST /api/campaigns/:id/cancel': { params: someCampaign },
  'POST /api/campaigns/:id/retry-failed': { params: someCampaign, ok: [409] },
  'GET /api/campaigns/:id/items': { params: someCampaign },
  'GET /api/campaigns/:id/items/:itemId/attempts': { params: noItem, ok: [404] },
  'POST /api/campaigns/:id/items/:itemId/resolve': { params: noItem, body: () => ({ as: 'sent' }), ok: [409] },
  'POST /api/campaigns/:id/resolve-unknown': { params: someCampaign, body: () => ({ as: 'sent' }) },
  'GET /api/campaigns/:id/progress': { params: someCampaign },
  'GET /api/campaigns/:id/report': { params: someCampaign },
  'GET /api/campaigns/:id/report.csv': { params: someCampaign },
  'POST /api/delivery/claim': { body: () => ({ channelId: unlikely, sessionId: unlikely }), ok: [404] },
  'POST /api/delivery/items/:id/begin': {
    params: () => ({ id: unlikely }),
    namesNoRow: true,
    body: noAttempt,
    ok: [409],
  },
  'POST /api/delivery/items/:id/ack': {
    params: () => ({ id: unlikely }),
    body: () => ({ ...noAttempt(), outcome: 'unknown' }),
    ok: [404],
  },
  'POST /api/delivery/items/:id/release': {
    params: () => ({ id: unlikely }),
    namesNoRow: true,
    body: noAttempt,
    ok: [409],
  },
  'POST /api/delivery/items/:id/heartbeat': {
    params: () => ({ id: unlikely }),
    namesNoRow: true,
    body: noAttempt,
    ok: [409],
  },
};
