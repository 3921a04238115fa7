import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Vault } from '#src/modules/vault/vault.ts';
import { readSecret, type SigningKey } from '#src/modules/webhooks/signature.ts';

const placeOf = (workspaceId: string, rowId: string) => ({ table: 'channel', column: 'secrets', workspaceId, rowId });

export const sealSecret = (vault: Vault, workspaceId: string, channelId: string, secret: string): Promise<Buffer> =>
  vault.seal(placeOf(workspaceId, channelId), secret);

/** @throws AppError 410 `erased` when the workspace's keys are gone */
export async function openKey(
  vault: Vault,
  workspaceId: string,
  channelId: string,
  sealed: Uint8Array,
): Promise<SigningKey> {
  return readSecret({ secret: await vault.open(placeOf(workspaceId, channelId), sealed), privateKey: null });
}

/** As receivers do (Standard Webhooks 1.0): what is older or newer was recorded by somebody, or is of a broken clock. */
const TOLERANCE_SECONDS = 300;

/** Whether a body was signed with a key, as Standard Webhooks 1.0 says. @param nowSeconds Unix time */
export function isSigned(
  { hmac }: SigningKey,
  headers: Record<string, string | string[] | undefined>,
  body: string,
  nowSeconds: number,
): boolean {
  const [id, at, signatures] = ['id', 'timestamp', 'signature'].map((name) => String(headers[`webhook-${name}`] ?? ''));
  if (!id || !at || !signatures || !/^\d{1,12}$/.test(at)) return false;
  if (Math.abs(nowSeconds - Number(at)) > TOLERANCE_SECONDS) return false;
  const expected = createHmac('sha256', hmac).update(`${id}.${at}.${body}`).digest();
  return signatures.split(' ').some((signature) => {
    const given = Buffer.from(signature.startsWith('v1,') ? signature.slice(3) : '', 'base64');
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}
