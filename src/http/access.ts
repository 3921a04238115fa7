import type { Pool } from 'pg';
import type { AccessTokens, Auth } from '#src/http/access-token.ts';
import { AppError, notFound, unauthenticated } from '#src/errors.ts';
import { findStanding, findStandings, type Standing } from '#src/http/access.query.ts';
import { isUuid } from '#src/lib/ids.ts';
import type { Log } from '#src/lib/log.ts';

/**
 * How long an answer of the database is good for. A session that was ended, a member that was removed and a role that was changed
 * are known in every process after at most this long: half of the two seconds that are promised.
 */
const STANDING_MS = 1000;
const MAX_STANDINGS = 20_000;
const SWEEP_BATCH = 2000;

/** Who a caller is at this moment: what the token says, checked against what the database says now. */
export interface Access {
  /**
   * @param bearer an access token
   * @param workspaceId the workspace to work in, when it is another than the token's
   * @throws AppError 401 for a token that is not good or whose session has ended; 404 for a workspace that is not the caller's
   */
  identify(bearer: string, workspaceId?: string): Promise<Auth>;
  /**
   * Follows a caller who stays connected, by one query a second for all of them.
   * @param tell gets the caller anew when their role changed, or the error `identify` would throw when it is over
   * @returns a function that ends it
   */
  follow(auth: Auth, tell: (now: Auth | AppError) => void): () => void;
  close(): void;
}

interface Entry {
  standing: Promise<Standing | undefined>;
  goodUntil: number;
}

interface Followed {
  auth: Auth;
  tell: (now: Auth | AppError) => void;
}

/** @throws AppError 401 or 404 when the standing is no longer good */
function applied(auth: Auth, standing: Standing | undefined): Auth {
  if (!standing?.isOpen) throw unauthenticated('The session has ended. Sign in again.', 'session_ended');
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

/** One query per session and workspace and second at most, however many requests come. */
export function createAccess(rt: { pool: Pool; systemPool: Pool; accessTokens: AccessTokens; log: Log }): Access {
  const entries = new Map<string, Entry>();

  const standingOf = (auth: Auth): Promise<Standing | undefined> => {
    const key = `${auth.sessionId}:${auth.workspaceId}`;
    const now = performance.now();
    const known = entries.get(key);
    if (known && known.goodUntil > now) return known.standing;
    entries.delete(key);
    const standing = findStanding(rt.pool, auth);
    standing.catch(() => entries.delete(key));
    if (entries.size >= MAX_STANDINGS) for (const oldest of entries.keys()) if (entries.delete(oldest)) break;
    entries.set(key, { standing, goodUntil: now + STANDING_MS });
    return standing;
  };

  const recheck = async (auth: Auth): Promise<Auth> => applied(auth, await standingOf(auth));

  const followed = new Set<Followed>();
  let isSweeping = false;
  const sweep = async (): Promise<void> => {
    const all = [...followed];
    for (let at = 0; at < all.length; at += SWEEP_BATCH) {
      const batch = all.slice(at, at + SWEEP_BATCH);
      const standings = await findStandings(
        rt.systemPool,
        batch.map(({ auth }) => auth),
      );
      for (const [place, one] of batch.entries()) if (followed.has(one)) tellChange(one, standings[place]);
    }
  };
  const timer = setInterval(() => {
    if (isSweeping || followed.size === 0) return;
    isSweeping = true;
    sweep()
      .catch((error: unknown) => rt.log.warn({ err: error }, 'Open connections could not be checked'))
      .finally(() => (isSweeping = false));
  }, STANDING_MS);

  return {
    follow(auth, tell) {
      const one = { auth, tell };
      followed.add(one);
      return () => void followed.delete(one);
    },
    close: () => clearInterval(timer),
    async identify(bearer, wanted) {
      const auth = await rt.accessTokens.verify(bearer);
      if (wanted === undefined) return recheck(auth);
      if (!isUuid(wanted)) throw notFound('The workspace');
      return recheck({ ...auth, workspaceId: wanted.toLowerCase() });
    },
  };
}
