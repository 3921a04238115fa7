import { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams } from '#src/http/fields.ts';
import { onlyOwner } from '#src/http/permissions.ts';
import { dealsOf } from '#src/modules/activities/activity-sight.ts';
import { DEAL_FEATURES } from '#src/modules/contact-ai/features.ts';
import { findScores, type ScoreRow } from '#src/modules/contact-ai/score.query.ts';
import { findContactId } from '#src/modules/messages/messages.query.ts';
import type { Runtime } from '#src/runtime.ts';

const SHOWN = 20;

const ScoreView = z
  .object({
    contactId: z.uuid(),
    /** 0 to 100; null for a contact that was never scored. */
    score: z.int().nullable(),
    grade: z.string().nullable(),
    version: z.string().nullable(),
    recommendation: z.string().nullable(),
    scoredAt: z.iso.datetime().nullable(),
    /** What the score is made of: their points are the score together. */
    components: z.array(
      z.object({ feature: z.string(), value: z.union([z.number(), z.boolean()]).nullable(), points: z.number() }),
    ),
    /** The last changes, the newest first. */
    history: z.array(
      z.object({ score: z.int(), before: z.int().nullable(), version: z.string(), at: z.iso.datetime() }),
    ),
  })
  .meta({ id: 'ContactScore' });

/** Components as the caller may see them: who may not be told of all deals gets what these are worth together. */
function toldOf(auth: Auth, components: ScoreRow['components']): ScoreRow['components'] {
  if (dealsOf(auth) === 'all') return components;
  const ofDeals = components.filter(({ feature }) => DEAL_FEATURES.has(feature));
  if (ofDeals.length === 0) return components;
  const tenths = ofDeals.reduce((total, { points }) => total + Math.round(points * 10), 0);
  const others = components.filter(({ feature }) => !DEAL_FEATURES.has(feature));
  return [...others, { feature: 'deals', value: null, points: tenths / 10 }];
}

const atOf = (moment: Date) => new Date(moment).toISOString();

/** `/api/contacts/:id/score`. */
export function scoreRoutes({ orm }: Pick<Runtime, 'orm'>) {
  return async (app: App): Promise<void> => {
    app.get('/api/contacts/:id/score', {
      config: { access: 'contacts:read' },
      schema: {
        tags: ['contacts'],
        security: [{ bearer: [] }],
        summary: 'How likely a contact is to buy, what speaks for it and against it, and how that changed',
        params: IdParams,
        response: { 200: ScoreView },
      },
      handler: (request) => {
        const auth = authOf(request);
        return inWorkspaceTx(orm, auth, async (em) => {
          const contactId = await findContactId(em, request.params.id, onlyOwner(auth, 'contacts'));
          if (contactId === undefined) throw notFound('The contact');
          const rows = await findScores(em, contactId, SHOWN);
          const last = rows[0];
          return {
            contactId,
            score: last?.score ?? null,
            grade: last?.grade ?? null,
            version: last?.version ?? null,
            recommendation: last?.recommendation ?? null,
            scoredAt: last ? atOf(last.created_at) : null,
            components: toldOf(auth, last?.components ?? []),
            history: rows.map(({ score, before, version, created_at: at }) => ({
              score,
              before,
              version,
              at: atOf(at),
            })),
          };
        });
      },
    });
  };
}
