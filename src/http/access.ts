import { timingSafeEqual } from 'node:crypto';
import type { Pool } from 'pg';
import type { AccessTokens, Auth } from '#src/http/access-token.ts';
import { AppError, notFound, unauthenticated } from '#src/errors.ts';
import { findStanding, findStandings, noteKeyUse, type Standing, type StandingKey } from '#src/http/access.query.ts';
import { isApiKey, readApiKey } from '#src/http/api-key-text.ts';
import { isUuid } from '#src/lib/ids.ts';
import type { Log } from '#src/lib/log.ts';

/**
 * How long an answer of the database is good for. A session that was ended, a member that was removed and a role that was changed
 * are known in every process after at most this long: half of the two seconds that are promised.
 */
const STANDING_MS = 1000;
const MAX_STANDINGS = 20_000;
const SWEEP_BATCH = 2000;
const NOTE_USE_EVERY_MS = 60_000;

/** Who a caller is at this moment: what the token or key says, checked against what the database says now. */
export interface Access {
  /**
   * @param bearer an access token or an API key
   * @param workspaceId the workspace to work in, when it is another than the token's
   * @throws AppError 401 for one that is not good or was ended; 404 for a workspace that is not the caller's
   */
  identify(bearer: string, workspaceId?: string): Promise<Auth>;
  /** The same caller, whom the database knows by now. @throws as `identify` does */
  recheck(auth: Auth): Promise<Auth>;
  /**
   * Follows a caller who stays connected, by one query a second for all of them.
   * @param tell gets the caller anew each time, or the error `identify` would throw when it is over
   * @returns a function that ends it
   */
  follow(auth: Auth, tell: (now: Auth | AppError) => void): () => void;
  close(): void;
}

interface Followed {
  auth: Auth;
  tell: (now: Auth | AppError) => void;
}

/** @throws AppError 401 or 404 when the standing is no longer good */
function applied(auth: Auth, standing: Standing | undefined): Auth {
  if (!standing?.isOpen || standing.userId !== auth.userId) {
    if (auth.kind === 'api_key') throw unauthenticated('The API key is revoked or has expired.', 'key_ended');
    throw unauthenticated('The session has ended. Sign in again.', 'session_ended');
  }
  const { role, grants, denies, plan } = standing;
  if (!role || !plan) throw notFound('The workspace');
  return { ...auth, role, plan, grants: grants ?? [], denies: denies ?? [] };
}

function tellChange(one: Followed, standing: Standing | undefined): void {
  try {
    one.auth = applied(one.auth, standing);
    one.tell(one.auth);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    one.tell(error);
  }
}

/** Asks for a standing once a second at most, however many requests come. */
function createStandings(pool: Pool): (key: StandingKey) => Promise<Standing | undefined> {
  const entries = new Map<string, { standing: Promise<Standing | undefined>; goodUntil: number }>();
  return (key) => {
    const name = `${key.sessionId}:${key.workspaceId}`;
    const now = performance.now();
    const known = entries.get(name);
    if (known && known.goodUntil > now) return known.standing;
    entries.delete(name);
    const standing = findStanding(pool, key);
    standing.catch(() => entries.delete(name));
    if (entries.size >= MAX_STANDINGS) for (const oldest of entries.keys()) if (entries.delete(oldest)) break;
    entries.set(name, { standing, goodUntil: now + STANDING_MS });
    return standing;
  };
}

/** Checks the callers who stay connected. */
function createFollowing(systemPool: Pool, log: Log) {
  const followed = new Set<Followed>();
  const sweep = async (kind: Auth['kind']): Promise<void> => {
    const all = [...followed].filter(({ auth }) => auth.kind === kind);
    for (let at = 0; at < all.length; at += SWEEP_BATCH) {
      const batch = all.slice(at, at + SWEEP_BATCH);
      const keys = batch.map(({ auth }) => auth);
      const standings = await findStandings(systemPool, kind, keys);
      for (const [place, one] of batch.entries()) if (followed.has(one)) tellChange(one, standings[place]);
    }
  };
  let isSweeping = false;
  const timer = setInterval(() => {
    if (isSweeping || followed.size === 0) return;
    isSweeping = true;
    Promise.all([sweep('session'), sweep('api_key')])
      .catch((error: unknown) => log.warn({ err: error }, 'Open connections could not be checked'))
      .finally(() => (isSweeping = false));
  }, STANDING_MS);
  return { followed, close: () => clearInterval(timer) };
}

/** Opens the checks of this process. */
export function createAccess(rt: { pool: Pool; systemPool: Pool; accessTokens: AccessTokens; log: Log }): Access {
  const standingOf = createStandings(rt.pool);
  const { followed, close } = createFollowing(rt.systemPool, rt.log);
  const usedAt = new Map<string, number>();

  const noteUse = (auth: Auth): void => {
    const now = performance.now();
    if (now - (usedAt.get(auth.sessionId) ?? -Infinity) < NOTE_USE_EVERY_MS) return;
    if (usedAt.size >= MAX_STANDINGS) usedAt.clear();
    usedAt.set(auth.sessionId, now);
    noteKeyUse(rt.pool, auth).catch((error: unknown) => rt.log.debug({ err: error }, 'The use of a key was not noted'));
  };

  const identifyKey = async (bearer: string): Promise<Auth> => {
    const presented = readApiKey(bearer);
    const { workspaceId = '', keyId = '' } = presented ?? {};
    const standing = presented && (await standingOf({ kind: 'api_key', sessionId: keyId, workspaceId }));
    if (!presented || !standing?.secretHash || !timingSafeEqual(standing.secretHash, presented.secretHash)) {
      throw unauthenticated('The API key is not valid.', 'invalid_key');
    }
    const { userId, scopes, expiresAt } = standing;
    const auth: Auth = {
      kind: 'api_key',
      userId,
      sessionId: keyId,
      workspaceId,
      role: 'viewer',
      plan: 'free',
      grants: [],
      denies: [],
      scopes: scopes ?? [],
      expiresAt: expiresAt?.getTime() ?? Infinity,
    };
    const now = applied(auth, standing);
    noteUse(now);
    return now;
  };

  const recheck = async (auth: Auth): Promise<Auth> => applied(auth, await standingOf(auth));

  return {
    recheck,
    follow(auth, tell) {
      const one = { auth, tell };
      followed.add(one);
      return () => void followed.delete(one);
    },
    close,
    async identify(bearer, wanted) {
      if (isApiKey(bearer)) {
        const auth = await identifyKey(bearer);
        if (wanted !== undefined && wanted.toLowerCase() !== auth.workspaceId) throw notFound('The workspace');
        return auth;
      }
      const auth = await rt.accessTokens.verify(bearer);
      if (wanted === undefined) return recheck(auth);
      if (!isUuid(wanted)) throw notFound('The workspace');
      return recheck({ ...auth, workspaceId: wanted.toLowerCase() });
    },
  };
}
