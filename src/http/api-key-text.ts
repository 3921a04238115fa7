import { createHash, randomBytes } from 'node:crypto';
import { sha256 } from '#src/lib/secrets.ts';

const PREFIX = 'wh_live_';
const SECRET_BYTES = 32;
const SIGNED_BYTES = 16 + 16 + SECRET_BYTES;
const CHECKSUM_BYTES = 4;
/** 68 bytes leave two unused bits in the last character; only these spellings of it are canonical. */
const TEXT = /^wh_live_[A-Za-z0-9_-]{90}[AEIMQUYcgkosw048]$/;

/** What a presented key says of itself; that it is one of ours is for the database to say. */
export interface PresentedKey {
  workspaceId: string;
  keyId: string;
  secretHash: Buffer;
}

const toBytes = (id: string) => Buffer.from(id.replaceAll('-', ''), 'hex');
const toId = (bytes: Buffer) => bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
const checksumOf = (body: Buffer) =>
  createHash('sha256').update(PREFIX).update(body).digest().subarray(0, CHECKSUM_BYTES);

export const isApiKey = (text: string): boolean => text.startsWith(PREFIX);

/**
 * Makes a key: workspace (16 bytes) | key (16) | random secret (32) | checksum (4), base64url after `wh_live_`. The checksum lets scanners
 * of leaked secrets, and us, tell a key from junk without a database. The workspace is in it because nothing of another can be read.
 * @returns its text, to be shown once, and what to store of it
 */
export function makeApiKey(workspaceId: string, keyId: string): { text: string; prefix: string; secretHash: Buffer } {
  const body = Buffer.concat([toBytes(workspaceId), toBytes(keyId), randomBytes(SECRET_BYTES)]);
  const text = PREFIX + Buffer.concat([body, checksumOf(body)]).toString('base64url');
  // The end of the key's own id: its beginning is the time, which keys of one day share.
  return { text, prefix: `${PREFIX}…${keyId.slice(-8)}`, secretHash: sha256(text) };
}

/** Reads a key without the database; undefined for what cannot be one. */
export function readApiKey(text: string): PresentedKey | undefined {
  if (!TEXT.test(text)) return undefined;
  const bytes = Buffer.from(text.slice(PREFIX.length), 'base64url');
  const body = bytes.subarray(0, SIGNED_BYTES);
  if (!checksumOf(body).equals(bytes.subarray(SIGNED_BYTES))) return undefined;
  return { workspaceId: toId(body.subarray(0, 16)), keyId: toId(body.subarray(16, 32)), secretHash: sha256(text) };
}
