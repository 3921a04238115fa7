import { Readable } from 'node:stream';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { notFound } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams, IdText } from '#src/http/fields.ts';
import { decodeCursor, PageQuery, toPage } from '#src/http/page.ts';
import { may, onlyOwner } from '#src/http/permissions.ts';
import { csvLine } from '#src/lib/csv.ts';
import type { Auth } from '#src/http/access-token.ts';
import { byOf, onlyOf } from '#src/modules/campaigns/by.ts';
import {
  AttemptsView,
  ContactCampaignPage,
  ItemPage,
  ItemQuery,
  ItemView,
  ProgressView,
  ReportView,
  ResolveBody,
  ResolvedView,
} from '#src/modules/campaigns/campaigns.schemas.ts';
import { resolveUnknown } from '#src/modules/campaigns/campaign-moves.ts';
import { countersOf, mustSeeCampaign } from '#src/modules/campaigns/campaigns.service.ts';
import {
  findAttempts,
  findItem,
  findItems,
  findItemsOfContact,
  findNames,
  readPace,
  readReport,
} from '#src/modules/campaigns/report.query.ts';
import { etaSeconds, wilson } from '#src/modules/campaigns/report.ts';
import { findContactId } from '#src/modules/messages/messages.query.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['campaigns'], security: [{ bearer: [] }] };
const read = { access: 'campaigns:read' } as const;
const ItemParams = IdParams.extend({ itemId: IdText });
const CSV_PAGE = 1000;
const COLUMNS = [
  'id',
  'contactId',
  'contactName',
  'variant',
  'status',
  'attempts',
  'skipReason',
  'errorCode',
  'messageId',
  'sentAt',
  'deliveredAt',
  'readAt',
  'repliedAt',
] as const satisfies (keyof ItemView | 'contactName')[];

/** A campaign's items as CSV, a page at a time, so that none holds them all; with the names of contacts for who may see these. */
async function* csvOf({ orm }: Pick<Runtime, 'orm'>, auth: Auth, campaignId: string): AsyncGenerator<string> {
  yield csvLine(COLUMNS);
  for (let after: string | null = null; ;) {
    const page: string | null = after;
    const rows = await inWorkspaceTx(orm, auth, async (em) => {
      const items = await findItems(em, campaignId, { status: null, after: page, limit: CSV_PAGE });
      const ids = may(auth, 'contacts:read') ? items.map(({ contactId }) => contactId) : [];
      const names = await findNames(em, ids, onlyOwner(auth, 'contacts') ?? null);
      return items.map((item) => ({ ...item, contactName: names.get(item.contactId ?? '') ?? null }));
    });
    yield rows.map((row) => csvLine(COLUMNS.map((name) => row[name]))).join('');
    if (rows.length < CSV_PAGE) return;
    after = rows.at(-1)?.id ?? null;
  }
}

