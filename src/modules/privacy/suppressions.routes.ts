import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, notFound } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { DeletedView, IdParams } from '#src/http/fields.ts';
import { decodeCursor, pageOf, PageQuery, toPage } from '#src/http/page.ts';
import { actorOf, appendAudit } from '#src/modules/audit/audit.ts';
import { parsePhone } from '#src/modules/contacts/phone.ts';
import { addressHash } from '#src/modules/privacy/suppression.ts';
import {
  findByHash,
  insertSuppressions,
  listSuppressions,
  removeSuppression,
  type SuppressionRow,
} from '#src/modules/privacy/suppression.query.ts';
import type { Runtime } from '#src/runtime.ts';

const Phone = z.string().trim().min(5).max(40);
const Reason = z.enum(['opt_out', 'complaint', 'invalid', 'manual']);
const SuppressionBody = z.strictObject({ phone: Phone, reason: Reason.default('manual') });
const SuppressionImportBody = z.strictObject({
  phones: z.array(Phone).min(1).max(1000),
  reason: Reason.default('manual'),
});
const SuppressionView = z
  .object({
    id: z.uuid(),
    scope: z.enum(['marketing']),
    reason: z.enum([...Reason.options, 'erasure']),
    source: z.enum(['contact', 'manual', 'import', 'erasure']),
    createdBy: z.uuid().nullable(),
    createdAt: z.iso.datetime(),
  })
  .meta({ id: 'Suppression' });
/** `phone`: whether this number is on the list; the list itself does not know numbers. */
const SuppressionQuery = PageQuery.extend({ phone: Phone.optional() });
const SuppressionImportView = z.object({
  added: z.int(),
  alreadyThere: z.int(),
  /** Places in `phones` of what is no number. */
  invalid: z.array(z.int()),
});

const present = (row: SuppressionRow): z.output<typeof SuppressionView> =>
  SuppressionView.parse({ ...row, createdBy: row.created_by, createdAt: row.created_at });

function mustParse(phone: string): string {
  const parsed = parsePhone(phone);
  if (parsed !== null) return parsed;
  const message = 'must be a phone number';
  throw badRequest('validation_failed', `phone ${message}.`, [{ path: 'phone', code: 'invalid_phone', message }]);
}

const schema = { tags: ['suppressions'], security: [{ bearer: [] }] };

/** `/api/suppressions`: who wants no marketing, known by keyed hashes alone. */
export function suppressionRoutes({ orm, config: { APP_SECRET: appSecret } }: Pick<Runtime, 'orm' | 'config'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/suppressions', {
      config: { access: 'contacts:read' },
      schema: {
        ...schema,
        summary: 'Numbers that are not written to, the newest first; or whether one is',
        querystring: SuppressionQuery,
        response: { 200: pageOf(SuppressionView) },
      },
      handler: async (request) => {
        const auth = authOf(request);
        const { phone, cursor, limit } = request.query;
        const before = cursor === undefined ? null : decodeCursor(cursor, z.tuple([z.uuid()]))[0];
        const hash = phone === undefined ? undefined : addressHash(appSecret, auth.workspaceId, mustParse(phone));
        const rows = await inWorkspaceTx(orm, auth, async (em) => {
          if (hash === undefined) return listSuppressions(em, before, limit + 1);
          const found = await findByHash(em, hash);
          return found ? [found] : [];
        });
        return toPage(rows, limit, ({ id }) => [id], present);
      },
    });

    app.post('/api/suppressions', {
      config: { access: 'contacts:write' },
      schema: {
        ...schema,
        summary: 'Do not write to a number',
        body: SuppressionBody,
        response: { 201: SuppressionView },
      },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const { phone, reason } = request.body;
        const hash = addressHash(appSecret, auth.workspaceId, mustParse(phone));
        const row = await inWorkspaceTx(orm, auth, async (em) => {
          const added = await insertSuppressions(em, [hash], { reason, source: 'manual', createdBy: auth.userId });
          const found = await findByHash(em, hash);
          if (!found) throw notFound('The suppression');
          const target = { type: 'suppression', id: found.id };
          if (added > 0)
            await appendAudit(em, actorOf(request), { action: 'suppression.created', target, after: { reason } });
          return found;
        });
        return reply.code(201).send(present(row));
      },
    });

    app.post('/api/suppressions/import', {
      config: { access: 'contacts:write' },
      schema: {
        ...schema,
        summary: 'Do not write to many numbers',
        body: SuppressionImportBody,
        response: { 200: SuppressionImportView },
      },
      handler: async (request) => {
        const auth = authOf(request);
        const { phones, reason } = request.body;
        const parsed = phones.map((phone) => parsePhone(phone));
        const good = new Set(
          parsed.flatMap((phone) => (phone === null ? [] : [addressHash(appSecret, auth.workspaceId, phone)])),
        );
        const added = await inWorkspaceTx(orm, auth, async (em) => {
          const count = await insertSuppressions(em, [...good], { reason, source: 'import', createdBy: auth.userId });
          const change = { action: 'suppression.imported', after: { reason, added: count } };
          if (count > 0) await appendAudit(em, actorOf(request), change);
          return count;
        });
        const invalid = parsed.flatMap((phone, at) => (phone === null ? [at] : []));
        return { added, alreadyThere: good.size - added, invalid };
      },
    });

    app.delete('/api/suppressions/:id', {
      config: { access: 'contacts:erase' },
      schema: { ...schema, summary: 'Write to a number again', params: IdParams, response: { 200: DeletedView } },
      handler: (request) =>
        inWorkspaceTx(orm, authOf(request), async (em) => {
          const { id } = request.params;
          if (!(await removeSuppression(em, id))) throw notFound('The suppression');
          await appendAudit(em, actorOf(request), {
            action: 'suppression.deleted',
            target: { type: 'suppression', id },
          });
          return { id, deleted: true as const };
        }),
    });
  };
}
