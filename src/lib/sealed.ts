import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto';
import { deriveKey } from '#src/lib/secrets.ts';

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const keyOf = (secretBase64: string) => createSecretKey(deriveKey(secretBase64, 'sealed.v1', 32));

/**
 * Seals a text for storage: AES-256-GCM under a key of the installation.
 * @param place where the text is kept (`table.column:row id`); sealed bytes that are moved to another place do not open there
 */
export function sealText(secretBase64: string, place: string, text: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keyOf(secretBase64), nonce);
  cipher.setAAD(Buffer.from(place));
  const sealed = cipher.update(text, 'utf8');
  return Buffer.concat([Buffer.from([VERSION]), nonce, sealed, cipher.final(), cipher.getAuthTag()]);
}

/** Opens what `sealText` made. @throws when the bytes were changed, or sealed for another place or by another installation */
export function openText(secretBase64: string, place: string, sealed: Uint8Array): string {
  const bytes = Buffer.from(sealed);
  if (bytes[0] !== VERSION || bytes.length < 1 + NONCE_BYTES + TAG_BYTES) throw new Error(`${place} is not sealed`);
  const nonce = bytes.subarray(1, 1 + NONCE_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', keyOf(secretBase64), nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(place));
  decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
  const text = decipher.update(bytes.subarray(1 + NONCE_BYTES, bytes.length - TAG_BYTES), undefined, 'utf8');
  return text + decipher.final('utf8');
}
