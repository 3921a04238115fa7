import { createHmac, createSign, generateKeyPairSync, randomBytes, sign as signRaw } from 'node:crypto';
import fc from 'fast-check';
import { UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { TestUser } from '../../test/factories.ts';
import type { TestApp } from '../../test/harness.ts';
import { AppError } from '#src/errors.ts';
import { createAccessTokens } from '#src/http/access-token.ts';
import { signingSecrets } from '#src/runtime.ts';
import { deriveKey } from '#src/lib/secrets.ts';
import { aUser } from '../../test/factories.ts';
import { openTestApp } from '../../test/harness.ts';
import { mutationsOf } from '../../test/mutations.ts';

let test: TestApp;
let user: TestUser;
let key: Buffer;
beforeAll(async () => {
  test = await openTestApp();
  user = await aUser(test.rt);
  key = deriveKey(test.config.APP_SECRET, 'access-token.v1', 32);
});
afterAll(() => test.close());

const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);
const HEADER = { alg: 'HS256', typ: 'at+jwt', kid: 'v1' };
const claims = () => ({
  sub: user.auth.userId,
  sid: user.auth.sessionId,
  wid: user.auth.workspaceId,
  role: 'owner',
  iss: 'whatshybrid',
  aud: 'whatshybrid-api',
  iat: now(),
  exp: now() + 900,
});
const hmac = (input: string, secret: Buffer | string = key, hash = 'sha256') =>
  createHmac(hash, secret).update(input).digest('base64url');
