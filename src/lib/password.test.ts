import { argon2Sync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createPasswords } from '#src/lib/password.ts';

const passwords = createPasswords();

describe('passwords', () => {
  it('verifies what it hashed and nothing else', async () => {
    const stored = await passwords.hash('correct horse');
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(await passwords.verify(stored, 'correct horse')).toEqual({ ok: true, outdated: false });
    expect(await passwords.verify(stored, 'correct horsf')).toEqual({ ok: false, outdated: false });
    expect(await passwords.verify(stored, '')).toEqual({ ok: false, outdated: false });
  });

  it('salts every hash', async () => {
    expect(await passwords.hash('same')).not.toBe(await passwords.hash('same'));
  });

  it('takes an accent in either of its two spellings', async () => {
    const stored = await passwords.hash('senha-\u00e3');
    expect((await passwords.verify(stored, 'senha-a\u0303')).ok).toBe(true);
  });

  it('says that a hash of older parameters is outdated, once the password is right', async () => {
    const salt = Buffer.alloc(16, 7);
    const parameters = { message: 'old', nonce: salt, parallelism: 1, tagLength: 32, memory: 8192, passes: 1 };
    const key = argon2Sync('argon2id', parameters).toString('base64').replaceAll('=', '');
    const stored = `$argon2id$v=19$m=8192,t=1,p=1$${salt.toString('base64').replaceAll('=', '')}$${key}`;
    expect(await passwords.verify(stored, 'old')).toEqual({ ok: true, outdated: true });
    expect(await passwords.verify(stored, 'new')).toEqual({ ok: false, outdated: false });
  });

  it.each(['', 'plain', '$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$c2FsdA', '$2b$12$abcdefghijklmnopqrstuv'])(
    'matches nothing against the stored text %j',
    async (stored) => {
      expect(await passwords.verify(stored, 'x')).toEqual({ ok: false, outdated: false });
    },
  );

  it('never says yes for an account that does not exist', async () => {
    expect(await passwords.verifyDecoy('anything')).toEqual({ ok: false, outdated: false });
  });
});
