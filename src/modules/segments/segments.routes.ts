import type { EntityManager } from '@mikro-orm/postgresql';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams, nameText } from '#src/http/fields.ts';
import { decodeCursor, encodeCursor, pageOf, PageQuery } from '#src/http/page.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { dealsOf } from '#src/modules/activities/activity-sight.ts';
import { mustSeeAll } from '#src/modules/contacts/contact-access.ts';
import { presentContact } from '#src/modules/contacts/contact.row.ts';
import { findContactRows } from '#src/modules/contacts/contacts.query.ts';
import { ContactView } from '#src/modules/contacts/contacts.schemas.ts';
import { crud, ownedView } from '#src/modules/crud.ts';
import { compileFilter, type Condition } from '#src/modules/segments/compile-filter.query.ts';
import { loadFilterFields } from '#src/modules/segments/filter-fields.query.ts';
import { CONTACT_SORTS, countContacts, inTime, searchContacts } from '#src/modules/segments/search.query.ts';
import { AskedFilter, SegmentFilter } from '#src/modules/segments/segment-filter.ts';
import { Segment } from '#src/modules/segments/segment.entity.ts';
import type { Runtime } from '#src/runtime.ts';

const SAMPLE = 10;

export const SegmentBody = z.strictObject({ name: nameText(100), filter: AskedFilter });
export const SegmentView = z.object({ ...ownedView, name: z.string(), filter: SegmentFilter }).meta({ id: 'Segment' });

const Sort = z.enum(CONTACT_SORTS).default('-createdAt');
/** The name that a page ended with is in it. */
const cursor = z.string().max(2000).optional();

const PreviewBody = z.strictObject({ filter: AskedFilter });
const PreviewView = z
  .object({
    /** Exact, or 10 000 where there are more. */
    count: z.int(),
    isCapped: z.boolean(),
    sample: z.array(ContactView),
  })
  .meta({ id: 'SegmentPreview' });

const ListQuery = PageQuery.extend({ cursor, sort: Sort });
const SearchBody = z.strictObject({
  filter: AskedFilter,
  sort: Sort,
  limit: z.int().min(1).max(100).default(25),
  cursor,
});

/** Where a page ended, of a list sorted in one way. */
const Place = z.discriminatedUnion('sort', [
  z.object({
    sort: z.enum(['-createdAt', '-lastInboundAt']),
    key: z.union([z.literal('-infinity'), z.iso.datetime().refine((at) => !at.startsWith('0000'))]),
    id: z.uuid(),
  }),
  z.object({ sort: z.literal('-leadScore'), key: z.string().regex(/^-?\d{1,9}$/), id: z.uuid() }),
  z.object({
    sort: z.literal('name'),
    key: z.string().refine((text) => text.isWellFormed() && !text.includes('\0')),
    id: z.uuid(),
  }),
]);
const CursorKey = z.tuple([z.string(), z.string(), z.string()]).transform(([sort, key, id]) => ({ sort, key, id }));

interface Asked {
  sort: z.output<typeof Sort>;
  limit: number;
  cursor?: string | undefined;
}

const ContactPage = pageOf(ContactView);

/** Full views of contacts that were found, in the order they were found. */
async function viewsOf(em: EntityManager, auth: Auth, found: readonly { id: string }[]): Promise<ContactView[]> {
  const rows = await findContactRows(
    em,
    found.map(({ id }) => id),
    onlyOwner(auth, 'contacts'),
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  return found.flatMap(({ id }) => byId.get(id) ?? []).map(presentContact);
}

/** A filter as who asks may ask it, also one that somebody else keeps. @throws AppError 403, 422 as `compileFilter` */
async function conditionFor(em: EntityManager, auth: Auth, filter: SegmentFilter): Promise<Condition> {
  return compileFilter(filter, await loadFilterFields(em, filter, dealsOf(auth)));
}

/** A page of the contacts that a filter is true of. */
async function pageOfContacts(
  em: EntityManager,
  auth: Auth,
  filter: SegmentFilter,
  { sort, limit, cursor: text }: Asked,
) {
  const where = await conditionFor(em, auth, filter);
  const sorted = CursorKey.pipe(Place).refine((place) => place.sort === sort);
  const after = text === undefined ? {} : { after: decodeCursor(text, sorted) };
  const ownerId = onlyOwner(auth, 'contacts');
  const rows = await inTime(em, () => searchContacts(em, where, { sort, limit: limit + 1, ownerId, ...after }));
  const shown = rows.slice(0, limit);
  const [last, hasMore] = [shown.at(-1), rows.length > limit];
  const nextCursor = hasMore && last ? encodeCursor([sort, last.key, last.id]) : null;
  return { data: await viewsOf(em, auth, shown), page: { nextCursor, hasMore } };
}

/** `/api/segments`, and lists of contacts by a filter. */
export function segmentRoutes(rt: Pick<Runtime, 'orm'>) {
  const access = { read: 'contacts:read', write: 'contacts:write' } as const;
  const segments = crud(rt, Segment, { name: 'segment', body: SegmentBody, view: SegmentView, access });
  const read = { access: access.read };
  const schema = { tags: ['segments'], security: [{ bearer: [] }] };
  /** A filter that cannot be asked now is not stored. */
  const preHandler = async (
    request: FastifyRequest<{ Body: { filter?: SegmentFilter | undefined } }>,
  ): Promise<void> => {
    const { filter } = request.body;
    if (filter === undefined) return;
    const auth = authOf(request);
    await inWorkspaceTx(rt.orm, auth, (em) => conditionFor(em, auth, filter));
  };

  return async (app: App): Promise<void> => {
    app.get('/api/segments', segments.list);
    app.post('/api/segments', { ...segments.create, preHandler });
    app.get('/api/segments/:id', segments.get);
    app.patch('/api/segments/:id', { ...segments.update, preHandler: [mustSeeAll, preHandler] });
    app.delete('/api/segments/:id', { ...segments.remove, preHandler: mustSeeAll });

    app.post('/api/segments/preview', {
      config: read,
      schema: { ...schema, body: PreviewBody, response: { 200: PreviewView } },
      handler: (request) => {
        const auth = authOf(request);
        const { filter } = request.body;
        return inWorkspaceTx(rt.orm, auth, async (em) => {
          const where = await conditionFor(em, auth, filter);
          const ownerId = onlyOwner(auth, 'contacts');
          const found = await inTime(em, () =>
            searchContacts(em, where, { sort: '-createdAt', limit: SAMPLE, ownerId }),
          );
          const counted = await inTime(em, () => countContacts(em, where, ownerId));
          return { ...counted, sample: await viewsOf(em, auth, found) };
        });
      },
    });

    app.get('/api/segments/:id/contacts', {
      config: read,
      schema: { ...schema, params: IdParams, querystring: ListQuery, response: { 200: ContactPage } },
      handler: (request) => {
        const auth = authOf(request);
        return inWorkspaceTx(rt.orm, auth, async (em) => {
          const segment = await em.findOne(Segment, { id: request.params.id });
          if (!segment) throw notFound('The segment');
          return pageOfContacts(em, auth, segment.filter, request.query);
        });
      },
    });

    app.post('/api/contacts/search', {
      config: read,
      schema: { ...schema, tags: ['contacts'], body: SearchBody, response: { 200: ContactPage } },
      handler: (request) => {
        const auth = authOf(request);
        return inWorkspaceTx(rt.orm, auth, (em) => pageOfContacts(em, auth, request.body.filter, request.body));
      },
    });
  };
}
