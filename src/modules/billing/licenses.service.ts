import type { EntityManager } from '@mikro-orm/postgresql';
import type { z } from 'zod';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { AppError, conflict, notFound } from '#src/errors.ts';
import type { Auth } from '#src/http/access-token.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { tellTooMany } from '#src/modules/billing/billing.service.ts';
import { planOf, winnerOf } from '#src/modules/billing/claims.ts';
import { hashOfKey, newKey } from '#src/modules/billing/license-key.ts';
import {
  endLicense,
  findActive,
  findLicense,
  findUsable,
  insertLicenses,
  useLicense,
  wasActivatedBy,
  type LicenseRow,
} from '#src/modules/billing/licenses.query.ts';
import {
  presentLicense,
  type ActivateBody,
  type LicensesBody,
  type LicensesView,
  type LicenseStatusView,
  type RevokeBody,
  type RevokedView,
  type ValidView,
} from '#src/modules/billing/licenses.schemas.ts';
import { CATALOGUE, PLAN_CURRENCY, rankOf, termsOf, type PlanOverride } from '#src/modules/billing/plans.ts';
import { findClaims, findPlan } from '#src/modules/billing/plans.query.ts';
import { setPlan } from '#src/modules/billing/set-plan.ts';
import { INSTALLATION } from '#src/modules/settings/settings.ts';
import { lockIfThere, lockWorkspace } from '#src/modules/workspaces/plans.ts';
import type { Runtime } from '#src/runtime.ts';

type Needs = Pick<Runtime, 'orm' | 'config'>;

const overrideOf = ({ limits, features }: Pick<LicenseRow, 'limits' | 'features'>): PlanOverride | null =>
  limits || features ? { ...(limits ? { limits } : {}), ...(features ? { features } : {}) } : null;

/** @throws AppError 409 `license_used` when the workspace had it already; 422 `license_invalid` for every other key that cannot be activated */
async function refuse(em: EntityManager, workspaceId: string, hash: Buffer): Promise<never> {
  if (await wasActivatedBy(em, workspaceId, hash))
    throw conflict('license_used', 'Your workspace has activated this licence already.');
  throw new AppError(422, 'license_invalid', 'There is no such key, or it was used, was revoked or has expired.');
}

/** @throws AppError 409 `license_active` where one of the same plan or a better one would be given up unasked */
async function endFormer(em: EntityManager, workspaceId: string, next: LicenseRow, mayReplace: boolean): Promise<void> {
  const former = await findActive(em, workspaceId);
  if (!former) return;
  if (!mayReplace && rankOf(next.plan) <= rankOf(former.plan)) {
    const detail = `The workspace has a licence of the plan ${former.plan}, which would end now. To have it so, say "replace": true.`;
    throw conflict('license_active', detail);
  }
  await endLicense(em, { id: former.id, workspaceId, from: 'active', to: 'replaced' });
}

/**
 * Activates a licence for the caller's workspace, in the place of the one it has. A key is used once, whoever tries it at the same time.
 * @throws AppError 409 `license_used`, `license_active` or `credits_too_many`, 422 `license_invalid`
 */
export function activateLicense(
  { orm, config }: Needs,
  { workspaceId, userId }: Pick<Auth, 'workspaceId' | 'userId'>,
  actor: Actor,
  { key, replace }: z.output<typeof ActivateBody>,
): Promise<z.output<typeof LicenseStatusView>> {
  return inWorkspaceTx(orm, { workspaceId }, async (em) => {
    await lockWorkspace(em, workspaceId);
    const hash = hashOfKey(key);
    const usable = await findUsable(em, hash);
    if (!usable) return refuse(em, workspaceId, hash);
    await endFormer(em, workspaceId, usable, replace);
    const used = await useLicense(em, { hash, workspaceId, userId });
    if (!used) return refuse(em, workspaceId, hash);
    const { id, plan, expiresAt } = used;
    await setPlan(em, workspaceId, plan, {
      source: 'license',
      reason: 'activated',
      periodEnd: expiresAt === null ? null : new Date(expiresAt),
      override: overrideOf(used),
      actor,
    });
    const target = { type: 'license', id };
    await appendAudit(em, actor, { action: 'license.activated', target, after: { plan, expiresAt } });
    return statusIn(em, workspaceId, config.LICENSE_GRACE_DAYS);
  }).catch(tellTooMany);
}

