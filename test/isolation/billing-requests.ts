import type { Entry } from '#test/isolation/requests.ts';

/** One good request to each route of subscriptions and invoices; without a payment provider, as installations begin. */
export const BILLING_REQUESTS: Record<string, Entry> = {
  'POST /api/billing/checkout': { body: () => ({ plan: 'starter' }) },
  'POST /api/billing/portal': { ok: [409] },
  'GET /api/billing/subscription': {},
  'POST /api/billing/cancel': { ok: [409] },
  'POST /api/billing/reactivate': { ok: [409] },
  'POST /api/billing/change': { body: () => ({ plan: 'pro' }), ok: [409] },
  'GET /api/billing/invoices': {},
  'GET /api/billing/invoices/:id': { params: async (world) => ({ id: await world.invoice() }) },
};
