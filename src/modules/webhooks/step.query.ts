import type { Pool } from 'pg';
import { createBatcher } from '#src/db/batch.ts';

/** Deliveries of one endpoint under way at once, in all processes together; one where they are ordered, or its breaker is half open. */
export const LANES = 4;
/**
 * Deliveries that are taken together and made one after the other, where an endpoint has a backlog and works: meanwhile nothing has to be
 * asked of the database.
 */
const BURST = 12;
/** Failures in a row that open an endpoint's breaker, and for how long. */
const OPEN_AFTER = 10;
const OPEN_MS = 30_000;
/** An endpoint at which nothing has succeeded for so long is turned off. */
const GIVE_UP_AFTER = '5 days';
/** A worker that has said nothing for so long is dead. Longer than an attempt can take, and its end be noted. */
export const LEASE_MS = 25_000;

/** A delivery that is this process's to attempt, for `LEASE_MS`. */
export interface Taken {
  workspaceId: string;
  id: string;
  webhookId: string;
  leaseToken: string;
  eventId: string;
  eventType: string;
  cause: 'event' | 'replay' | 'test';
  sequence: number;
  /** This one too. */
  attempts: number;
  /** Null when the event is no longer kept. */
  event: { occurredAt: Date; data: string } | null;
  /** Of the endpoint; it rises with every change. Null when the endpoint is gone. */
  revision: number | null;
}

/** What came of an attempt. */
export interface Done {
  taken: Taken;
  status: 'delivered' | 'pending' | 'failed' | 'cancelled';
  attempts: number;
  /** Until the next attempt, when it is `pending`. */
  delayMs: number;
  responseStatus: number | null;
  snippet: string | null;
  durationMs: number | null;
  error: string | null;
  entry: AttemptEntry | null;
  /** What it says of the endpoint: it works, it does not, or it is gone for good; null says nothing. */
  effect: 'up' | 'down' | 'gone' | null;
}

export interface AttemptEntry {
  at: string;
  responseStatus: number | null;
  durationMs: number;
  error: string | null;
}

/** What to note, and whose next delivery is wanted: of the endpoint of the delivery that was woken for, or of the one just done. */
export interface Step {
  workspaceId: string;
  wake?: string;
  done?: Done;
  take: boolean;
}

export interface Stepped {
  /** False when the attempt's lease had ended, and the delivery is another's. */
  isNoted: boolean;
  taken: Taken[];
}

interface StepRow {
  i: number;
  is_noted: boolean | null;
  workspace_id: string;
  id: string;
  webhook_id: string;
  lease_token: string;
  event_id: string;
  event_type: string;
  cause: Taken['cause'];
  seq: string;
  attempts: number;
  occurred_at: Date | null;
  data: string | null;
  revision: number | null;
}

const toTaken = (row: StepRow): Taken => ({
  workspaceId: row.workspace_id,
  id: row.id,
  webhookId: row.webhook_id,
  leaseToken: row.lease_token,
  eventId: row.event_id,
  eventType: row.event_type,
  cause: row.cause,
  sequence: Number(row.seq),
  attempts: row.attempts,
  event: row.occurred_at && row.data !== null ? { occurredAt: row.occurred_at, data: row.data } : null,
  revision: row.revision,
});

const toItem = ({ workspaceId, wake, done, take }: Step, i: number) => ({
  i,
  workspace: workspaceId,
  wake,
  take,
  ...(done && {
    webhook: done.taken.webhookId,
    delivery: done.taken.id,
    token: done.taken.leaseToken,
    status: done.status,
    attempts: done.attempts,
    delayMs: done.delayMs,
    responseStatus: done.responseStatus,
    snippet: done.snippet,
    durationMs: done.durationMs,
    error: done.error,
    entry: done.entry,
    effect: done.effect,
  }),
});

/**
 * Notes the end of attempts and takes what is next, many in one statement (`webhook_step`): a delivery that follows another costs one
 * round trip and one commit, shared with whatever else ended meanwhile.
 * @param systemPool a batch spans workspaces; each step names its own, from a signed reference or from what was taken before
 */
export function createStep(systemPool: Pool): (step: Step) => Promise<Stepped> {
  return createBatcher<Step, Stepped>({
    max: 200,
    run: async (steps) => {
      const { rows } = await systemPool.query<StepRow>({
        name: 'webhook-step',
        text: 'select * from webhook_step($1, $2, $3, $4, $5, $6, $7)',
        values: [JSON.stringify(steps.map(toItem)), LEASE_MS, LANES, BURST, OPEN_AFTER, OPEN_MS, GIVE_UP_AFTER],
      });
      const stepped = steps.map((): Stepped => ({ isNoted: false, taken: [] }));
      for (const row of rows) {
        const own = stepped[row.i];
        if (row.is_noted && own) own.isNoted = true;
        else own?.taken.push(toTaken(row));
      }
      return stepped.map((value) => ({ value }));
    },
  });
}
