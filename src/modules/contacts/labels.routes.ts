import { wrap } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, conflict, notFound } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdText, nameText } from '#src/http/fields.ts';
import { decodeCursor, pageOf, PageQuery, toPage } from '#src/http/page.ts';
import { newId } from '#src/lib/ids.ts';
import { actorOf, appendAudit } from '#src/modules/audit/audit.ts';
import { mustSeeAll } from '#src/modules/contacts/contact-access.ts';
import { Label } from '#src/modules/contacts/label.entity.ts';
import { ensureLabels, lockLabels, placeLabels } from '#src/modules/contacts/labels.query.ts';
import { crud, ownedView } from '#src/modules/crud.ts';
import type { Runtime } from '#src/runtime.ts';

const MAX_AT_ONCE = 100;
const MAX_PLACED = 1000;

export const LabelBody = z.strictObject({
  name: nameText(60),
  color: z.string().regex(/^#[0-9a-f]{6}$/i, 'must be a colour like #25d366'),
});
export const LabelView = z.object({ ...ownedView, ...LabelBody.shape }).meta({ id: 'Label' });

export const LabelsBulkBody = z.strictObject({ labels: z.array(LabelBody).min(1).max(MAX_AT_ONCE) });
/** One for each that was sent, in their order. */
const LabelsBulkView = z.object({
  results: z.array(z.object({ outcome: z.enum(['created', 'existing']), label: LabelView })),
});
export const LabelOrderBody = z.strictObject({ labelIds: z.array(IdText).min(1).max(MAX_PLACED) });
const LabelOrderView = z.object({
  /** Of all labels, in their order. */
  labelIds: z.array(z.uuid()),
});

const Place = z.tuple([z.int32(), z.uuid()]);
const present = (label: object): z.output<typeof LabelView> =>
  LabelView.parse(JSON.parse(JSON.stringify(wrap(label).toPOJO())));

/** `/api/labels`. */
export function labelRoutes(rt: Pick<Runtime, 'orm'>) {
  const { orm } = rt;
  const access = { read: 'contacts:read', write: 'contacts:write' } as const;
  const labels = crud(rt, Label, { name: 'label', body: LabelBody, view: LabelView, access });
  const schema = { tags: ['label'], security: [{ bearer: [] }] };
  return async (app: App): Promise<void> => {
    app.get('/api/labels', {
      config: { access: access.read },
      schema: {
        ...schema,
        summary: 'In the order they were put in; behind them those nobody gave a place, as they were made',
        querystring: PageQuery,
        response: { 200: pageOf(LabelView) },
      },
      handler: async (request) => {
        const { limit, cursor } = request.query;
        const [position, id] = cursor === undefined ? [0, ''] : decodeCursor(cursor, Place);
        const isAfter = { $or: [{ position: { $gt: position } }, { position, id: { $gt: id } }] };
        const rows = await inWorkspaceTx(orm, authOf(request), (em) =>
          em.find(Label, cursor === undefined ? {} : isAfter, {
            orderBy: { position: 'asc', id: 'asc' },
            limit: limit + 1,
          }),
        );
        return toPage(rows, limit, (row) => [row.position, row.id], present);
      },
    });
    app.post('/api/labels', labels.create);
    app.get('/api/labels/:id', labels.get);
    app.patch('/api/labels/:id', { ...labels.update, preHandler: mustSeeAll });
    app.delete('/api/labels/:id', { ...labels.remove, preHandler: mustSeeAll });

    app.post('/api/labels/bulk', {
      config: { access: access.write },
      schema: {
        ...schema,
        summary: `Make up to ${MAX_AT_ONCE} labels; one whose name is taken, in any case, stays as it is`,
        body: LabelsBulkBody,
        response: { 201: LabelsBulkView },
      },
      handler: async (request, reply) => {
        const wanted = request.body.labels.map((label) => ({ ...label, id: newId() }));
        const results = await inWorkspaceTx(orm, authOf(request), async (em) => {
          const rows = await ensureLabels(em, wanted);
          if (rows.length < wanted.length)
            throw conflict('label_deleted', 'Somebody deleted one of them at the same moment. Try again.');
          const ids = new Set(wanted.map(({ id }) => id));
          const labelIds = rows.flatMap(({ id }) => (ids.delete(id) ? [id] : []));
          const after = { labelIds };
          if (labelIds.length > 0) await appendAudit(em, actorOf(request), { action: 'labels.created', after });
          return rows.map((row, at) => ({
            outcome: row.id === wanted[at]?.id ? ('created' as const) : ('existing' as const),
            label: {
              id: row.id,
              name: row.name,
              color: row.color,
              createdAt: new Date(row.created_at).toISOString(),
              updatedAt: new Date(row.updated_at).toISOString(),
            },
          }));
        });
        return reply.code(201).send({ results });
      },
    });

    app.patch('/api/labels/reorder', {
      config: { access: access.write },
      schema: {
        ...schema,
        summary: 'Put labels into an order; those that are not named stay behind them, as they were',
        body: LabelOrderBody,
        response: { 200: LabelOrderView },
      },
      preHandler: mustSeeAll,
      handler: (request) => {
        const first = new Set(request.body.labelIds);
        if (first.size < request.body.labelIds.length) {
          const message = 'must name each once';
          throw badRequest('validation_failed', `labelIds ${message}.`, [
            { path: 'labelIds', code: 'custom', message },
          ]);
        }
        return inWorkspaceTx(orm, authOf(request), async (em) => {
          const before = await lockLabels(em);
          const known = new Set(before);
          if (request.body.labelIds.some((id) => !known.has(id))) throw notFound('The label');
          const labelIds = [...first, ...before.filter((id) => !first.has(id))];
          await placeLabels(em, labelIds);
          await appendAudit(em, actorOf(request), { action: 'labels.reordered', before, after: labelIds });
          return { labelIds };
        });
      },
    });
  };
}