const make = (header: unknown, payload: unknown, secret: Buffer | string = key, hash = 'sha256') => {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${hmac(input, secret, hash)}`;
};
const without = (name: string) => Object.fromEntries(Object.entries(claims()).filter(([claim]) => claim !== name));
const ask = (authorization: string) => test.app.inject({ url: '/api/auth/me', headers: { authorization } });

it('accepts its own tokens, from any process with the same secret', async () => {
  const elsewhere = createAccessTokens(signingSecrets(test.config));
  expect(await elsewhere.verify(user.token)).toEqual(user.auth);
  // The forgeries below differ from this one in one thing each.
  expect((await ask(`Bearer ${make(HEADER, claims())}`)).statusCode).toBe(200);
});

function forgeries(): Record<string, string> {
  const good = user.token;
  const [header = '', payload = '', signature = ''] = good.split('.');
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ed = generateKeyPairSync('ed25519');
  const input = (head: object) => `${encode(head)}.${encode(claims())}`;
  const rs = input({ ...HEADER, alg: 'RS256' });
  const eddsa = input({ ...HEADER, alg: 'EdDSA' });
  const publicPem = rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const jwk = rsa.publicKey.export({ format: 'jwk' });
  return {
    'alg none, unsigned': `${encode({ ...HEADER, alg: 'none' })}.${payload}.`,
    'alg None': `${encode({ ...HEADER, alg: 'None' })}.${payload}.${signature}`,
    'alg none as a library makes it': new UnsecuredJWT(claims()).encode(),
    'no alg': make({ typ: 'at+jwt', kid: 'v1' }, claims()),
    'alg in another spelling': make({ ...HEADER, alg: 'hs256' }, claims()),
    'HS384 with the right key': make({ ...HEADER, alg: 'HS384' }, claims(), key, 'sha384'),
    'HS512 with the right key': make({ ...HEADER, alg: 'HS512' }, claims(), key, 'sha512'),
    'RS256 with a key of their own': `${rs}.${createSign('sha256').update(rs).sign(rsa.privateKey, 'base64url')}`,
    'EdDSA with a key of their own': `${eddsa}.${signRaw(null, Buffer.from(eddsa), ed.privateKey).toString('base64url')}`,
    'HS256 with a public key as the secret': make({ ...HEADER, jwk }, claims(), publicPem),
    'a key in the header (jwk)': make({ ...HEADER, jwk: { kty: 'oct', k: encode('k') } }, claims(), 'k'),
    'a key by address (jku)': make({ ...HEADER, jku: 'http://127.0.0.1:1/keys' }, claims(), 'k'),
    'a certificate by address (x5u)': make({ ...HEADER, x5u: 'http://127.0.0.1:1/cert' }, claims(), 'k'),
    'a certificate (x5c)': make({ ...HEADER, x5c: ['MIIB'] }, claims(), 'k'),
    'another secret': make(HEADER, claims(), randomBytes(32)),
    'an empty secret': make(HEADER, claims(), ''),
    'the secret it is derived from': make(HEADER, claims(), Buffer.from(test.config.APP_SECRET, 'base64')),
    'the secret as text': make(HEADER, claims(), test.config.APP_SECRET),
    "another purpose's key": make(HEADER, claims(), deriveKey(test.config.APP_SECRET, 'refresh-token.v1', 32)),
    'no kid': make({ alg: 'HS256', typ: 'at+jwt' }, claims()),
    'an unknown kid': make({ ...HEADER, kid: 'v2' }, claims()),
    'a kid that is a path': make({ ...HEADER, kid: '../../../../dev/null' }, claims(), ''),
    'a kid that is SQL': make({ ...HEADER, kid: "v1' union select 'k" }, claims(), 'k'),
    'another type': make({ ...HEADER, typ: 'JWT' }, claims()),
    'no type': make({ alg: 'HS256', kid: 'v1' }, claims()),
    'an unknown critical header': make({ ...HEADER, crit: ['x'], x: 1 }, claims()),
    'an unencoded payload (b64)': make({ ...HEADER, crit: ['b64'], b64: false }, claims()),
    expired: make(HEADER, { ...claims(), exp: now() - 1 }),
    'expiring now': make(HEADER, { ...claims(), exp: now() }),
    'without expiry': make(HEADER, without('exp')),
    'expiry as text': make(HEADER, { ...claims(), exp: '9999999999' }),
    'expiry beyond numbers': make(
      HEADER,
      encode('').concat(JSON.stringify(claims()).replace(/"exp":\d+/, '"exp":1e999')),
    ),
    'not valid yet': make(HEADER, { ...claims(), nbf: now() + 600 }),
    'another issuer': make(HEADER, { ...claims(), iss: 'elsewhere' }),
    'no issuer': make(HEADER, without('iss')),
    'another audience': make(HEADER, { ...claims(), aud: 'other-api' }),
    'no audience': make(HEADER, without('aud')),
    'no subject': make(HEADER, without('sub')),
    'no session': make(HEADER, without('sid')),
    'no workspace': make(HEADER, without('wid')),
    'a role that is none': make(HEADER, { ...claims(), role: 'root' }),
    'a role of the prototype': make(HEADER, { ...claims(), role: 'constructor' }),
    'a subject that is SQL': make(HEADER, { ...claims(), sub: "' or 1=1 --" }),
    'claims that are a list': make(HEADER, [claims()]),
    'claims that are no JSON': make(HEADER, 'claims'),
    'a header that is no JSON': make('header', claims()),
    'a header that is null': make('null', claims()),
    'changed claims under an old signature': `${header}.${encode({ ...claims(), role: 'owner', exp: now() + 9e6 })}.${signature}`,
    "another header's signature": `${encode({ ...HEADER, kid: 'v1 ' })}.${payload}.${signature}`,
    'no signature': `${header}.${payload}.`,
    'half a signature': `${header}.${payload}.${signature.slice(0, 21)}`,
    'a padded signature': `${good}=`,
    'the signature in another spelling': good.slice(0, -1) + nextSpelling(good),
    'a signature in plain base64': `${header}.${payload}.${signature.slice(0, -1)}+`,
    'a fourth part': `${good}.x`,
    'five parts, as if encrypted': `${header}.x.${payload}.x.${signature}`,
    'one part': header,
    'the refresh token': user.refreshToken,
    'a token with a line break': `${header}.\n${payload}.${signature}`,
    'a token and a comma': `${good},`,
    'two tokens': `${good} ${good}`,
    'a megabyte': `${header}.${'A'.repeat(1_000_000)}.${signature}`,
    'a megabyte of dots': '.'.repeat(1_000_000),
    empty: '',
    'the word undefined': 'undefined',
    'an API key of nobody': 'wh_live_abcdefgh_0123456789',
  };
}

/** The last character of a signature carries two bits that mean nothing; another of its four spellings. */
function nextSpelling(token: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return alphabet[alphabet.indexOf(token.at(-1) ?? '') + 1] ?? '';
}

it('answers every forged token with 401 and a problem', async () => {
  const kinds = Object.entries(forgeries());
  expect(kinds.length).toBeGreaterThanOrEqual(60);
  for (const [kind, token] of kinds) {
    const answer = await ask(`Bearer ${token}`);
    expect(`${kind}: ${answer.statusCode}`).toBe(`${kind}: 401`);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(answer.json().code).toMatch(/^(invalid_token|invalid_key|token_expired|unauthenticated)$/);
  }
  for (const header of ['', 'Bearer', 'Bearer ', 'Basic dXNlcjpwYXNz', `Token ${user.token}`, user.token]) {
    expect(`${header}: ${(await ask(header)).statusCode}`).toBe(`${header}: 401`);
  }
  expect((await ask(`Bearer ${user.token}`)).statusCode).toBe(200);
});

it('says when a token has expired, also one it has accepted before', async () => {
  const old = await aUser(test.rt);
  const header = { authorization: `Bearer ${old.token}` };
  expect((await test.app.inject({ url: '/api/auth/me', headers: header })).statusCode).toBe(200);
  vi.useFakeTimers({ toFake: ['Date'], now: old.auth.expiresAt });
  const seen = await ask(`Bearer ${old.token}`);
  const elsewhere = createAccessTokens(signingSecrets(test.config)).verify(old.token);
  await expect(elsewhere).rejects.toMatchObject({ status: 401, code: 'token_expired' });
  vi.useRealTimers();
  expect(seen.json()).toMatchObject({ status: 401, code: 'token_expired' });
});

it('accepts no token with any one bit changed', async () => {
  const bytes = Buffer.from(user.token, 'latin1');
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    await expect(test.rt.accessTokens.verify(changed.toString('latin1'))).rejects.toMatchObject({ status: 401 });
  }
});

const secretOf = (id: string) => ({ id, secretBase64: Buffer.alloc(32, id).toString('base64') });

it('accepts none of ten thousand tokens that were changed', async () => {
  const tokens = createAccessTokens(signingSecrets(test.config));
  const outcome = (token: string) =>
    tokens.verify(token).then(
      () => 'accepted',
      (error: unknown) => (error instanceof AppError ? error.status : error),
    );
  await fc.assert(
    fc.asyncProperty(mutationsOf(user.token), async (mutated) => {
      expect(await outcome(mutated)).toBe(401);
    }),
    { numRuns: 10_000, seed: 1 },
  );
});

it('changes keys without signing anybody out', async () => {
  const [first, second] = [secretOf('k1'), secretOf('k2')];
  const subject = { ...(await aUser(test.rt)).auth };
  const before = await createAccessTokens([first]).sign(subject);
  // Known everywhere before it signs anywhere.
  const announced = createAccessTokens([first, second]);
  const changed = createAccessTokens([second, first]);
  const after = await changed.sign(subject);
  for (const tokens of [announced, changed]) {
    for (const token of [before, after]) expect(await tokens.verify(token)).toMatchObject({ userId: subject.userId });
  }
  await expect(createAccessTokens([second]).verify(before)).rejects.toMatchObject({
    status: 401,
    code: 'invalid_token',
  });
  // The same secret under another name is another key.
  const renamed = createAccessTokens([{ ...first, id: 'k2' }]);
  await expect(renamed.verify(before)).rejects.toMatchObject({ status: 401 });
});
