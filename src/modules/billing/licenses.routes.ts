import type { z } from 'zod';
import { notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { findUsage, type UsageGroup } from '#src/modules/ai/usage.query.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import { toCredits } from '#src/modules/billing/billing.schemas.ts';
import {
  ActivateBody,
  KeyBody,
  LicensesBody,
  LicenseStatusView,
  LicensesView,
  LicenseUsageView,
  RevokeBody,
  RevokedView,
  ValidView,
} from '#src/modules/billing/licenses.schemas.ts';
import {
  activateLicense,
  makeLicenses,
  readStatus,
  revokeLicense,
  validateKey,
} from '#src/modules/billing/licenses.service.ts';
import { LIMITS, termsOf } from '#src/modules/billing/plans.ts';
import { findPlanUsage } from '#src/modules/billing/plan-usage.query.ts';
import type { Runtime } from '#src/runtime.ts';

const schema = { tags: ['license'], security: [{ bearer: [] }] };
/** Right or wrong: by person and by network. */
const throttled = { access: 'billing:manage' as const, limits: ['license' as const, 'license-network' as const] };
const MAX_GROUPS = 200;

async function readUsage({ pool }: Pick<Runtime, 'pool'>, auth: Auth): Promise<z.output<typeof LicenseUsageView>> {
  const { workspaceId } = auth;
  const used = await findPlanUsage(pool, auth);
  if (!used) throw notFound('The workspace');
  const { limits } = termsOf(used);
  const to = new Date();
  const from = new Date(Date.UTC(to.getUTCFullYear(), to.getUTCMonth()));
  const spentBy = async (groupBy: UsageGroup) => {
    const rows = await findUsage(pool, { workspaceId, userId: undefined, from, to, groupBy, limit: MAX_GROUPS });
    return rows.map(({ key, calls, credits }) => ({ key, calls, credits: toCredits(credits) }));
  };
  const [byUser, byEngine, byProvider] = [await spentBy('user'), await spentBy('engine'), await spentBy('provider')];
  const inAll = Object.fromEntries(LIMITS.map((name) => [name, { used: used[name], limit: limits[name] }]));
  return {
    plan: used.plan,
    limits: LicenseUsageView.shape.limits.parse(inAll),
    credits: { since: from.toISOString(), byUser, byEngine, byProvider },
  };
}

/** What a workspace's plan is, has and gives, and the keys that give one. */
export function licenseRoutes(rt: Pick<Runtime, 'orm' | 'pool' | 'config'>) {
  return async (app: App): Promise<void> => {
    app.post('/api/license/activate', {
      config: throttled,
      schema: { ...schema, summary: 'Activate a licence', body: ActivateBody, response: { 200: LicenseStatusView } },
      handler: (request) => activateLicense(rt, authOf(request), actorOf(request), request.body),
    });
    app.post('/api/license/validate', {
      config: throttled,
      schema: {
        ...schema,
        summary: 'Whether a key could be activated',
        body: KeyBody,
        response: { 200: ValidView },
      },
      handler: (request) => validateKey(rt, authOf(request), request.body.key),
    });
    app.get('/api/license/status', {
      config: { access: 'workspace:read' },
      schema: { ...schema, summary: 'The plan, and what it comes from', response: { 200: LicenseStatusView } },
      handler: (request) => readStatus(rt, authOf(request)),
    });
    app.get('/api/license/usage', {
      config: { access: 'billing:read' },
      schema: {
        ...schema,
        summary: "What there is of all that plans limit, and who spent this month's credits on what",
        response: { 200: LicenseUsageView },
      },
      handler: (request) => readUsage(rt, authOf(request)),
    });
  };
}

const ops = { config: { access: 'ops' as const } };

/** Adds what operators do with licences to a scope that lets only operators in. */
export function addOperatorLicenses(app: App, rt: Pick<Runtime, 'orm' | 'systemPool'>): void {
  app.post('/ops/licenses', {
    ...ops,
    schema: { hide: true, body: LicensesBody, response: { 201: LicensesView } },
    handler: async (request, reply) => reply.code(201).send(await makeLicenses(rt, actorOf(request), request.body)),
  });
  app.post('/ops/licenses/revoke', {
    ...ops,
    schema: { hide: true, body: RevokeBody, response: { 200: RevokedView } },
    handler: (request) => revokeLicense(rt, actorOf(request), request.body),
  });
}
