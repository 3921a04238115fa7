import { randomBytes } from 'node:crypto';
import { Secret, TOTP } from 'otpauth';
import { sha256 } from '#src/lib/secrets.ts';

const ISSUER = 'WhatsHybrid';
const PERIOD_SECONDS = 30;
/** RFC 4226: at least 128 bits, 160 advised. */
const SEED_BYTES = 20;
/** Steps of the clock that a code may be early or late (RFC 6238 advises one). */
const WINDOW = 1;
const CODES = 10;
/** 120 bits: above the 112 from which on a plain digest is enough to store them (ASVS 6.5.2). */
const CODE_BYTES = 15;

const totpOf = (seed: string, label = '') =>
  new TOTP({ issuer: ISSUER, label, secret: Secret.fromBase32(seed), period: PERIOD_SECONDS });

/** A new seed, in base32. */
export const newSeed = (): string => new Secret({ size: SEED_BYTES }).base32;

/** What an authenticator reads as a QR code. */
export const uriOf = (seed: string, email: string): string => totpOf(seed, email).toString();

/**
 * The time step whose code this is, so that the caller can see to it that each works once.
 * @param now milliseconds since 1970
 * @returns undefined when it is the code of no step near
 */
export function stepOf(seed: string, code: string, now = Date.now()): number | undefined {
  if (!/^\d{6}$/.test(code)) return undefined;
  const delta = totpOf(seed).validate({ token: code, timestamp: now, window: WINDOW });
  return delta === null ? undefined : Math.floor(now / 1000 / PERIOD_SECONDS) + delta;
}

/** Ten codes, in groups of six letters and digits. */
export function newRecoveryCodes(): string[] {
  return Array.from({ length: CODES }, () => {
    const text = new Secret({ buffer: Uint8Array.from(randomBytes(CODE_BYTES)).buffer }).base32.toLowerCase();
    return text.match(/.{6}/g)?.join('-') ?? text;
  });
}

/** The digest a recovery code is stored as, however its owner typed the groups. */
export const hashRecoveryCode = (code: string): Buffer => sha256(code.toLowerCase().replaceAll(/[\s-]/g, ''));
