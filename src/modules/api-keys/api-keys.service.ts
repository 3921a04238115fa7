import type { EntityManager } from '@mikro-orm/postgresql';
import { z } from 'zod';
import type { Orm } from '#src/db/orm.ts';
import type { Auth } from '#src/http/access-token.ts';
import type { ApiKeyBody, ApiKeyView, NewApiKeyView } from '#src/modules/api-keys/api-keys.schemas.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { conflict, notFound } from '#src/errors.ts';
import { makeApiKey } from '#src/http/api-key-text.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { SCOPES } from '#src/http/permissions.ts';
import { newId } from '#src/lib/ids.ts';
import { checkLimit, type PlanHolder } from '#src/modules/billing/plans.ts';
import { lockWorkspace } from '#src/modules/workspaces/plans.ts';
import { ApiKey } from '#src/modules/api-keys/api-key.entity.ts';

/** For whom keys are made and ended. */
type Holder = Pick<Auth, 'workspaceId' | 'userId'>;
type KeyFields = Pick<ApiKeyBody, 'name' | 'scopes'> & { expiresAt: Date | null; replaces?: string };

/** Makes a key that can do what its scopes say, as the caller. @returns it with its secret, which is nowhere to be had again */
export function createApiKey(orm: Orm, auth: Holder, actor: Actor, body: ApiKeyBody): Promise<NewApiKeyView> {
  const expiresAt = body.expiresAt === undefined ? null : new Date(body.expiresAt);
  return inWorkspaceTx(orm, auth, async (em) => {
    const workspace = await lockWorkspace(em, auth.workspaceId);
    await checkRoom(em, workspace);
    return insertKey(em, auth, actor, { ...body, expiresAt });
  });
}

/** The workspace's keys, newest first, the revoked ones too. */
export async function listApiKeys(orm: Orm, auth: Auth, page: { limit: number; cursor?: string | undefined }) {
  const before = page.cursor === undefined ? undefined : decodeCursor(page.cursor, z.tuple([z.uuid()]))[0];
  const keys = await inWorkspaceTx(orm, auth, (em) =>
    em.find(ApiKey, before === undefined ? {} : { id: { $lt: before } }, {
      orderBy: { id: 'desc' },
      limit: page.limit + 1,
    }),
  );
  return toPage(keys, page.limit, (key) => [key.id], presentApiKey);
}

/** @throws AppError 404 */
export function readApiKeyOf(orm: Orm, auth: Auth, id: string): Promise<ApiKeyView> {
  return inWorkspaceTx(orm, auth, async (em) => presentApiKey(await findKey(em, auth, id)));
}

/** Ends a key for good; again is no error. @throws AppError 404 */
export function revokeApiKey(orm: Orm, auth: Holder, actor: Actor, id: string): Promise<void> {
  return inWorkspaceTx(orm, auth, async (em) => {
    await lockWorkspace(em, auth.workspaceId);
    const key = await findKey(em, auth, id);
    if (key.revokedAt) return;
    key.revokedAt = new Date();
    await appendAudit(em, actor, { action: 'api_key.revoked', target: { type: 'api_key', id } });
  });
}

/**
 * Makes a new key like an old one, which goes on working for a while so that programs can change over.
 * @throws AppError 404, 409 `key_ended` for one that no longer works, `key_rotated` for one that has a successor
 */
export function rotateApiKey(
  orm: Orm,
  auth: Auth,
  actor: Actor,
  id: string,
  overlapSeconds: number,
): Promise<NewApiKeyView> {
  return inWorkspaceTx(orm, auth, async (em) => {
    const workspace = await lockWorkspace(em, auth.workspaceId);
    const old = await findKey(em, auth, id);
    const now = Date.now();
    const end = old.expiresAt?.getTime() ?? Infinity;
    if (old.revokedAt || end <= now) throw conflict('key_ended', 'The key no longer works; make a new one.');
    if (old.rotatedAt) throw conflict('key_rotated', 'The key was rotated already; rotate the one that replaced it.');
    if (overlapSeconds > 0) await checkRoom(em, workspace);
    const fresh = await insertKey(em, auth, actor, {
      replaces: old.id,
      name: old.name,
      scopes: scopesOf(old),
      expiresAt: old.expiresAt ?? null,
    });
    old.rotatedAt = new Date(now);
    old.expiresAt = new Date(Math.min(end, now + overlapSeconds * 1000));
    return fresh;
  });
}

async function checkRoom(em: EntityManager, holder: PlanHolder): Promise<void> {
  const open = { revokedAt: null, $or: [{ expiresAt: null }, { expiresAt: { $gt: new Date() } }] };
  checkLimit(holder, 'apiKeys', await em.count(ApiKey, open));
}

async function insertKey(
  em: EntityManager,
  auth: Holder,
  actor: Actor,
  { replaces, ...fields }: KeyFields,
): Promise<NewApiKeyView> {
  const id = newId();
  const { text, prefix, secretHash } = makeApiKey(auth.workspaceId, id);
  const key = em.create(ApiKey, {
    ...fields,
    id,
    workspace: auth.workspaceId,
    prefix,
    secretHash,
    createdBy: auth.userId,
  });
  await em.flush();
  const view = presentApiKey(key);
  const after = { name: view.name, scopes: view.scopes, expiresAt: view.expiresAt, ...(replaces ? { replaces } : {}) };
  await appendAudit(em, actor, { action: 'api_key.created', target: { type: 'api_key', id }, after });
  return { ...view, secret: text };
}

async function findKey(em: EntityManager, auth: Holder, id: string): Promise<ApiKey> {
  const key = await em.findOne(ApiKey, { workspace: auth.workspaceId, id });
  if (!key) throw notFound('The API key');
  return key;
}

const scopesOf = (key: ApiKey) => SCOPES.filter((scope) => key.scopes.includes(scope));

const presentApiKey = (key: ApiKey): ApiKeyView => ({
  id: key.id,
  name: key.name,
  prefix: key.prefix,
  scopes: scopesOf(key),
  createdBy: key.createdBy.id,
  expiresAt: key.expiresAt?.toISOString() ?? null,
  lastUsedAt: key.lastUsedAt?.toISOString() ?? null,
  rotatedAt: key.rotatedAt?.toISOString() ?? null,
  revokedAt: key.revokedAt?.toISOString() ?? null,
  createdAt: key.createdAt.toISOString(),
  updatedAt: key.updatedAt.toISOString(),
});
