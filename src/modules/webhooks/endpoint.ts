import type { Pool } from 'pg';
import type { Vault } from '#src/modules/vault/vault.ts';
import { findEndpoint } from '#src/modules/webhooks/endpoint.query.ts';
import { openSecrets } from '#src/modules/webhooks/secrets.ts';
import { readSecret, type SigningKey } from '#src/modules/webhooks/signature.ts';

const MAX_KEPT = 2000;

/** Where deliveries go, and what they are signed with. */
export interface Endpoint {
  revision: number;
  url: string;
  payloadVersion: string;
  current: SigningKey;
  previous: { key: SigningKey; until: number } | null;
}

/** The keys that are good now, the newest first. @param now as `Date.now()` */
export function keysOf({ current, previous }: Endpoint, now: number): SigningKey[] {
  return previous && now < previous.until ? [current, previous.key] : [current];
}

/** Reads endpoints. @returns null for one that is gone */
export type ReadEndpoint = (key: {
  workspaceId: string;
  webhookId: string;
  revision: number;
}) => Promise<Endpoint | null>;

/**
 * Reads endpoints and keeps them, opened, for as long as nothing of them changes: every delivery brings the revision its endpoint has in
 * the database, so a secret that was rotated or an address that was changed is not used by any that is taken afterwards; the few that were
 * taken before are made within seconds. An end of grace is kept to by the clock.
 */
export function createReadEndpoint(pool: Pool, vault: Vault): ReadEndpoint {
  const kept = new Map<string, { revision: number; endpoint: Promise<Endpoint | null> }>();

  const load = async (workspaceId: string, webhookId: string): Promise<Endpoint | null> => {
    const row = await findEndpoint(pool, workspaceId, webhookId);
    if (!row) return null;
    const { current, previous } = await openSecrets(vault, workspaceId, webhookId, row.secrets);
    return {
      revision: row.revision,
      url: row.url,
      payloadVersion: row.payload_version,
      current: readSecret(current),
      previous: previous && row.previous_until && { key: readSecret(previous), until: row.previous_until.getTime() },
    };
  };

  return ({ workspaceId, webhookId, revision }) => {
    const name = `${workspaceId}/${webhookId}`;
    const known = kept.get(name);
    if (known && known.revision >= revision) return known.endpoint;
    const endpoint = load(workspaceId, webhookId);
    kept.delete(name);
    if (kept.size >= MAX_KEPT) for (const oldest of kept.keys()) if (kept.delete(oldest)) break;
    kept.set(name, { revision, endpoint });
    const forget = () => void (kept.get(name)?.endpoint === endpoint && kept.delete(name));
    endpoint.then((found) => found ?? forget(), forget);
    return endpoint;
  };
}
