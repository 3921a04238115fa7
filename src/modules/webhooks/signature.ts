import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

const SECRET_BYTES = 32;
const PUBLIC_KEY_BYTES = 32;

/** What an endpoint's deliveries are signed with, as texts that can be kept. */
export interface SigningSecret {
  /** `whsec_` and base64: the key both ends share. */
  secret: string;
  /** A private key of Ed25519 (PKCS #8, base64), for endpoints that want to verify without a secret. */
  privateKey: string | null;
}

/** Keys ready for signing. */
export interface SigningKey {
  hmac: Uint8Array;
  ed25519: KeyObject | null;
}

/** @returns new random secrets, 32 bytes each */
export function makeSecret(isAsymmetric: boolean): SigningSecret {
  const secret = `whsec_${randomBytes(SECRET_BYTES).toString('base64')}`;
  if (!isAsymmetric) return { secret, privateKey: null };
  const { privateKey } = generateKeyPairSync('ed25519');
  return { secret, privateKey: privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64') };
}

export function readSecret({ secret, privateKey }: SigningSecret): SigningKey {
  const der = privateKey === null ? null : Buffer.from(privateKey, 'base64');
  return {
    hmac: Buffer.from(secret.replace(/^whsec_/, ''), 'base64'),
    ed25519: der && createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }),
  };
}

/** The key receivers verify `v1a` with: `whpk_` and base64 of its 32 bytes; null for an endpoint without one. */
export function publicKeyOf({ ed25519 }: SigningKey): string | null {
  if (ed25519 === null) return null;
  // The raw key is what the DER form ends in.
  const der = createPublicKey(ed25519).export({ format: 'der', type: 'spki' });
  return `whpk_${der.subarray(-PUBLIC_KEY_BYTES).toString('base64')}`;
}

/**
 * Signs a delivery as Standard Webhooks 1.0 says: over `id.timestamp.body`, once with every key.
 * @param keys those that are good now, the newest first
 * @param atSeconds when it is sent (Unix time); receivers refuse what is some minutes off
 * @returns the headers
 */
export function signatureHeaders(
  keys: readonly SigningKey[],
  id: string,
  atSeconds: number,
  body: string,
): Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string> {
  const text = `${id}.${atSeconds}.${body}`;
  const signatures = keys.flatMap(({ hmac, ed25519 }) => [
    `v1,${createHmac('sha256', hmac).update(text).digest('base64')}`,
    ...(ed25519 ? [`v1a,${sign(null, Buffer.from(text), ed25519).toString('base64')}`] : []),
  ]);
  return { 'webhook-id': id, 'webhook-timestamp': String(atSeconds), 'webhook-signature': signatures.join(' ') };
}
