import { z } from 'zod';
import { IdText, momentAhead } from '#src/http/fields.ts';
import { PageQuery, pageOf } from '#src/http/page.ts';
import { Plan } from '#src/http/access-token.ts';
import { FEATURES, FeaturesOverride, LIMITS, LimitsOverride } from '#src/modules/billing/plans.ts';
import { LICENSE_STATUSES, type LicenseRow } from '#src/modules/billing/licenses.query.ts';

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
    /** `isFull`: nothing new is let in; `isExceeded`: there is more than a plan that was changed for a lesser one has room for. */
    limits: z.record(
      z.enum(LIMITS),
      z.object({ used: z.int(), limit: z.int().nullable(), isFull: z.boolean(), isExceeded: z.boolean() }),
    ),
    /** Since the first of the month, UTC, as budgets count; null for who may not read what is paid for (`billing:read`). */
    credits: z.object({ since: z.iso.datetime(), byUser: Spent, byEngine: Spent, byProvider: Spent }).nullable(),
  })
  .meta({ id: 'LicenseUsage' });

export const LicensesBody = z.strictObject({
  plan: z.enum(['starter', 'pro', 'enterprise']),
  count: z.int().min(1).max(1000).default(1),
  limits: LimitsOverride.optional(),
  features: FeaturesOverride.optional(),
  days: z.int().min(1).max(36_500).optional(),
  activateBy: momentAhead().optional(),
});
export const LicensesView = z.object({
  plan: Plan,
  licenses: z.array(z.object({ id: z.uuid(), key: z.string() })),
});
export const RevokeBody = z
  .strictObject({ licenseId: IdText.optional(), key: Key.optional() })
  .refine(({ licenseId, key }) => (licenseId === undefined) !== (key === undefined), 'takes a licenseId or a key');
export const LicensesQuery = PageQuery.extend({
  status: z.enum(LICENSE_STATUSES).optional(),
  plan: z.enum(['starter', 'pro', 'enterprise']).optional(),
  /** Those that it has activated, also before the one it has. */
  workspaceId: IdText.optional(),
});
/** A licence as operators see it; of its key nothing is known. */
export const OperatorLicenseView = LicenseView.extend({
  status: z.enum(LICENSE_STATUSES),
  /** So many days from its activation; null: without an end. */
  days: z.int().nullable(),
  activateBy: z.iso.datetime().nullable(),
  createdAt: z.iso.datetime(),
  endedAt: z.iso.datetime().nullable(),
  workspaceId: z.uuid().nullable(),
}).meta({ id: 'OperatorLicense' });
export const LicenseList = pageOf(OperatorLicenseView);

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

export const presentForOperator = (row: LicenseRow, graceDays: number): z.output<typeof OperatorLicenseView> => {
  const { status, days, activateBy, createdAt, endedAt, workspaceId } = row;
  return { ...presentLicense(row, graceDays), status, days, activateBy, createdAt, endedAt, workspaceId };
};