/** What became of a campaign, and of each of its recipients. */
export function itemRoutes(app: App, rt: Runtime): void {
  const { orm } = rt;
  app.get('/api/campaigns/:id/items', {
    config: read,
    schema: {
      ...schema,
      summary: 'Its recipients',
      params: IdParams,
      querystring: ItemQuery,
      response: { 200: ItemPage },
    },
    handler: async (request) => {
      const { limit, cursor, status = null } = request.query;
      const after = cursor === undefined ? null : decodeCursor(cursor, z.tuple([z.uuid()]))[0];
      const rows = await inWorkspaceTx(orm, authOf(request), async (em) => {
        const { id } = await mustSeeCampaign(em, authOf(request), request.params.id);
        return findItems(em, id, { status, after, limit: limit + 1 });
      });
      return toPage(
        rows,
        limit,
        (row) => [row.id],
        (row) => row,
      );
    },
  });

  app.get('/api/contacts/:id/campaigns', {
    config: read,
    schema: {
      ...schema,
      summary: 'What campaigns sent to a contact, the newest first',
      params: IdParams,
      querystring: PageQuery,
      response: { 200: ContactCampaignPage },
    },
    handler: async (request) => {
      const { limit, cursor } = request.query;
      const before = cursor === undefined ? null : decodeCursor(cursor, z.tuple([z.uuid()]))[0];
      const only = onlyOf(authOf(request));
      const rows = await inWorkspaceTx(orm, authOf(request), async (em) => {
        const id = await findContactId(em, request.params.id, only.ownerId ?? undefined);
        if (id === undefined) throw notFound('The contact');
        return findItemsOfContact(em, id, { only, before, limit: limit + 1 });
      });
      return toPage(
        rows,
        limit,
        (row) => [row.id],
        (row) => row,
      );
    },
  });

  app.get('/api/campaigns/:id/items/:itemId/attempts', {
    config: read,
    schema: { ...schema, summary: 'All that was done to send it', params: ItemParams, response: { 200: AttemptsView } },
    handler: async (request) => {
      const { id, itemId } = request.params;
      return inWorkspaceTx(orm, authOf(request), async (em) => {
        await mustSeeCampaign(em, authOf(request), id);
        if (!(await findItem(em, id, itemId))) throw notFound('The item');
        return { data: await findAttempts(em, itemId) };
      });
    },
  });

  app.post('/api/campaigns/:id/items/:itemId/resolve', {
    config: { access: 'campaigns:run' },
    schema: {
      ...schema,
      summary: 'Say how an unknown item ended, or have it sent again',
      params: ItemParams,
      body: ResolveBody,
      response: { 200: ItemView },
    },
    handler: async (request) => {
      const { id: campaignId, itemId } = request.params;
      await resolveUnknown(rt, byOf(request), { campaignId, itemId }, request.body.as);
      const item = await inWorkspaceTx(orm, authOf(request), (em) => findItem(em, campaignId, itemId));
      if (!item) throw notFound('The item');
      return item;
    },
  });

  app.post('/api/campaigns/:id/resolve-unknown', {
    config: { access: 'campaigns:run' },
    schema: {
      ...schema,
      summary: 'Say the same of all its unknown items at once',
      params: IdParams,
      body: ResolveBody,
      response: { 200: ResolvedView },
    },
    handler: async (request) => {
      const key = { campaignId: request.params.id, itemId: null };
      return { resolved: await resolveUnknown(rt, byOf(request), key, request.body.as) };
    },
  });

  app.get('/api/campaigns/:id/progress', {
    config: read,
    schema: { ...schema, summary: 'How far it is', params: IdParams, response: { 200: ProgressView } },
    handler: (request) =>
      inWorkspaceTx(orm, authOf(request), async (em) => {
        const row = await mustSeeCampaign(em, authOf(request), request.params.id);
        const pace = await readPace(em, row.channel_id, row.id);
        const eta = pace ? etaSeconds(row, pace) : null;
        const { status, pause_reason: pauseReason, wait_reason: waitReason } = row;
        return { status, pauseReason, waitReason, counters: countersOf(row), etaSeconds: eta };
      }),
  });

  app.get('/api/campaigns/:id/report', {
    config: read,
    schema: { ...schema, summary: 'What came of it', params: IdParams, response: { 200: ReportView } },
    handler: (request) =>
      inWorkspaceTx(orm, authOf(request), async (em) => {
        const row = await mustSeeCampaign(em, authOf(request), request.params.id);
        const { variants, ...report } = await readReport(em, row.id);
        return {
          ...report,
          counters: countersOf(row),
          excluded: row.excluded,
          variants: variants.map(({ variant, sent, replied }) => ({
            key: row.variants[variant]?.key ?? '',
            sent,
            replied,
            replyRate: wilson(replied, Math.max(sent, replied)),
          })),
        };
      }),
  });

  app.get('/api/campaigns/:id/report.csv', {
    config: read,
    schema: { ...schema, summary: 'Its recipients as CSV', params: IdParams },
    handler: async (request, reply) => {
      const auth = authOf(request);
      const { id } = await inWorkspaceTx(orm, auth, (em) => mustSeeCampaign(em, auth, request.params.id));
      reply.header('content-type', 'text/csv; charset=utf-8');
      reply.header('content-disposition', `attachment; filename="campaign-${id}.csv"`);
      return reply.send(Readable.from(csvOf(rt, auth, id)));
    },
  });
}