async function statusIn(
  em: EntityManager,
  workspaceId: string,
  graceDays: number,
): Promise<z.output<typeof LicenseStatusView>> {
  const holder = await findPlan(em);
  const license = await findActive(em, workspaceId);
  const claims = await findClaims(em);
  return {
    plan: holder.plan,
    source: planOf(claims, holder.basePlan).source,
    priceMinor: CATALOGUE[holder.plan].priceMinor,
    currency: PLAN_CURRENCY,
    ...termsOf(holder),
    // Of what was bought: a plan that everybody has gives none.
    creditsPerMonth: CATALOGUE[winnerOf(claims)?.plan ?? 'free'].creditsPerMonth,
    license: license ? presentLicense(license, graceDays) : null,
  };
}

/** What the workspace may have, and what it has that from. */
export const readStatus = ({ orm, config }: Needs, { workspaceId }: Auth) =>
  inWorkspaceTx(orm, { workspaceId }, (em) => statusIn(em, workspaceId, config.LICENSE_GRACE_DAYS));

/** Whether a key could be activated, and what it would give; of all others nothing is told, not even whether they were made. */
export function validateKey({ orm }: Needs, { workspaceId }: Auth, key: string): Promise<z.output<typeof ValidView>> {
  return inWorkspaceTx(orm, { workspaceId }, async (em) => {
    const row = await findUsable(em, hashOfKey(key));
    if (!row) return { isUsable: false, plan: null, limits: null, features: null, days: null };
    return {
      isUsable: true,
      plan: row.plan,
      limits: row.limits ?? null,
      features: row.features ?? null,
      days: row.days,
    };
  });
}

/** Makes licences and stores the digests of their keys: what is returned is all there ever is of them. */
export async function makeLicenses(
  { orm, systemPool }: Pick<Runtime, 'orm' | 'systemPool'>,
  actor: Actor,
  { plan, count, limits, features, days, activateBy }: z.output<typeof LicensesBody>,
): Promise<z.output<typeof LicensesView>> {
  const keys = Array.from({ length: count }, newKey);
  const ids = await insertLicenses(systemPool, {
    hashes: keys.map(hashOfKey),
    plan,
    override: { limits, features },
    days: days ?? null,
    activateBy: activateBy === undefined ? null : new Date(activateBy),
  });
  await inWorkspaceTx(orm, { workspaceId: INSTALLATION }, (em) =>
    appendAudit(em, actor, {
      action: 'licenses.created',
      target: { type: 'license', id: ids[0] ?? '' },
      after: { plan, count, limits, features, days, activateBy },
    }),
  );
  return { plan, licenses: ids.map((id, place) => ({ id, key: keys[place] ?? '' })) };
}

const MOVED = 'The licence has just been activated or ended. Look at it again.';

/** Ends a licence for good, wherever it is; its workspace goes on with what else it has. @throws AppError 404, 409 `license_ended` */
export async function revokeLicense(
  { orm, systemPool }: Pick<Runtime, 'orm' | 'systemPool'>,
  actor: Actor,
  { licenseId, key }: z.output<typeof RevokeBody>,
): Promise<z.output<typeof RevokedView>> {
  const found = await findLicense(systemPool, licenseId ?? hashOfKey(key ?? ''));
  if (!found) throw notFound('The licence');
  const { id, status, workspaceId, plan } = found;
  if (status !== 'unused' && status !== 'active') throw conflict('license_ended', `The licence is ${status} already.`);
  await inWorkspaceTx(orm, { workspaceId: workspaceId ?? INSTALLATION }, async (em) => {
    // As at activation: the workspace before its licence. One that was closed has no plan to change.
    const open = workspaceId === null ? null : await lockIfThere(em, workspaceId);
    if (!(await endLicense(em, { id, workspaceId, from: status, to: 'revoked' })))
      throw conflict('license_ended', MOVED);
    if (open) await setPlan(em, open.id, 'free', { source: 'license', reason: 'revoked', actor });
    await appendAudit(em, actor, {
      action: 'license.revoked',
      target: { type: 'license', id },
      before: { plan, status },
    });
  });
  return { id, status: 'revoked', workspaceId };
}
