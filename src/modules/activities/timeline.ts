import type { Pool } from 'pg';
import { z } from 'zod';
import type { Auth } from '#src/http/access-token.ts';
import { decodeCursor, pageOf, toPage, type PageQuery } from '#src/http/page.ts';
import { listActivities, type Timeline } from '#src/modules/activities/activities.query.ts';
import { dealsOf } from '#src/modules/activities/activity-sight.ts';

export const ActivityView = z
  .object({
    id: z.uuid(),
    type: z.string(),
    contactId: z.uuid().nullable(),
    dealId: z.uuid().nullable(),
    /** Null for the platform. */
    actorId: z.uuid().nullable(),
    payload: z.record(z.string(), z.unknown()),
    occurredAt: z.iso.datetime(),
  })
  .meta({ id: 'Activity' });
export const TimelinePage = pageOf(ActivityView);

const Place = z.tuple([z.iso.datetime().refine((at) => !at.startsWith('0000')), z.uuid()]);

/**
 * What happened with a contact or a deal that the caller was found to see, the newest first.
 * @throws AppError 400 for a cursor that is none
 */
export async function readTimeline(
  pool: Pool,
  auth: Auth,
  whom: Pick<Timeline, 'contactId' | 'dealId'>,
  { limit, cursor }: z.output<typeof PageQuery>,
) {
  const after = cursor === undefined ? undefined : decodeCursor(cursor, Place);
  const asked = { ...whom, dealsOf: dealsOf(auth), after, limit: limit + 1 };
  const rows = await listActivities(pool, auth.workspaceId, asked);
  return toPage(
    rows,
    limit,
    ({ sortKey, id }) => [sortKey, id],
    (row) => row,
  );
}
