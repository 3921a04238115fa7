import type { Pool } from 'pg';
import type { Claim } from '#src/db/claim.ts';
import { queryAs } from '#src/db/tenant.ts';

/** Notes that a request is over, with its answer if that is kept. What was cleared meanwhile stays so. */
export async function endClaim(pool: Pool, claim: Claim, answer: Buffer | null): Promise<void> {
  const { workspaceId, userId, route, key, id } = claim;
  await queryAs(
    pool,
    { workspaceId },
    {
      name: 'idempotency-end',
      text: `update idempotent_request set answer = $6, is_over = true
        where workspace_id = $1 and user_id = $2 and route = $3 and key = $4 and id = $5 and not is_over`,
      values: [workspaceId, userId, route, key, id, answer],
    },
  );
}
