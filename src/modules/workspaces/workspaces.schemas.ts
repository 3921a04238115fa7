import { z } from 'zod';
import { Plan, Role } from '#src/http/access-token.ts';
import { EmailAddress, nameText, TimeZoneName } from '#src/http/fields.ts';
import { pageOf } from '#src/http/page.ts';
import { PERMISSIONS } from '#src/http/permissions.ts';

const currencies = new Set(Intl.supportedValuesOf('currency'));

const place = {
  timeZone: TimeZoneName,
  currency: z
    .string()
    .length(3)
    .refine((code) => currencies.has(code), 'must be an ISO 4217 code like BRL'),
  country: z.string().regex(/^[A-Z]{2}$/, 'must be an ISO 3166 code like BR'),
};

/** A workspace as one of its members sees it; `role` is that member's. */
export const WorkspaceView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    role: Role,
    plan: Plan,
    timeZone: z.string(),
    currency: z.string(),
    country: z.string(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Workspace' });
export type WorkspaceView = z.infer<typeof WorkspaceView>;

export const WorkspacePage = pageOf(WorkspaceView);

export const WorkspaceBody = z.strictObject({
  name: nameText(120),
  timeZone: place.timeZone.optional(),
  currency: place.currency.optional(),
  country: place.country.optional(),
});
export type WorkspaceBody = z.infer<typeof WorkspaceBody>;

export const WorkspacePatch = WorkspaceBody.partial().refine(
  (body) => Object.keys(body).length > 0,
  'must change at least one field',
);
export type WorkspacePatch = z.infer<typeof WorkspacePatch>;

/** Access to another workspace with the same session. `expiresIn`: seconds until `token` expires. */
export const SwitchedView = z
  .object({ token: z.string(), expiresIn: z.int(), workspace: WorkspaceView })
  .meta({ id: 'Switched' });

/** `limit` null: no limit. */
const Used = z.object({ used: z.int(), limit: z.int().nullable() });

export const UsageView = z
  .object({
    plan: Plan,
    members: Used,
    invites: Used,
    apiKeys: Used,
    jobs: z.object({ today: z.int(), thisMonth: z.int() }),
    credits: z.object({ available: z.number(), held: z.number() }),
  })
  .meta({ id: 'WorkspaceUsage' });
export type UsageView = z.infer<typeof UsageView>;

const Permissions = z.array(z.enum(PERMISSIONS)).max(100);

export const MemberView = z
  .object({
    userId: z.uuid(),
    name: z.string(),
    email: z.string(),
    role: Role,
    grants: z.array(z.string()),
    denies: z.array(z.string()),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Member' });
export type MemberView = z.infer<typeof MemberView>;

export const MemberPage = pageOf(MemberView);

export const MemberPatch = z
  .strictObject({ role: Role.optional(), grants: Permissions.optional(), denies: Permissions.optional() })
  .refine((body) => Object.keys(body).length > 0, 'must change at least one field');
export type MemberPatch = z.infer<typeof MemberPatch>;

export const InviteBody = z.strictObject({ email: EmailAddress, role: Role });
export type InviteBody = z.infer<typeof InviteBody>;

export const InviteView = z
  .object({
    id: z.uuid(),
    email: z.string(),
    role: Role,
    invitedBy: z.uuid(),
    expiresAt: z.iso.datetime(),
    acceptedAt: z.iso.datetime().nullable(),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Invite' });
export type InviteView = z.infer<typeof InviteView>;

export const InvitePage = pageOf(InviteView);
