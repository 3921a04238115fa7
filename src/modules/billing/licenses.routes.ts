import { z } from 'zod';
import { notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf } from '#src/http/auth.ts';
import { IdParams } from '#src/http/fields.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { may } from '#src/http/permissions.ts';
import { findUsage, type UsageGroup } from '#src/modules/ai/usage.query.ts';
import { actorOf } from '#src/modules/audit/audit.ts';
import { toCredits } from '#src/modules/billing/billing.schemas.ts';
import {
  ActivateBody,
  KeyBody,
  LicenseList,
  LicensesBody,
  LicensesQuery,
  LicenseStatusView,
  LicensesView,
  LicenseUsageView,
  OperatorLicenseView,
  presentForOperator,
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
import { findLicense, listLicenses } from '#src/modules/billing/licenses.query.ts';
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
  const inAll = Object.fromEntries(LIMITS.map((name) => [name, standing(used[name], limits[name])]));
  const view = { plan: used.plan, limits: LicenseUsageView.shape.limits.parse(inAll) };
  if (!may(auth, 'billing:read')) return { ...view, credits: null };
  const to = new Date();
  const from = new Date(Date.UTC(to.getUTCFullYear(), to.getUTCMonth()));
  const spentBy = async (groupBy: UsageGroup) => {
    const rows = await findUsage(pool, { workspaceId, userId: undefined, from, to, groupBy, limit: MAX_GROUPS });
    return rows.map(({ key, calls, credits }) => ({ key, calls, credits: toCredits(credits) }));
  };
  const [byUser, byEngine, byProvider] = [await spentBy('user'), await spentBy('engine'), await spentBy('provider')];
  return { ...view, credits: { since: from.toISOString(), byUser, byEngine, byProvider } };
}

const standing = (used: number, limit: number | null) => ({
  used,
  limit,
  isFull: limit !== null && used >= limit,
  isExceeded: limit !== null && used > limit,
});

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
      config: { access: 'workspace:read' },
      schema: {
        ...schema,
        summary: "What there is of all that plans limit; for administrators, who spent this month's credits on what",
        response: { 200: LicenseUsageView },
      },
      handler: (request) => readUsage(rt, authOf(request)),
    });
  };
}

const LicenseKey = z.tuple([z.uuid()]);
const ops = { config: { access: 'ops' as const } };

/** Adds what operators do with licences to a scope that lets only operators in. */
export function addOperatorLicenses(app: App, rt: Pick<Runtime, 'orm' | 'systemPool' | 'config'>): void {
  app.post('/ops/licenses', {
    ...ops,
    schema: { hide: true, body: LicensesBody, response: { 201: LicensesView } },
    handler: async (request, reply) => reply.code(201).send(await makeLicenses(rt, actorOf(request), request.body)),
  });
  const graceDays = rt.config.LICENSE_GRACE_DAYS;
  app.get('/ops/licenses', {
    ...ops,
    schema: { hide: true, querystring: LicensesQuery, response: { 200: LicenseList } },
    handler: async (request) => {
      const { limit, cursor, status, plan, workspaceId } = request.query;
      const before = cursor === undefined ? undefined : decodeCursor(cursor, LicenseKey)[0];
      const rows = await listLicenses(rt.systemPool, { status, plan, workspaceId, before, limit: limit + 1 });
      return toPage(
        rows,
        limit,
        ({ id }) => [id],
        (row) => presentForOperator(row, graceDays),
      );
    },
  });
  app.get('/ops/licenses/:id', {
    ...ops,
    schema: { hide: true, params: IdParams, response: { 200: OperatorLicenseView } },
    handler: async (request) => {
      const row = await findLicense(rt.systemPool, request.params.id);
      if (!row) throw notFound('The licence');
      return presentForOperator(row, graceDays);
    },
  });
  app.post('/ops/licenses/revoke', {
    ...ops,
    schema: { hide: true, body: RevokeBody, response: { 200: RevokedView } },
    handler: (request) => revokeLicense(rt, actorOf(request), request.body),
  });
}
