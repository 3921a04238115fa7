import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

/** Where a sealed value is kept. Its bytes open nowhere else: not in another row, column, table or workspace. */
export interface Place {
  table: string;
  column: string;
  workspaceId: string;
  rowId: string;
}

/*
 * format (1) | key version (4, big endian) | nonce (12) | AES-256-GCM of the text | tag (16)
 *
 * Each place has a key of its own, derived from the workspace's (HKDF-SHA-256, RFC 5869): with random nonces one key is good for 2^32
 * messages (NIST SP 800-38D, section 8.3), which a place never sees. The version stands in front, so that SQL can find what is old.
 */
const FORMAT = 2;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 5;

const placeText = ({ table, column, workspaceId, rowId }: Place) => [table, column, workspaceId, rowId].join('|');

const keyFor = (workspaceKey: Uint8Array, info: string) =>
  Buffer.from(hkdfSync('sha256', workspaceKey, Buffer.alloc(0), info, 32));

/** The first bytes of every value that was sealed with this version of a key. */
export function headOf(version: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES, FORMAT);
  head.writeUInt32BE(version, 1);
  return head;
}

/** Seals a text with a version of the workspace's key. @throws TypeError for a text with lone surrogates, which UTF-8 cannot keep */
export function seal(workspaceKey: Uint8Array, version: number, place: Place, text: string): Buffer {
  if (!text.isWellFormed()) throw new TypeError('A sealed text must be well-formed Unicode');
  const info = placeText(place);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keyFor(workspaceKey, info), nonce);
  const head = headOf(version);
  cipher.setAAD(Buffer.concat([head, Buffer.from(info)]));
  return Buffer.concat([head, nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
}

/** @returns the version of the key that a value was sealed with. @throws when it is no sealed value */
export function versionOf(sealed: Uint8Array): number {
  const bytes = Buffer.from(sealed);
  if (bytes[0] !== FORMAT || bytes.length < HEAD_BYTES + NONCE_BYTES + TAG_BYTES) throw new Error('Not a sealed value');
  return bytes.readUInt32BE(1);
}

/** Opens what `seal` made. @throws when anything of it was changed, or it belongs to another place or key */
export function open(workspaceKey: Uint8Array, place: Place, sealed: Uint8Array): string {
  const bytes = Buffer.from(sealed);
  const head = headOf(versionOf(bytes));
  const info = placeText(place);
  const nonce = bytes.subarray(HEAD_BYTES, HEAD_BYTES + NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', keyFor(workspaceKey, info), nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.concat([head, Buffer.from(info)]));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  const text = decipher.update(bytes.subarray(HEAD_BYTES + NONCE_BYTES, -TAG_BYTES), undefined, 'utf8');
  return text + decipher.final('utf8');
}

/** Wraps a key in another. @param name what it is, so that no other can be put in its place */
export function wrapKey(kek: Uint8Array, name: string, key: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', kek, nonce);
  cipher.setAAD(Buffer.from(name));
  return Buffer.concat([nonce, cipher.update(key), cipher.final(), cipher.getAuthTag()]);
}

/** @throws when it was wrapped with another key or under another name */
export function unwrapKey(kek: Uint8Array, name: string, wrapped: Uint8Array): Buffer {
  const bytes = Buffer.from(wrapped);
  const decipher = createDecipheriv('aes-256-gcm', kek, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(name));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
}

export type IndexedKind = 'email' | 'phone';

/** One spelling for all that mean the same. @throws TypeError for a phone that is not E.164 (ITU-T) */
export function normalise(kind: IndexedKind, value: string): string {
  if (kind === 'email') return value.normalize('NFKC').trim().toLowerCase();
  const digits = value.replaceAll(/[\s().-]/g, '');
  if (!/^\+[1-9]\d{7,14}$/.test(digits)) throw new TypeError('A phone must be in E.164, like +5511987654321');
  return digits;
}

/**
 * A code by which a sealed value can be found without being opened: HMAC-SHA-256 of its one spelling, cut to 64 bits, so that now and
 * then two values share one (open what was found, and compare). There are few enough phone numbers to try them all: the key is all the
 * protection, and it is another in each workspace, table and column.
 */
export function blindIndex(
  indexKey: Uint8Array,
  column: { table: string; column: string },
  kind: IndexedKind,
  value: string,
): Buffer {
  const key = keyFor(indexKey, `index|${column.table}|${column.column}|${kind}`);
  return createHmac('sha256', key).update(normalise(kind, value)).digest().subarray(0, 8);
}
