import { createHmac, timingSafeEqual } from 'node:crypto';
import { deriveKey } from '#src/lib/secrets.ts';

/*
 * version (1) | session uuid (16) | counter (8) | HMAC under the session's key, cut (16) | HMAC under the installation's key, cut (4)
 *
 * The first MAC proves that this session issued this counter; its key mixes the session's random key with one derived from the
 * installation's secret, so reading the database is not enough to make a token. The second one only sorts junk out before the database
 * is asked. Nothing of a token is stored: the current one can be written again from the session's row, which is how a client that lost an
 * answer gets it once more.
 */
const VERSION = 1;
const SIGNED_BYTES = 25;
const MAC_BYTES = 16;
const CHECKSUM_BYTES = 4;
const LENGTH = SIGNED_BYTES + MAC_BYTES + CHECKSUM_BYTES;
const TEXT = new RegExp(`^[A-Za-z0-9_-]{${(LENGTH * 4) / 3}}$`);

/** What a presented token claims, its MAC not yet checked. */
export interface PresentedToken {
  sessionId: string;
  counter: number;
  signed: Buffer;
  mac: Buffer;
}

/** The refresh token of a session at a counter; the same input always gives the same token. */
export function writeRefreshToken(
  secretBase64: string,
  session: { id: string; refreshKey: Uint8Array; counter: number },
): string {
  const signed = Buffer.alloc(SIGNED_BYTES);
  signed.writeUInt8(VERSION, 0);
  Buffer.from(session.id.replaceAll('-', ''), 'hex').copy(signed, 1);
  signed.writeBigUInt64BE(BigInt(session.counter), 17);
  const body = Buffer.concat([signed, macOf(secretBase64, session.refreshKey, signed)]);
  return Buffer.concat([body, checksumOf(secretBase64, body)]).toString('base64url');
}

/** Reads a token without the database; undefined when this installation never wrote it. */
export function readRefreshToken(secretBase64: string, token: string): PresentedToken | undefined {
  if (!TEXT.test(token)) return undefined;
  const bytes = Buffer.from(token, 'base64url');
  const body = bytes.subarray(0, SIGNED_BYTES + MAC_BYTES);
  const checksum = bytes.subarray(SIGNED_BYTES + MAC_BYTES);
  if (bytes[0] !== VERSION || !timingSafeEqual(checksum, checksumOf(secretBase64, body))) return undefined;
  const hex = bytes.toString('hex', 1, 17);
  return {
    sessionId: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
    counter: Number(bytes.readBigUInt64BE(17)),
    signed: bytes.subarray(0, SIGNED_BYTES),
    mac: bytes.subarray(SIGNED_BYTES, SIGNED_BYTES + MAC_BYTES),
  };
}

/** Whether the session with this key issued the token, now or earlier. */
export function isIssuedBy(secretBase64: string, token: PresentedToken, refreshKey: Uint8Array): boolean {
  return timingSafeEqual(token.mac, macOf(secretBase64, refreshKey, token.signed));
}

function macOf(secretBase64: string, refreshKey: Uint8Array, signed: Buffer): Buffer {
  const key = createHmac('sha256', deriveKey(secretBase64, 'refresh-token.v1', 32))
    .update(refreshKey)
    .digest();
  return createHmac('sha256', key).update(signed).digest().subarray(0, MAC_BYTES);
}

function checksumOf(secretBase64: string, body: Buffer): Buffer {
  const key = deriveKey(secretBase64, 'refresh-token-checksum.v1', 32);
  return createHmac('sha256', key).update(body).digest().subarray(0, CHECKSUM_BYTES);
}
