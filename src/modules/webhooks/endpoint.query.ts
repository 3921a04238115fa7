import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';

export interface EndpointRow {
  url: string;
  payload_version: string;
  secrets: Buffer;
  previous_until: Date | null;
  revision: number;
}

/** An endpoint as those who deliver need it. */
export async function findEndpoint(pool: Pool, workspaceId: string, id: string): Promise<EndpointRow | undefined> {
  const { rows } = await queryAs<EndpointRow>(
    pool,
    { workspaceId },
    {
      name: 'webhook-endpoint',
      text: 'select url, payload_version, secrets, previous_until, revision from webhook where workspace_id = $1 and id = $2',
      values: [workspaceId, id],
    },
  );
  return rows[0];
}
