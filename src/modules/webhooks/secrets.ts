import { z } from 'zod';
import type { Vault } from '#src/modules/vault/vault.ts';
import type { SigningSecret } from '#src/modules/webhooks/signature.ts';

const Secret = z.object({ secret: z.string(), privateKey: z.string().nullable() });

/** The secret of an endpoint, and the one before it, which is still signed with for a while. */
const SecretsSchema = z.object({ current: Secret, previous: Secret.nullable() });
export interface Secrets {
  current: SigningSecret;
  previous: SigningSecret | null;
}

const placeOf = (workspaceId: string, rowId: string) => ({ table: 'webhook', column: 'secrets', workspaceId, rowId });

export function sealSecrets(vault: Vault, workspaceId: string, webhookId: string, secrets: Secrets): Promise<Buffer> {
  return vault.seal(placeOf(workspaceId, webhookId), JSON.stringify(secrets));
}

/** @throws AppError 410 `erased` when the workspace's keys are gone */
export async function openSecrets(
  vault: Vault,
  workspaceId: string,
  webhookId: string,
  sealed: Uint8Array,
): Promise<Secrets> {
  return SecretsSchema.parse(JSON.parse(await vault.open(placeOf(workspaceId, webhookId), sealed)));
}
