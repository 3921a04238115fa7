import { createHmac } from 'node:crypto';
import type { EntityManager } from '@mikro-orm/postgresql';
import { deriveKey } from '#src/lib/secrets.ts';
import { canonicalPhone } from '#src/modules/contacts/phone.ts';
import { findDenied } from '#src/modules/privacy/consent.query.ts';
import { phonesOf } from '#src/modules/privacy/needles.ts';
import { findSuppressed, insertSuppressions } from '#src/modules/privacy/suppression.query.ts';

const KEY = 'suppression.v1';

/** Whose list it is, and the installation's secret its hashes are made with. */
export interface ListKey {
  appSecret: string;
  workspaceId: string;
}

/**
 * What stands for a number on a workspace's list: HMAC-SHA-256 (RFC 2104) under a key of that workspace alone, so that lists of two cannot be
 * laid side by side, nor numbers be tried out without the installation's secret.
 * @param phone in E.164, in any of its forms
 * @returns hexadecimal
 */
export function addressHash(appSecret: string, workspaceId: string, phone: string): string {
  return createHmac('sha256', keyOf(appSecret, workspaceId)).update(canonicalPhone(phone)).digest('hex');
}

const keyOf = (appSecret: string, workspaceId: string): Buffer =>
  createHmac('sha256', deriveKey(appSecret, KEY, 32))
    .update(workspaceId)
    .digest();

/** Bytes that SHA-256 takes at once. */
const BLOCK_BYTES = 64;

/**
 * What it takes to make the same hashes where there is SHA-256 alone, as in SQL: `sha256(outer || sha256(inner || phone))` of a phone in its
 * canonical form (RFC 2104).
 */
export function suppressionPads(appSecret: string, workspaceId: string): { inner: Buffer; outer: Buffer } {
  const key = Buffer.concat([keyOf(appSecret, workspaceId)], BLOCK_BYTES);
  const padded = (pad: number) => Buffer.from(key.map((byte) => byte ^ pad));
  return { inner: padded(0x36), outer: padded(0x5c) };
}

/**
 * Which of many numbers want no marketing, in one statement.
 * @param em of the workspace's transaction
 * @param phones in E.164
 */
export async function isSuppressed(
  em: EntityManager,
  { appSecret, workspaceId }: ListKey,
  phones: readonly string[],
): Promise<Set<string>> {
  const byHash = Map.groupBy(phones, (phone) => addressHash(appSecret, workspaceId, phone));
  const found = await findSuppressed(em, [...byHash.keys()]);
  return new Set(found.flatMap((hash) => byHash.get(hash) ?? []));
}

/**
 * Puts every number of those of some contacts on the list that want no marketing: after they said so, and whenever they are known by another.
 * @param em of the transaction that changed them
 * @param createdBy the member who did it; null for the platform
 */
export async function suppressDenied(
  em: EntityManager,
  { appSecret, workspaceId }: ListKey,
  contactIds: readonly string[],
  createdBy: string | null,
): Promise<void> {
  if (contactIds.length === 0) return;
  const phones = (await findDenied(em, contactIds)).flatMap(({ known, phone }) => phonesOf(known, phone));
  const hashes = phones.map((phone) => addressHash(appSecret, workspaceId, phone));
  await insertSuppressions(em, hashes, { reason: 'opt_out', source: 'contact', createdBy });
}
