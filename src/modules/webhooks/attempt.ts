import { EgressFailed, EgressRefused, type Egress, type EgressAnswer } from '#src/lib/egress.ts';
import { AppError } from '#src/errors.ts';
import { keysOf, type Endpoint, type ReadEndpoint } from '#src/modules/webhooks/endpoint.ts';
import { bodyOf } from '#src/modules/webhooks/payload.ts';
import { nextDelayMs, retryAfterMs } from '#src/modules/webhooks/schedule.ts';
import { signatureHeaders } from '#src/modules/webhooks/signature.ts';
import type { Done, Taken } from '#src/modules/webhooks/step.query.ts';

const CONNECT_TIMEOUT_MS = 5000;
const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 20_000;
/** Of the answer, for people to look at. */
const SNIPPET_BYTES = 1000;
const USER_AGENT = 'WhatsHybrid-Webhooks/1 (+https://www.standardwebhooks.com)';

export interface AttemptResources {
  egress: Pick<Egress, 'request'>;
  readEndpoint: ReadEndpoint;
}

/** How a delivery's receiver answered, or why it did not. */
type Outcome = { answer: EgressAnswer } | { error: string };

const NOTHING = { delayMs: 0, responseStatus: null, snippet: null, durationMs: null, entry: null, effect: null };

/** An attempt that was given back before it was made, or whose worker is going: it does not count. */
export const givenBack = (taken: Taken): Done => ({
  ...NOTHING,
  taken,
  status: 'pending',
  attempts: taken.attempts - 1,
  error: null,
});

const cancelled = (taken: Taken, error: string): Done => ({
  ...NOTHING,
  taken,
  status: 'cancelled',
  attempts: taken.attempts - 1,
  error,
});

/**
 * Makes one attempt of a delivery and judges it.
 * @param signal aborts when the process is going
 * @throws what the database throws while the endpoint is read; nothing was sent then
 */
export async function attemptDelivery(rt: AttemptResources, taken: Taken, signal: AbortSignal): Promise<Done> {
  const { workspaceId, webhookId, revision, event } = taken;
  if (event === null) return cancelled(taken, 'event_gone');
  if (revision === null) return cancelled(taken, 'webhook_deleted');
  const endpoint = await rt.readEndpoint({ workspaceId, webhookId, revision }).catch((error: unknown) => {
    if (error instanceof AppError && error.code === 'erased') return null;
    throw error;
  });
  if (endpoint === null) return cancelled(taken, 'webhook_deleted');
  const at = Date.now();
  const startedAt = performance.now();
  const outcome = await send(rt.egress, endpoint, { taken, event, at }, signal);
  if (signal.aborted && 'error' in outcome) return givenBack(taken);
  const durationMs = Math.round(performance.now() - startedAt);
  return judge(taken, outcome, { at: new Date(at).toISOString(), durationMs });
}

interface Sending {
  taken: Taken;
  event: NonNullable<Taken['event']>;
  at: number;
}

async function send(
  egress: AttemptResources['egress'],
  endpoint: Endpoint,
  { taken, event, at }: Sending,
  signal: AbortSignal,
): Promise<Outcome> {
  const data: unknown = JSON.parse(event.data);
  const body = bodyOf({
    type: taken.eventType,
    timestamp: event.occurredAt.toISOString(),
    workspaceId: taken.workspaceId,
    version: endpoint.payloadVersion,
    sequence: taken.sequence,
    data,
  });
  try {
    const answer = await egress.request(endpoint.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': USER_AGENT,
        ...signatureHeaders(keysOf(endpoint, at), taken.eventId, Math.floor(at / 1000), body),
      },
      body,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      timeoutMs: TIMEOUT_MS,
      maxBytes: MAX_ANSWER_BYTES,
      signal,
    });
    return { answer };
  } catch (error) {
    if (error instanceof EgressFailed) return { error: error.kind };
    if (error instanceof EgressRefused) return { error: `refused_${error.reason}` };
    throw error;
  }
}

/** @param made when the attempt began, and how long it took */
export function judge(taken: Taken, outcome: Outcome, made: { at: string; durationMs: number }): Done {
  const answer = 'answer' in outcome ? outcome.answer : null;
  const status = answer?.status ?? 0;
  const isUp = status >= 200 && status < 300;
  const isGone = status === 410;
  const error = isUp ? null : 'error' in outcome ? outcome.error : `status_${status}`;
  // A test is for the one who asks for it, and says nothing of the endpoint.
  const isTest = taken.cause === 'test';
  const wait = retryAfterMs(answer?.headers['retry-after']);
  const delayMs = isUp || isGone || isTest ? null : nextDelayMs(taken.attempts, wait);
  const { durationMs } = made;
  const responseStatus = answer && status;
  return {
    taken,
    status: isUp ? 'delivered' : delayMs === null ? 'failed' : 'pending',
    attempts: taken.attempts,
    delayMs: delayMs ?? 0,
    responseStatus,
    snippet: answer && snippetOf(answer.body),
    durationMs,
    error,
    entry: { ...made, responseStatus, error },
    effect: isTest ? null : isUp ? 'up' : isGone ? 'gone' : 'down',
  };
}

/** The beginning of an answer, as text that Postgres can keep. */
const snippetOf = (body: Uint8Array): string =>
  new TextDecoder().decode(body.subarray(0, SNIPPET_BYTES)).replaceAll('\0', '\ufffd');
