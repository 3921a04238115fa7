import type { EntityManager } from '@mikro-orm/postgresql';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { ifMatchOf } from '#src/http/etag.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { decodeCursor, PageQuery, toPage } from '#src/http/page.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { actorOf, appendAudit } from '#src/modules/audit/audit.ts';
import { listDeals, listHistory, readSort } from '#src/modules/deals/deals-list.query.ts';
import {
  DealBody,
  DealList,
  DealPatch,
  DealQuery,
  DealView,
  HistoryList,
  LostBody,
  MoveBody,
} from '#src/modules/deals/deals.schemas.ts';
import {
  addDeal,
  changeDeal,
  etagOfDeal,
  readDeal,
  removeDeal,
  type Change,
} from '#src/modules/deals/deals.service.ts';
import { closeDeal, moveDeal, reopenDeal, restoreDeal } from '#src/modules/deals/moves.service.ts';
import { findContactId } from '#src/modules/messages/messages.query.ts';
import type { Runtime } from '#src/runtime.ts';

const ONE = '/api/deals/:id';
const schema = { tags: ['deals'], security: [{ bearer: [] }] };
const one = { ...schema, params: IdParams, response: { 200: DealView } };
const read = { access: 'deals:read' as const };
const write = { access: 'deals:write' as const };

type OfDeal = FastifyRequest<{ Params: z.output<typeof IdParams> }>;
interface Done {
  after: DealView;
  before?: DealView;
}

/** What the audit log keeps of a deal: nothing that people wrote, for it is never changed, and they may write of people. */
function recorded<Deal extends { title: string; lostReason?: string | null }>(
  deal: Deal,
): Omit<Deal, 'title' | 'lostReason'> {
  const { title: _title, lostReason: _lostReason, ...rest } = deal;
  return rest;
}

