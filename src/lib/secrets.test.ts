import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { deriveKey } from '#src/lib/secrets.ts';

describe('deriveKey', () => {
  it('gives the same key for the same input and another one for another purpose, secret or length', () => {
    const secret = Buffer.alloc(32, 1).toString('base64');
    const key = deriveKey(secret, 'a.v1', 32);
    expect(key).toHaveLength(32);
    expect(deriveKey(secret, 'a.v1', 32)).toEqual(key);
    expect(deriveKey(secret, 'b.v1', 32)).not.toEqual(key);
    expect(deriveKey(randomBytes(32).toString('base64'), 'a.v1', 32)).not.toEqual(key);
    expect(deriveKey(secret, 'a.v1', 16)).toHaveLength(16);
  });

  it('keeps giving the key it gave to earlier releases', () => {
    const secret = Buffer.alloc(32, 1).toString('base64');
    expect(deriveKey(secret, 'access-token.v1', 32).toString('hex')).toMatchInlineSnapshot(
      `"6a3a9d285ba1eb74e30c8d702e68a03c61fe3cf7a7bf631ebd8dbea6eed6c798"`,
    );
  });
});
