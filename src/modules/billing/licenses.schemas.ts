import { z } from 'zod';
import { Plan } from '#src/http/access-token.ts';
import { FEATURES, FeaturesOverride, LIMITS, LimitsOverride } from '#src/modules/billing/plans.ts';
import type { LicenseRow } from '#src/modules/billing/licenses.query.ts';

const Key = z.string().min(1).max(100);
export const KeyBody = z.strictObject({ key: Key });
export const ActivateBody = KeyBody.extend({
  /** Whether it may take the place of a licence of the same plan or a better one. */
  replace: z.boolean().default(false),
});

const Limits = z.record(z.enum(LIMITS), z.int().nullable());
const Features = z.record(z.enum(FEATURES), z.boolean());
const overrides = {
  /** Where they differ from the plan's; null: no limit. */
  limits: LimitsOverride.nullable(),
  features: FeaturesOverride.nullable(),
};

export const LicenseView = z
  .object({
    id: z.uuid(),
    plan: Plan,
    ...overrides,
    activatedAt: z.iso.datetime().nullable(),
    expiresAt: z.iso.datetime().nullable(),
    /** Until then it goes on after its end. */
    graceUntil: z.iso.datetime().nullable(),
  })
  .meta({ id: 'License' });

/** What the workspace may have, and what it has that from. */
export const LicenseStatusView = z
  .object({
    plan: Plan,
    source: z.enum(['license', 'subscription']).nullable(),
    /** A month of the plan, in cents; null: by agreement. */
    priceMinor: z.int().nullable(),
    currency: z.string(),
    creditsPerMonth: z.number(),
    limits: Limits,
    features: Features,
    license: LicenseView.nullable(),
  })
  .meta({ id: 'LicenseStatus' });

export const ValidView = z.object({
  /** Whether it could be activated now. Why not is not told. */
  isUsable: z.boolean(),
  plan: Plan.nullable(),
  ...overrides,
  /** For so many days from its activation; null: without an end. */
  days: z.int().nullable(),
});

const Spent = z.array(z.object({ key: z.string(), calls: z.int(), credits: z.number() }));
export const LicenseUsageView = z
  .object({
    plan: Plan,
    limits: z.record(z.enum(LIMITS), z.object({ used: z.int(), limit: z.int().nullable() })),
    /** Since the first of the month, UTC, as budgets count. */
    credits: z.object({ since: z.iso.datetime(), byUser: Spent, byEngine: Spent, byProvider: Spent }),
  })
  .meta({ id: 'LicenseUsage' });

export const LicensesBody = z.strictObject({
  plan: z.enum(['starter', 'pro', 'enterprise']),
  count: z.int().min(1).max(1000).default(1),
  limits: LimitsOverride.optional(),
  features: FeaturesOverride.optional(),
  days: z.int().min(1).max(36_500).optional(),
  activateBy: z.iso.datetime().optional(),
});
export const LicensesView = z.object({
  plan: Plan,
  licenses: z.array(z.object({ id: z.uuid(), key: z.string() })),
});
export const RevokeBody = z
  .strictObject({ licenseId: z.uuid().optional(), key: Key.optional() })
  .refine(({ licenseId, key }) => (licenseId === undefined) !== (key === undefined), 'takes a licenseId or a key');
export const RevokedView = z.object({ id: z.uuid(), status: z.literal('revoked'), workspaceId: z.uuid().nullable() });

const DAY_MS = 86_400_000;
export const graceEnd = (expiresAt: string, graceDays: number): string =>
  new Date(new Date(expiresAt).getTime() + graceDays * DAY_MS).toISOString();

export const presentLicense = (
  { id, plan, limits, features, activatedAt, expiresAt }: LicenseRow,
  graceDays: number,
): z.output<typeof LicenseView> => ({
  id,
  plan,
  limits: limits ?? null,
  features: features ?? null,
  activatedAt,
  expiresAt,
  graceUntil: expiresAt === null ? null : graceEnd(expiresAt, graceDays),
});