/** `/api/deals`. Members without `deals:all` have their own alone. */
export function dealRoutes({ orm, pool }: Pick<Runtime, 'orm' | 'pool'>) {
  /** Changes a deal; under `verb` it is in the audit log. Moves between open stages are in the deal's history instead. */
  const change = async (
    request: OfDeal,
    reply: FastifyReply,
    verb: string,
    work: (em: EntityManager, auth: Auth, change: Change) => Promise<Done>,
  ): Promise<DealView> => {
    const auth = authOf(request);
    const { id } = request.params;
    const { after } = await inWorkspaceTx(orm, auth, async (em) => {
      const done = await work(em, auth, { id, ifMatch: ifMatchOf(request) });
      const isPlainMove = verb === 'moved' && done.before?.status === done.after.status;
      if (!isPlainMove && done.before?.version !== done.after.version)
        await appendAudit(em, actorOf(request), {
          action: `deal.${verb}`,
          target: { type: 'deal', id },
          before: done.before && recorded(done.before),
          after: recorded(done.after),
        });
      return done;
    });
    reply.header('etag', etagOfDeal(after));
    return after;
  };

  const page = async (auth: Auth, { limit, cursor, sort: sortText, ...filters }: DealQuery) => {
    const sort = readSort(sortText);
    const after = cursor === undefined ? undefined : decodeCursor(cursor, z.tuple([sort.sort.shape, z.uuid()]));
    const owner = onlyOwner(auth, 'deals');
    // Of others a limited member has none.
    const isOthers = owner !== undefined && (filters.ownerId ?? owner) !== owner;
    const asked = { ...filters, ownerId: owner ?? filters.ownerId };
    const rows = isOthers ? [] : await listDeals(pool, auth.workspaceId, asked, { sort, after, limit: limit + 1 });
    return toPage(
      rows,
      limit,
      ({ sortKey, id }) => [sortKey, id],
      (deal) => deal,
    );
  };

  return async (app: App): Promise<void> => {
    app.get('/api/deals', {
      config: read,
      schema: { ...schema, summary: 'Deals, filtered and sorted', querystring: DealQuery, response: { 200: DealList } },
      handler: (request) => page(authOf(request), request.query),
    });

    app.get('/api/contacts/:id/deals', {
      config: read,
      schema: {
        ...schema,
        summary: "A contact's deals, the newest first",
        params: IdParams,
        querystring: PageQuery,
        response: { 200: DealList },
      },
      handler: async (request) => {
        const auth = authOf(request);
        const contactId = await inWorkspaceTx(orm, auth, (em) =>
          findContactId(em, request.params.id, onlyOwner(auth, 'contacts')),
        );
        if (contactId === undefined) throw notFound('The contact');
        return page(auth, { ...request.query, contactId, sort: '-createdAt' });
      },
    });

    app.post('/api/deals', {
      config: write,
      schema: {
        ...schema,
        summary: 'A new deal, at the end of its stage',
        body: DealBody,
        response: { 201: DealView },
      },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const deal = await inWorkspaceTx(orm, auth, async (em) => {
          const made = await addDeal(em, auth, request.body);
          const target = { type: 'deal', id: made.id };
          await appendAudit(em, actorOf(request), { action: 'deal.created', target, after: recorded(request.body) });
          return made;
        });
        return reply.code(201).header('etag', etagOfDeal(deal)).send(deal);
      },
    });

    app.get(ONE, {
      config: read,
      schema: { ...one, summary: 'One deal' },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const deal = await inWorkspaceTx(orm, auth, (em) => readDeal(em, auth, request.params.id));
        return reply.header('etag', etagOfDeal(deal)).send(deal);
      },
    });

    app.patch(ONE, {
      config: write,
      schema: { ...one, summary: 'Change fields of a deal', body: DealPatch },
      handler: (request, reply) =>
        change(request, reply, 'changed', (em, auth, what) => changeDeal(em, auth, what, request.body)),
    });

    app.delete(ONE, {
      config: write,
      schema: { ...one, summary: 'Put a deal into the bin', response: { 200: DeletedView } },
      handler: (request) => {
        const auth = authOf(request);
        const { id } = request.params;
        return inWorkspaceTx(orm, auth, async (em) => {
          const before = await removeDeal(em, auth, { id, ifMatch: ifMatchOf(request) });
          await appendAudit(em, actorOf(request), {
            action: 'deal.deleted',
            target: { type: 'deal', id },
            before: recorded(before),
          });
          return { id, deleted: true as const };
        });
      },
    });

    app.post(`${ONE}/restore`, {
      config: write,
      schema: { ...one, summary: 'Take a deal out of the bin, to the end of the stage it was in' },
      handler: (request, reply) =>
        change(request, reply, 'restored', async (em, auth, what) => ({ after: await restoreDeal(em, auth, what) })),
    });

    app.post(`${ONE}/move`, {
      config: write,
      schema: { ...one, summary: 'Move a deal to a place of a stage', body: MoveBody },
      handler: (request, reply) =>
        change(request, reply, 'moved', (em, auth, what) => moveDeal(em, auth, what, request.body)),
    });

    app.post(`${ONE}/won`, {
      config: write,
      schema: { ...one, summary: 'The deal is won' },
      handler: (request, reply) =>
        change(request, reply, 'won', (em, auth, what) => closeDeal(em, auth, what, { kind: 'won', reason: null })),
    });

    app.post(`${ONE}/lost`, {
      config: write,
      schema: { ...one, summary: 'The deal is lost, and why', body: LostBody },
      handler: (request, reply) =>
        change(request, reply, 'lost', (em, auth, what) =>
          closeDeal(em, auth, what, { kind: 'lost', reason: request.body.reason }),
        ),
    });

    app.post(`${ONE}/reopen`, {
      config: write,
      schema: { ...one, summary: 'A deal that was won or lost is open again' },
      handler: (request, reply) => change(request, reply, 'reopened', reopenDeal),
    });

    app.get(`${ONE}/history`, {
      config: read,
      schema: {
        ...schema,
        summary: 'The stages a deal went through, the newest first',
        params: IdParams,
        querystring: PageQuery,
        response: { 200: HistoryList },
      },
      handler: async (request) => {
        const auth = authOf(request);
        const { id } = request.params;
        const { limit, cursor } = request.query;
        const before = cursor === undefined ? undefined : decodeCursor(cursor, z.tuple([z.uuid()]))[0];
        await inWorkspaceTx(orm, auth, (em) => readDeal(em, auth, id));
        const rows = await listHistory(pool, auth.workspaceId, { dealId: id, before, limit: limit + 1 });
        return toPage(
          rows,
          limit,
          (row) => [row.id],
          (row) => row,
        );
      },
    });
  };
}
