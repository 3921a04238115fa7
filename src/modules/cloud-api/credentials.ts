import { z } from 'zod';
import type { Vault } from '#src/modules/vault/vault.ts';

const secret = (least: number) =>
  z
    .string()
    .min(least)
    .max(1000)
    .regex(/^[\x21-\x7e]+$/, 'must be visible ASCII characters without spaces');

const fields = {
  /** Meta's id of the number, not the number itself. */
  phoneNumberId: z.string().regex(/^\d{5,30}$/, 'must be the digits of a phone number id'),
  /** Of a system user, so that it does not expire. */
  accessToken: secret(8),
  /** Of the Meta app: webhooks are signed with it. */
  appSecret: secret(8),
  /** Chosen here, and repeated where the webhook is registered with Meta. */
  verifyToken: secret(8),
};
export const CloudCredentials = z.strictObject(fields);
export type CloudCredentials = z.infer<typeof CloudCredentials>;
export const CloudCredentialsPatch = z.strictObject(fields).partial();

const placeOf = (workspaceId: string, rowId: string) => ({ table: 'channel', column: 'secrets', workspaceId, rowId });

/** @returns a channel's settings sealed: they are used and never shown. @throws AppError 410 `erased` */
export const sealCredentials = (
  vault: Vault,
  workspaceId: string,
  channelId: string,
  credentials: CloudCredentials,
): Promise<Buffer> => vault.seal(placeOf(workspaceId, channelId), JSON.stringify(credentials));

/** @throws AppError 410 `erased` when the workspace's keys are gone */
export async function openCredentials(
  vault: Vault,
  workspaceId: string,
  channelId: string,
  sealed: Uint8Array,
): Promise<CloudCredentials> {
  return CloudCredentials.parse(JSON.parse(await vault.open(placeOf(workspaceId, channelId), sealed)));
}
