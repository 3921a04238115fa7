import { z } from 'zod';
import { badRequest, notFound } from '#src/errors.ts';
import type { App } from '#src/http/app-type.ts';
import { IdText } from '#src/http/fields.ts';
import { factHorizon } from '#src/modules/analytics/partitions.ts';
import { markSpan } from '#src/modules/analytics/rollup.query.ts';
import type { Runtime } from '#src/runtime.ts';

const Moment = z.iso
  .datetime({ offset: true })
  .refine((text) => text.startsWith('20'), 'must be of this century')
  .transform((text) => new Date(text));

const RecomputeBody = z.strictObject({ workspaceId: IdText.optional(), from: Moment, to: Moment });
const RecomputeView = z.object({
  /** Of how many workspaces hours are marked; a worker counts them anew within the next minutes. */
  workspaces: z.int(),
  /** Later than asked for where facts are not kept that long: what is older stays as it is. */
  from: z.iso.datetime(),
  to: z.iso.datetime(),
});

/** Adds `POST /ops/analytics/recompute` to a scope that lets only operators in: figures of a period are made anew from the facts. */
export function addOperatorAnalytics(app: App, rt: Pick<Runtime, 'systemPool' | 'config'>): void {
  app.post('/ops/analytics/recompute', {
    config: { access: 'ops' },
    schema: { hide: true, body: RecomputeBody, response: { 202: RecomputeView } },
    handler: async (request, reply) => {
      const { workspaceId, from, to } = request.body;
      const now = new Date();
      const since = new Date(Math.max(from.getTime(), factHorizon(rt.config.AI_USAGE_KEEP_MONTHS, now).getTime()));
      const until = new Date(Math.min(to.getTime(), now.getTime() + 3_600_000));
      if (since >= until) {
        const message = 'must be before "to", and some of the period not older than the facts that are kept';
        throw badRequest('validation_failed', `from ${message}.`, [
          { path: 'body.from', code: 'invalid_period', message },
        ]);
      }
      const workspaces = await markSpan(rt.systemPool, { workspaceId, from: since, to: until });
      if (workspaceId !== undefined && workspaces === 0) throw notFound('The workspace');
      return reply.code(202).send({ workspaces, from: since.toISOString(), to: until.toISOString() });
    },
  });
}
