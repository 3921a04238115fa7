import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { decodeCursor, PageQuery, toPage } from '#src/http/page.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import {
  BalanceView,
  CreditsView,
  EntriesQuery,
  EntryList,
  GrantBody,
  presentBatch,
  presentCredits,
  presentEntry,
  RefundBody,
  RevokeCodesBody,
  RevokedCodesView,
  TopupBatchList,
  TopupBody,
  TopupCodesBody,
  TopupCodesView,
  TopupView,
} from '#src/modules/billing/billing.schemas.ts';
import {
  endCodes,
  grantByOperator,
  makeCodes,
  redeemTopup,
  refundByOperator,
} from '#src/modules/billing/billing.service.ts';
import { findCreditsWithLots, listBatches, listEntries } from '#src/modules/billing/credits.query.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['billing'], security: [{ bearer: [] }] };
const EntryKey = z.tuple([z.int().positive()]);
const BatchKey = z.tuple([z.uuid()]);

/** What a workspace has, what became of it, and how it gets more. */
export function billingRoutes(rt: Pick<Runtime, 'orm' | 'pool'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/ai/credits', {
      config: { access: 'credits:read' },
      schema: { ...schema, summary: 'The credits there are', response: { 200: CreditsView } },
      handler: async (request) => presentCredits(await findCreditsWithLots(rt.pool, authOf(request).workspaceId)),
    });

    app.get('/api/billing/credits/entries', {
      config: { access: 'billing:read' },
      schema: {
        ...schema,
        summary: 'All that moved credits, newest first',
        querystring: EntriesQuery,
        response: { 200: EntryList },
      },
      handler: async (request) => {
        const { limit, cursor, kind } = request.query;
        const before = cursor === undefined ? undefined : decodeCursor(cursor, EntryKey)[0];
        const { workspaceId } = authOf(request);
        const rows = await listEntries(rt.pool, { workspaceId, kind, before, limit: limit + 1 });
        return toPage(rows, limit, ({ seq }) => [Number(seq)], presentEntry);
      },
    });

    app.post('/api/license/topup', {
      config: { access: 'billing:manage', limits: ['topup', 'topup-network'] },
      schema: {
        ...schema,
        tags: ['license'],
        summary: 'Add the credits of a code',
        body: TopupBody,
        response: { 200: TopupView },
      },
      handler: (request) => redeemTopup(rt, authOf(request), actorOf(request), request.body.code),
    });
  };
}

const ops = { config: { access: 'ops' as const } };

/** Adds what operators do with credits to a scope that lets only operators in. */
export function addOperatorCredits(app: App, rt: Pick<Runtime, 'orm' | 'systemPool'>): void {
  app.post('/ops/topup-codes', {
    ...ops,
    schema: { hide: true, body: TopupCodesBody, response: { 201: TopupCodesView } },
    handler: async (request, reply) => reply.code(201).send(await makeCodes(rt, actorOf(request), request.body)),
  });
  app.get('/ops/topup-codes', {
    ...ops,
    schema: { hide: true, querystring: PageQuery, response: { 200: TopupBatchList } },
    handler: async (request) => {
      const { limit, cursor } = request.query;
      const before = cursor === undefined ? undefined : decodeCursor(cursor, BatchKey)[0];
      const rows = await listBatches(rt.systemPool, { before, limit: limit + 1 });
      return toPage(rows, limit, ({ batchId }) => [batchId], presentBatch);
    },
  });
  app.post('/ops/topup-codes/revoke', {
    ...ops,
    schema: { hide: true, body: RevokeCodesBody, response: { 200: RevokedCodesView } },
    handler: (request) => endCodes(rt, actorOf(request), request.body),
  });
  app.post('/ops/credits/grants', {
    ...ops,
    schema: { hide: true, body: GrantBody, response: { 200: BalanceView } },
    handler: (request) => grantByOperator(rt, actorOf(request), request.body),
  });
  app.post('/ops/credits/refunds', {
    ...ops,
    schema: { hide: true, body: RefundBody, response: { 200: BalanceView } },
    handler: (request) => refundByOperator(rt, actorOf(request), request.body),
  });
}
