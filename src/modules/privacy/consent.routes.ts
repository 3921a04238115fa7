import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { conflict, notFound } from '#src/errors.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams } from '#src/http/fields.ts';
import { may, onlyOwner } from '#src/http/permissions.ts';
import { addActivities } from '#src/modules/activities/activity.query.ts';
import { actorOf, appendAudit } from '#src/modules/audit/audit.ts';
import { insertConsent, lockPerson } from '#src/modules/privacy/consent.query.ts';
import { phonesOf } from '#src/modules/privacy/needles.ts';
import { addressHash } from '#src/modules/privacy/suppression.ts';
import { findSuppressed, insertSuppressions, removeByHash } from '#src/modules/privacy/suppression.query.ts';
import type { Runtime } from '#src/runtime.ts';

const LegalBasis = z.enum(['consent', 'legitimate_interest', 'contract', 'legal_obligation']);
/** What shows that they agreed: a form, a message, a call and its time. */
const Proof = z.string().trim().min(3).max(2000);

const ConsentBody = z.discriminatedUnion('decision', [
  z.strictObject({ decision: z.literal('granted'), legalBasis: LegalBasis.default('consent'), proof: Proof }),
  z.strictObject({ decision: z.literal('denied'), legalBasis: LegalBasis.default('consent'), proof: Proof.optional() }),
]);
const OptOutBody = z.strictObject({ proof: Proof.optional() });
const OptInBody = z.strictObject({ proof: Proof, legalBasis: LegalBasis.default('consent') });
const ConsentView = z
  .object({ contactId: z.uuid(), consent: z.enum(['granted', 'denied']), recordedAt: z.iso.datetime() })
  .meta({ id: 'Consent' });

const suppressed = () =>
  conflict(
    'suppressed',
    'A number of this contact is on the list of those not written to for another reason than that they opted out. ' +
      'Only who may take numbers off that list can record that they agree: by default an administrator.',
  );

const schema = { tags: ['privacy'], security: [{ bearer: [] }], params: IdParams };
const config = { access: 'contacts:write' } as const;

/** `/api/contacts/:id/consent`, `opt-out` and `opt-in`: what a contact agreed to, and whether marketing may be sent to their numbers. */
export function consentRoutes({ orm, config: { APP_SECRET: appSecret } }: Pick<Runtime, 'orm' | 'config'>) {
  type Decided = z.output<typeof ConsentBody>;

  const record = (request: FastifyRequest<{ Params: { id: string } }>, { decision, legalBasis, proof }: Decided) => {
    const auth = authOf(request);
    const { userId: actorId, workspaceId } = auth;
    return inWorkspaceTx(orm, auth, async (em) => {
      const contact = await lockPerson(em, request.params.id, { onlyOf: onlyOwner(auth, 'contacts') });
      if (!contact) throw notFound('The contact');
      const contactId = contact.id;
      const hashes = phonesOf(contact.known, contact.phone).map((phone) => addressHash(appSecret, workspaceId, phone));
      const recordedAt = await insertConsent(em, { contactId, decision, legalBasis, proof: proof ?? null, actorId });
      if (decision === 'granted') {
        await removeByHash(em, hashes, may(auth, 'contacts:erase') ? null : 'opt_out');
        if ((await findSuppressed(em, hashes)).length > 0) throw suppressed();
      } else await insertSuppressions(em, hashes, { reason: 'opt_out', source: 'contact', createdBy: actorId });
      const type = decision === 'granted' ? 'contact.opted_in' : 'contact.opted_out';
      await emitEvent(em, { type, data: { contactId, ownerId: contact.owner_id }, subjectId: contactId, actorId });
      await addActivities(em, [{ type, contactId, dealId: null, actorId, payload: { legalBasis } }]);
      const target = { type: 'contact', id: contactId };
      await appendAudit(em, actorOf(request), { action: type, target, after: { legalBasis } });
      return { contactId, consent: decision, recordedAt };
    });
  };

  return async (app: App): Promise<void> => {
    app.post('/api/contacts/:id/consent', {
      config,
      schema: { ...schema, summary: 'What they decided', body: ConsentBody, response: { 200: ConsentView } },
      handler: (request) => record(request, request.body),
    });

    app.post('/api/contacts/:id/opt-out', {
      config,
      schema: { ...schema, summary: 'No more marketing', body: OptOutBody, response: { 200: ConsentView } },
      handler: (request) => record(request, { decision: 'denied', legalBasis: 'consent', proof: request.body.proof }),
    });

    app.post('/api/contacts/:id/opt-in', {
      config,
      schema: {
        ...schema,
        summary: 'Marketing after all, with what proves that they agreed',
        body: OptInBody,
        response: { 200: ConsentView },
      },
      handler: (request) => record(request, { decision: 'granted', ...request.body }),
    });
  };
}
