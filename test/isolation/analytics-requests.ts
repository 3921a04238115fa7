import type { Entry } from '#test/isolation/requests.ts';

const nothing: Entry = {};

/** Good requests to the routes of figures. */
export const ANALYTICS_REQUESTS: Record<string, Entry> = {
  'GET /api/analytics/dashboard': nothing,
  'GET /api/analytics/timeseries': {
    query: { metric: 'ai.calls', bucket: 'hour', from: '2026-03-01', to: '2026-03-02' },
  },
  'GET /api/analytics/ai': { query: { groupBy: 'engine' } },
  'GET /api/analytics/contacts': nothing,
  'GET /api/analytics/campaigns': nothing,
  'GET /api/analytics/team': nothing,
  'GET /api/analytics/deals': { query: { groupBy: 'user' } },
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
};
