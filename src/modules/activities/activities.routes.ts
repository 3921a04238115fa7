import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { badRequest, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdText } from '#src/http/fields.ts';
import { PageQuery } from '#src/http/page.ts';
import { mustHave, onlyOwner } from '#src/http/permissions.ts';
import { hasContact, insertActivity, keepContact } from '#src/modules/activities/activities.query.ts';
import { ActivityView, readTimeline, TimelinePage } from '#src/modules/activities/timeline.ts';
import { readDeal } from '#src/modules/deals/deals.service.ts';
import type { Runtime } from '#src/runtime.ts';

/** What people write down themselves; all else in a timeline the platform does. */
const BY_HAND = ['call', 'meeting', 'note', 'email'] as const;
const SLACK_MS = 60_000;
const Moment = z.iso
  .datetime({ offset: true })
  .refine((text) => /^(19|20)\d\d-/.test(text), 'must be of this century or the last');

const whom = { contactId: IdText.optional(), dealId: IdText.optional() };
const NAMES_ONE = {
  path: ['contactId'],
  message: 'or dealId is required',
  when: ({ issues }: { issues: unknown[] }) => issues.length === 0,
};
const namesOne = ({ contactId, dealId }: { contactId?: string | undefined; dealId?: string | undefined }): boolean =>
  contactId !== undefined || dealId !== undefined;

export const ActivityBody = z
  .strictObject({
    ...whom,
    type: z.enum(BY_HAND),
    text: z.string().trim().min(1).max(5000),
    /** When it was; now where nothing is said. */
    occurredAt: Moment.optional(),
    durationMinutes: z.int().min(0).max(1440).optional(),
  })
  .refine(namesOne, NAMES_ONE);
export const ActivityQuery = PageQuery.extend(whom).refine(namesOne, NAMES_ONE);

/** Whom it is about, as far as the caller may see them. @throws AppError 403, 404 */
async function subject(
  em: EntityManager,
  auth: Auth,
  { contactId, dealId }: z.output<typeof ActivityQuery> | z.output<typeof ActivityBody>,
): Promise<{ contactId: string | null; dealId: string | null }> {
  if (dealId === undefined) {
    if (!(await hasContact(em, contactId ?? '', onlyOwner(auth, 'contacts') ?? null))) throw notFound('The contact');
    return { contactId: contactId ?? null, dealId: null };
  }
  const deal = await readDeal(em, auth, dealId);
  if (contactId !== undefined && contactId !== deal.contactId) throw notFound('The contact');
  return { contactId: deal.contactId, dealId };
}

/** `/api/activities`: what happened with a contact or a deal. What is in there stays. */
export function activityRoutes({ orm, pool }: Pick<Runtime, 'orm' | 'pool'>) {
  const schema = { tags: ['activities'], security: [{ bearer: [] }] };
  return async (app: App): Promise<void> => {
    app.get('/api/activities', {
      config: { access: 'contacts:read' },
      schema: {
        ...schema,
        summary: 'The timeline of a contact or a deal, the newest first',
        querystring: ActivityQuery,
        response: { 200: TimelinePage },
      },
      handler: async (request) => {
        const auth = authOf(request);
        const { contactId, dealId } = request.query;
        if (dealId !== undefined) mustHave(auth, 'deals:read');
        await inWorkspaceTx(orm, auth, (em) => subject(em, auth, request.query));
        return readTimeline(pool, auth, { contactId, dealId }, request.query);
      },
    });

    app.post('/api/activities', {
      config: { access: 'contacts:write' },
      schema: {
        ...schema,
        summary: 'Write down a call, a meeting, a note or a mail',
        body: ActivityBody,
        response: { 201: ActivityView },
      },
      handler: async (request, reply) => {
        const auth = authOf(request);
        const { type, text, occurredAt, durationMinutes } = request.body;
        if (request.body.dealId !== undefined) mustHave(auth, 'deals:write');
        if (occurredAt !== undefined && Date.parse(occurredAt) > Date.now() + SLACK_MS) {
          const message = 'must not be in the future';
          throw badRequest('validation_failed', `occurredAt ${message}.`, [
            { path: 'occurredAt', code: 'custom', message },
          ]);
        }
        const made = await inWorkspaceTx(orm, auth, async (em) => {
          const { contactId, dealId } = await subject(em, auth, request.body);
          return insertActivity(em, {
            type,
            contactId: contactId && (await keepContact(em, contactId)),
            dealId,
            actorId: auth.userId,
            payload: { text, ...(durationMinutes === undefined ? {} : { durationMinutes }) },
            ...(occurredAt === undefined ? {} : { occurredAt: new Date(occurredAt) }),
          });
        });
        return reply.code(201).send(made);
      },
    });
  };
}
