import { createHash, hkdfSync } from 'node:crypto';

const derived = new Map<string, Buffer>();

/**
 * A key of its own for each purpose, from the one secret of the installation (HKDF-SHA-256, RFC 5869).
 * The same input always gives the same key, so every process and every restart agrees; nothing else is stored.
 * @param secretBase64 the installation's secret, at least 32 random bytes in base64
 * @param purpose what the key is for, with a version (`access-token.v1`): two purposes never share a key
 */
export function deriveKey(secretBase64: string, purpose: string, lengthBytes: number): Buffer {
  const name = `${lengthBytes}:${purpose}:${secretBase64}`;
  const known = derived.get(name);
  if (known) return known;
  const secret = Buffer.from(secretBase64, 'base64');
  const key = Buffer.from(hkdfSync('sha256', secret, 'whatshybrid', purpose, lengthBytes));
  derived.set(name, key);
  return key;
}

/** A digest of fixed length, for comparing secrets of any length in constant time. */
export const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
