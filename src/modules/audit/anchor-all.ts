import type { Pool } from 'pg';
import type { Config } from '#src/config.ts';
import { createAnchor } from '#src/modules/audit/anchor.ts';
import { findChains } from '#src/modules/audit/audit.query.ts';
import { anchorChain } from '#src/modules/audit/chain.ts';

/**
 * Vouches for every audit log as it is now (see `anchorChain`).
 * @param say gets a line for each
 * @returns whether all fitted together; one that does not is left as it is
 */
export async function anchorAll(
  systemPool: Pool,
  config: Pick<Config, 'APP_SECRET'>,
  say: (line: string) => void,
): Promise<boolean> {
  const auditAnchor = createAnchor(config);
  let isWhole = true;
  for (const id of await findChains(systemPool)) {
    const entries = await anchorChain({ pool: systemPool, auditAnchor }, id);
    say(
      `audit log of ${id}: ${entries === undefined ? 'does not fit together, see GET /api/audit/verify' : `${entries} entries`}`,
    );
    isWhole &&= entries !== undefined;
  }
  return isWhole;
}
