import { errors, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { AppError, unauthenticated } from '#src/errors.ts';
import { deriveKey } from '#src/lib/secrets.ts';

export const ROLES = ['viewer', 'member', 'admin', 'owner'] as const;
export const Role = z.enum(ROLES).meta({ id: 'Role' });
export type Role = z.infer<typeof Role>;

/** From the least to the most. */
export const PLANS = ['free', 'starter', 'pro', 'enterprise'] as const;
export const Plan = z.enum(PLANS);
export type Plan = z.infer<typeof Plan>;

/** Who a request or a socket speaks for. `expiresAt` in milliseconds since 1970. */
export interface Auth {
  kind: 'session' | 'api_key';
  userId: string;
  /** The session's id, or the key's. */
  sessionId: string;
  workspaceId: string;
  role: Role;
  plan: Plan;
  /** Permissions on top of the role's, and those taken away from it. */
  grants: readonly string[];
  denies: readonly string[];
  /** What an API key is allowed; null for people. */
  scopes: readonly string[] | null;
  expiresAt: number;
}

/** What an access token says; role and the rest are the database's to say, at each request. */
export type TokenSubject = Pick<Auth, 'userId' | 'sessionId' | 'workspaceId' | 'role'>;

export const ACCESS_TOKEN_SECONDS = 900;

const ALGORITHM = 'HS256';
const TYPE = 'at+jwt';
const ISSUER = 'whatshybrid';
const AUDIENCE = 'whatshybrid-api';
const MAX_LENGTH = 2048;
/**
 * Three canonical base64url parts, the last one 32 bytes. The last character of 32 bytes carries four bits, so only sixteen characters can
 * stand there; a lenient decoder would read four spellings of one signature.
 */
const SHAPE = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
/**
 * Checking a signature takes 60 to 170 µs and a thread of the pool that password hashes keep busy; an answer from the cache takes under 1 µs.
 * Clients use one token for fifteen minutes, so nearly all checks are answered from it.
 */
const CACHE_SIZE = 10_000;

const Claims = z.object({ sub: z.uuid(), sid: z.uuid(), wid: z.uuid(), role: Role, exp: z.int(), iat: z.int() });

export interface AccessTokens {
  /** A token good for `ACCESS_TOKEN_SECONDS`. */
  sign(subject: TokenSubject): Promise<string>;
  /** @throws AppError 401 `token_expired` or `invalid_token` */
  verify(token: string): Promise<Auth>;
}

/** A secret that tokens are signed with, by the name they carry (`kid`). */
export interface SigningSecret {
  id: string;
  secretBase64: string;
}

/**
 * The installation's access tokens: JWTs in the profile of RFC 9068, signed with a key that only this purpose has.
 * Every process with the same secrets accepts them. The algorithm is fixed here and never read from a token.
 * @param secrets the first signs, all verify: a new one is added behind, then moved to the front once every process knows it, and the
 * old one dropped when its last token has expired
 */
export function createAccessTokens(secrets: readonly [SigningSecret, ...SigningSecret[]]): AccessTokens {
  const keys = new Map(
    secrets.map(({ id, secretBase64 }) => [id, deriveKey(secretBase64, `access-token.${id}`, 32)] as const),
  );
  const [{ id: signingId }] = secrets;
  const verified = new Map<string, Auth>();

  const check = async (token: string): Promise<Auth> => {
    const { payload } = await jwtVerify(token, ({ kid = '' }) => keys.get(kid) ?? Promise.reject(invalid()), {
      algorithms: [ALGORITHM],
      typ: TYPE,
      issuer: ISSUER,
      audience: AUDIENCE,
    });
    const claims = Claims.safeParse(payload);
    if (!claims.success) throw invalid();
    const { sub, sid, wid, role, exp } = claims.data;
    return {
      kind: 'session',
      userId: sub,
      sessionId: sid,
      workspaceId: wid,
      role,
      plan: 'free',
      grants: [],
      denies: [],
      scopes: null,
      expiresAt: exp * 1000,
    };
  };

  return {
    sign({ userId, sessionId, workspaceId, role }) {
      const key = keys.get(signingId);
      if (!key) throw new Error('There is no key to sign with');
      return new SignJWT({ sid: sessionId, wid: workspaceId, role })
        .setProtectedHeader({ alg: ALGORITHM, typ: TYPE, kid: signingId })
        .setSubject(userId)
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setIssuedAt()
        .setExpirationTime(`${ACCESS_TOKEN_SECONDS}s`)
        .sign(key);
    },
    async verify(token) {
      const known = verified.get(token);
      if (known) {
        if (known.expiresAt > Date.now()) return known;
        verified.delete(token);
      }
      if (token.length > MAX_LENGTH || !SHAPE.test(token)) throw invalid();
      const auth = await check(token).catch((error: unknown) => {
        if (error instanceof AppError) throw error;
        if (error instanceof errors.JWTExpired) throw unauthenticated('The access token has expired.', 'token_expired');
        throw invalid();
      });
      // The key of an entry is the whole token: a shorter one could give a caller somebody else's claims.
      if (verified.size >= CACHE_SIZE) for (const oldest of verified.keys()) if (verified.delete(oldest)) break;
      verified.set(token, Object.freeze(auth));
      return auth;
    },
  };
}

const invalid = () => unauthenticated('The access token is not valid.', 'invalid_token');
