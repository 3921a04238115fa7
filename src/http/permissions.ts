import { forbidden } from '#src/errors.ts';
import type { Auth, Role } from '#src/http/access-token.ts';
import { ROLES } from '#src/http/access-token.ts';

/** What an API key may be allowed; `*` is all that keys can do at all. */
export const SCOPES = [
  'ai:run',
  'jobs:read',
  'contacts:read',
  'contacts:write',
  'campaigns:read',
  'campaigns:run',
  'channels:write',
  'webhooks:write',
  'analytics:read',
  '*',
] as const;
export type KeyScope = (typeof SCOPES)[number];

/** By permission: the least role that has it, and the scope that gives it to an API key (`null`: people only). */
const TABLE = {
  'workspace:read': ['viewer', '*'],
  'workspace:update': ['admin', null],
  'workspace:delete': ['owner', null],
  'workspace:transfer': ['owner', null],
  'members:read': ['viewer', null],
  'members:manage': ['admin', null],
  'api-keys:manage': ['admin', null],
  'settings:read': ['viewer', null],
  'settings:update': ['admin', null],
  'audit:read': ['admin', null],
  'webhooks:read': ['admin', 'webhooks:write'],
  'webhooks:manage': ['admin', 'webhooks:write'],
  'credits:read': ['viewer', 'jobs:read'],
  // Each charge by who caused it; adding credits, and what may be spent of them.
  'billing:read': ['admin', null],
  'billing:manage': ['admin', null],
  'ai:run': ['member', 'ai:run'],
  // What calls of AI came to. Without the second only one's own: what colleagues do is the administrators' to see.
  'usage:read': ['viewer', 'analytics:read'],
  'usage:all': ['admin', 'analytics:read'],
  // Figures of the workspace; without `usage:all` those of one's own work.
  'analytics:read': ['viewer', 'analytics:read'],
  'jobs:read': ['viewer', 'jobs:read'],
  'jobs:cancel': ['member', 'ai:run'],
  'contacts:read': ['viewer', 'contacts:read'],
  'contacts:write': ['member', 'contacts:write'],
  // Whole lists leaving the workspace, and people being forgotten: the administrators' to decide.
  'contacts:export': ['admin', 'contacts:read'],
  'contacts:erase': ['admin', null],
  // What can be kept of a contact at all: forms, imports and segments of everybody stand on it.
  'contact-fields:manage': ['admin', 'contacts:write'],
  'deals:read': ['viewer', 'contacts:read'],
  'deals:write': ['member', 'contacts:write'],
  'pipelines:manage': ['admin', 'contacts:write'],
  'tasks:read': ['viewer', 'contacts:read'],
  'tasks:write': ['member', 'contacts:write'],
  'messages:read': ['viewer', 'contacts:read'],
  'messages:write': ['member', 'contacts:write'],
  'campaigns:read': ['viewer', 'campaigns:read'],
  // Making campaigns, starting them, and sending what they hand out; a member reaches no contact they may not see.
  'campaigns:run': ['member', 'campaigns:run'],
  // The numbers of the workspace: how fast they send, and where to. Whoever changes that has all messages go elsewhere.
  'channels:manage': ['admin', 'channels:write'],
  // Without these a caller has only what is their own: jobs they submitted, contacts, deals and tasks they look after.
  'jobs:all': ['viewer', 'jobs:read'],
  'contacts:all': ['viewer', 'contacts:read'],
  'deals:all': ['viewer', 'contacts:read'],
  'tasks:all': ['viewer', 'contacts:read'],
} as const satisfies Record<string, readonly [Role, KeyScope | null]>;

export type Permission = keyof typeof TABLE;

/** The names of all permissions, in the order of the table. */
export const PERMISSIONS = Object.keys(TABLE).filter(isPermission);

export function isPermission(name: string): name is Permission {
  return Object.hasOwn(TABLE, name);
}

/** The least role that has a permission by default. */
export const leastRole = (permission: Permission): Role => TABLE[permission][0];

/** The scope an API key needs for a permission; null when no key can have it. */
export const scopeOf = (permission: Permission): KeyScope | null => TABLE[permission][1];

/** Whether a role may do what `needed` may: owner > admin > member > viewer. */
export function isAtLeast(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

type Holder = Pick<Auth, 'role' | 'grants' | 'denies' | 'scopes'>;

/**
 * Whether a caller has a permission. A deny to the member wins over a grant, and a grant over the role; an owner cannot be denied
 * anything, or a workspace could lock itself out. A key never has more than the member who made it.
 */
export function may({ role, grants, denies, scopes }: Holder, permission: Permission): boolean {
  const isRoles = isAtLeast(role, leastRole(permission));
  const isMembers = role === 'owner' || (!denies.includes(permission) && (isRoles || grants.includes(permission)));
  if (!isMembers || scopes === null) return isMembers;
  const scope = scopeOf(permission);
  return scope !== null && (scopes.includes('*') || scopes.includes(scope));
}

/** @throws AppError 403 that names what is missing */
export function mustHave(auth: Holder, permission: Permission): void {
  if (may(auth, permission)) return;
  const scope = scopeOf(permission);
  if (auth.scopes !== null && !(scope && (auth.scopes.includes('*') || auth.scopes.includes(scope)))) {
    throw forbidden(scope ? `This takes an API key with the scope ${scope}.` : 'An API key cannot do this; sign in.');
  }
  throw forbidden(`This takes the permission ${permission}; by default the role ${leastRole(permission)} has it.`);
}

/** Nobody gives what they do not have. @returns a permission that `after` has, and neither `before` nor the giver */
export function ungivable(giver: Holder, before: Holder | undefined, after: Holder): Permission | undefined {
  return PERMISSIONS.find((name) => may(after, name) && !(before && may(before, name)) && !may(giver, name));
}

/** @throws AppError 403 that names what the giver does not have */
export function mustBeAbleToGive(giver: Holder, before: Holder | undefined, after: Holder): void {
  const name = ungivable(giver, before, after);
  if (name) throw forbidden(`You cannot give the permission ${name}: you do not have it.`);
}

/** The kinds of rows a member can be limited to their own of. */
export type OwnedKind = 'jobs' | 'contacts' | 'deals' | 'tasks';

/** @returns the user whose rows alone the caller may see, or undefined when they may see all of the workspace's */
export function onlyOwner(auth: Auth, kind: OwnedKind): string | undefined {
  return may(auth, `${kind}:all`) ? undefined : auth.userId;
}
