import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppError } from '#src/errors.ts';
import { refreshSession } from '#src/modules/auth/auth.session.ts';
import { readRefreshToken, writeRefreshToken } from '#src/modules/auth/refresh-token.ts';
import { Session } from '#src/modules/auth/session.entity.ts';
import { aUser } from '../../../test/factories.ts';
import { openTestRuntime } from '../../../test/harness.ts';
import type { TestRuntime } from '../../../test/harness.ts';

let test: TestRuntime;
beforeAll(async () => {
  test = await openTestRuntime();
});
afterAll(() => test.close());

const refresh = (token: string) => refreshSession(test.rt, token);
const codeOf = (token: string) =>
  refresh(token).then(
    () => 'ok',
    (error: unknown) => (error instanceof AppError ? `${error.status} ${error.code}` : error),
  );
const changeSession = (id: string, change: Partial<Pick<Session, 'lastUsedAt' | 'expiresAt' | 'counter'>>) =>
  test.rt.orm.em.fork().nativeUpdate(Session, { id }, change);
const ago = (ms: number) => new Date(Date.now() - ms);

describe('refreshing', () => {
  it('gives new tokens each time, good for the same user and session', async () => {
    const { refreshToken, auth } = await aUser(test.rt);
    let token = refreshToken;
    for (let round = 0; round < 5; round += 1) {
      const next = await refresh(token);
      expect(next.refreshToken).not.toBe(token);
      expect(await test.rt.accessTokens.verify(next.token)).toMatchObject({
        userId: auth.userId,
        sessionId: auth.sessionId,
        workspaceId: auth.workspaceId,
        role: 'owner',
      });
      token = next.refreshToken;
    }
  });

  it('never signs anyone out when twenty refresh with the same token at once, again and again', async () => {
    const { refreshToken } = await aUser(test.rt);
    let token = refreshToken;
    for (let round = 0; round < 3; round += 1) {
      const presented = token;
      const answers = await Promise.all(Array.from({ length: 20 }, () => refresh(presented)));
      // All hold the one current token, so the next refresh of any of them works.
      expect(new Set(answers.map((answer) => answer.refreshToken)).size).toBe(1);
      token = answers[0]?.refreshToken ?? '';
    }
    expect(await codeOf(token)).toBe('ok');
  });

  it('gives the current token again to a client that lost the answer', async () => {
    const { refreshToken, auth } = await aUser(test.rt);
    const lost = await refresh(refreshToken);
    await changeSession(auth.sessionId, { lastUsedAt: ago(25_000) });
    const again = await refresh(refreshToken);
    expect(again.refreshToken).toBe(lost.refreshToken);
    expect(await codeOf(again.refreshToken)).toBe('ok');
  });

  it('ends the session when an old token comes back', async () => {
    const { refreshToken: stolen } = await aUser(test.rt);
    const second = await refresh(stolen);
    const third = await refresh(second.refreshToken);
    expect(await codeOf(stolen)).toBe('401 refresh_reused');
    expect(await codeOf(third.refreshToken)).toBe('401 session_ended');
    expect(await codeOf(stolen)).toBe('401 session_ended');
  });

  it('ends the session when the token before the current one comes back after 30 s', async () => {
    const { refreshToken, auth } = await aUser(test.rt);
    const current = await refresh(refreshToken);
    await changeSession(auth.sessionId, { lastUsedAt: ago(31_000) });
    expect(await codeOf(refreshToken)).toBe('401 refresh_reused');
    expect(await codeOf(current.refreshToken)).toBe('401 session_ended');
  });

  it('lets a session end after seven idle days, and after thirty days in all', async () => {
    const idle = await aUser(test.rt);
    await changeSession(idle.auth.sessionId, { expiresAt: ago(1) });
    expect(await codeOf(idle.refreshToken)).toBe('401 session_ended');

    const old = await aUser(test.rt);
    const day = 86_400_000;
    await test.rt.orm.em.fork().nativeUpdate(Session, { id: old.auth.sessionId }, { createdAt: ago(29 * day) });
    await refresh(old.refreshToken);
    const { expiresAt } = await test.rt.orm.em.fork().findOneOrFail(Session, { id: old.auth.sessionId });
    const left = expiresAt.getTime() - Date.now();
    expect(left).toBeGreaterThan(0.9 * day);
    expect(left).toBeLessThanOrEqual(day);
  });
});

describe('a refresh token that was never issued', () => {
  it('is refused', async () => {
    const { refreshToken, auth, token } = await aUser(test.rt);
    const other = await aUser(test.rt);
    const secret = test.config.APP_SECRET;
    const session = await test.rt.orm.em.fork().findOneOrFail(Session, { id: auth.sessionId });
    const { refreshKey } = session;
    const strangers = Buffer.from(randomBytes(32)).toString('base64');
    const bytes = Buffer.from(refreshToken, 'base64url');
    const forged = {
      empty: '',
      words: 'not a token',
      'an access token': token,
      'random bytes': randomBytes(45).toString('base64url'),
      'one character short': refreshToken.slice(1),
      'one character more': `${refreshToken}A`,
      padded: `${refreshToken}=`,
      'with a space': ` ${refreshToken}`,
      'of another version': Buffer.from([2, ...bytes.subarray(1)]).toString('base64url'),
      'of another installation': writeRefreshToken(strangers, { id: auth.sessionId, refreshKey, counter: 0 }),
      'of a session that is not there': writeRefreshToken(secret, { id: randomId(), refreshKey, counter: 0 }),
      "of another session's key": writeRefreshToken(secret, { id: other.auth.sessionId, refreshKey, counter: 0 }),
      'of a counter not reached yet': writeRefreshToken(secret, { id: auth.sessionId, refreshKey, counter: 1 }),
      'of a counter beyond all numbers': writeRefreshToken(secret, {
        id: auth.sessionId,
        refreshKey,
        counter: Number.MAX_SAFE_INTEGER,
      }),
      'a megabyte': 'A'.repeat(1_048_576),
    };
    for (const [name, candidate] of Object.entries(forged)) {
      expect(`${name}: ${String(await codeOf(candidate))}`).toBe(`${name}: 401 invalid_refresh_token`);
    }
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      // Without a database at hand: the checksum alone must refuse it.
      expect(readRefreshToken(secret, flipped.toString('base64url'))).toBeUndefined();
    }
    expect(await codeOf(refreshToken)).toBe('ok');
  });
});

const randomId = () => crypto.randomUUID();
