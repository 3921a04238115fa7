import { z } from 'zod';
import { notFound } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams } from '#src/http/fields.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import { findInvoice, listInvoices, listWaiting, type InvoiceRow } from '#src/modules/payments/invoices.query.ts';
import {
  payByOperator,
  refundByOperator,
  releaseByOperator,
  voidByOperator,
} from '#src/modules/payments/ops.service.ts';
import {
  CheckoutView,
  InvoiceList,
  InvoicesQuery,
  InvoiceView,
  NothingBody,
  PlanBody,
  PortalView,
  presentInvoice,
  presentSubscription,
  RefundedView,
  RefundInvoiceBody,
  ReleaseBody,
  SubscriptionView,
  WaitingList,
  WaitingQuery,
} from '#src/modules/payments/payments.schemas.ts';
import {
  cancelSubscription,
  changePlan,
  openCheckout,
  openPortal,
  reactivateSubscription,
} from '#src/modules/payments/payments.service.ts';
import { findSubscription } from '#src/modules/payments/subscriptions.query.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['billing'], security: [{ bearer: [] }] };
const InvoiceCursor = z.tuple([z.uuid()]);
const read = { access: 'billing:read' } as const;
// Asked again they do nothing again, and after a 503 they may be asked again: what the provider is asked has keys of its own.
const manage = { access: 'billing:manage', idempotency: 'own' } as const;

/** What a workspace pays for its plan: its subscription, and the invoices. */
export function paymentRoutes(rt: Runtime) {
  const present = (row: InvoiceRow) => presentInvoice(row, rt.config.BILLING_INSTRUCTIONS);
  return async (app: App): Promise<void> => {
    app.post('/api/billing/checkout', {
      config: manage,
      schema: {
        ...schema,
        summary: 'Subscribe to a plan: where to pay for it',
        body: PlanBody,
        response: { 200: CheckoutView },
      },
      handler: (request) => openCheckout(rt, authOf(request), actorOf(request), request.body.plan),
    });
    app.post('/api/billing/portal', {
      config: manage,
      schema: {
        ...schema,
        summary: 'The payment provider’s page for cards, receipts and addresses',
        body: NothingBody,
        response: { 200: PortalView },
      },
      handler: (request) => openPortal(rt, authOf(request)),
    });
    app.get('/api/billing/subscription', {
      config: read,
      schema: { ...schema, summary: 'The subscription there is', response: { 200: SubscriptionView } },
      handler: async (request) => presentSubscription(await findSubscription(rt.pool, authOf(request).workspaceId)),
    });
    app.post('/api/billing/cancel', {
      config: manage,
      schema: {
        ...schema,
        summary: 'End with the period that is paid for',
        body: NothingBody,
        response: { 200: SubscriptionView },
      },
      handler: (request) => cancelSubscription(rt, authOf(request), actorOf(request)),
    });
    app.post('/api/billing/reactivate', {
      config: manage,
      schema: { ...schema, summary: 'Go on after all', body: NothingBody, response: { 200: SubscriptionView } },
      handler: (request) => reactivateSubscription(rt, authOf(request), actorOf(request)),
    });
    app.post('/api/billing/change', {
      config: manage,
      schema: {
        ...schema,
        summary: 'Another plan; what was paid for the rest of the period counts',
        body: PlanBody,
        response: { 200: SubscriptionView },
      },
      handler: (request) => changePlan(rt, authOf(request), actorOf(request), request.body.plan),
    });
    app.get('/api/billing/invoices', {
      config: read,
      schema: {
        ...schema,
        summary: 'Invoices, newest first',
        querystring: InvoicesQuery,
        response: { 200: InvoiceList },
      },
      handler: async (request) => {
        const { limit, cursor, status } = request.query;
        const before = cursor === undefined ? undefined : decodeCursor(cursor, InvoiceCursor)[0];
        const { workspaceId } = authOf(request);
        const rows = await listInvoices(rt.pool, { workspaceId, status, before, limit: limit + 1 });
        return toPage(rows, limit, ({ id }) => [id], present);
      },
    });
    app.get('/api/billing/invoices/:id', {
      config: read,
      schema: { ...schema, summary: 'One invoice', params: IdParams, response: { 200: InvoiceView } },
      handler: async (request) => {
        const row = await findInvoice(rt.pool, authOf(request).workspaceId, request.params.id);
        if (!row) throw notFound('The invoice');
        return present(row);
      },
    });
  };
}

const ops = { config: { access: 'ops' as const } };

/** Adds what operators do with invoices to a scope that lets only operators in. */
export function addOperatorInvoices(app: App, rt: Runtime): void {
  const present = (row: InvoiceRow) => presentInvoice(row, rt.config.BILLING_INSTRUCTIONS);
  const hidden = { hide: true, params: IdParams, response: { 200: InvoiceView } };
  app.get('/ops/invoices', {
    ...ops,
    schema: { hide: true, querystring: WaitingQuery, response: { 200: WaitingList } },
    handler: async ({ query: { limit, cursor, waiting } }) => {
      const before = cursor === undefined ? undefined : decodeCursor(cursor, InvoiceCursor)[0];
      const rows = await listWaiting(rt.systemPool, { waiting, before, limit: limit + 1 });
      return toPage(
        rows,
        limit,
        ({ id }) => [id],
        (row) => ({ ...present(row), workspaceId: row.workspaceId }),
      );
    },
  });
  app.post('/ops/invoices/:id/paid', {
    ...ops,
    schema: { ...hidden, body: NothingBody },
    handler: async (request) => present(await payByOperator(rt, actorOf(request), request.params.id)),
  });
  app.post('/ops/invoices/:id/void', {
    ...ops,
    schema: { ...hidden, body: NothingBody },
    handler: async (request) => present(await voidByOperator(rt, actorOf(request), request.params.id)),
  });
  app.post('/ops/invoices/:id/refund', {
    ...ops,
    schema: { ...hidden, body: RefundInvoiceBody, response: { 200: RefundedView } },
    handler: async (request) => {
      const { invoice, notRefundableMinor } = await refundByOperator(
        rt,
        actorOf(request),
        request.params.id,
        request.body,
      );
      return { ...present(invoice), notRefundableMinor };
    },
  });
  app.post('/ops/invoices/:id/release', {
    ...ops,
    schema: { ...hidden, body: ReleaseBody },
    handler: async (request) => present(await releaseByOperator(rt, actorOf(request), request.params.id, request.body)),
  });
}
