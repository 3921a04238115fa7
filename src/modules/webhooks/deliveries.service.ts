import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Runtime } from '#src/runtime.ts';
import { badRequest, conflict, notFound } from '#src/errors.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { EVENT_TYPES } from '#src/events/catalog.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { decodeCursor, toPage } from '#src/http/page.ts';
import { appendAudit, type Actor } from '#src/modules/audit/audit.ts';
import {
  findDeliveries,
  findDelivery,
  insertReplay,
  insertTest,
  retryDelivery,
  type DeliveryDetailRow,
  type DeliveryFilter,
  type DeliveryRow,
} from '#src/modules/webhooks/deliveries.query.ts';
import type { DeliveryDetailView, DeliveryView, ReplayBody } from '#src/modules/webhooks/deliveries.schemas.ts';
import { bodyOf } from '#src/modules/webhooks/payload.ts';
import { LANES } from '#src/modules/webhooks/step.query.ts';
import { isAddressed, patternsOf } from '#src/modules/webhooks/subscription.ts';
import { wake, type DeliveryKey } from '#src/modules/webhooks/wake.ts';
import { lockWebhook, type WebhookKey } from '#src/modules/webhooks/webhooks.query.ts';
import { mustFind } from '#src/modules/webhooks/webhooks.service.ts';

type Needs = Pick<Runtime, 'orm' | 'producer' | 'log'>;

/** Deliveries that one replay makes at most. */
const MAX_REPLAY = 10_000;
/** An event's id is made before its transaction, its time is the transaction's: they can be this far apart. */
const ID_SLACK_MS = 3_600_000;
const LOOK_EVERY_MS = 100;

const viewOf = (row: DeliveryRow): DeliveryView => ({
  id: row.id,
  webhookId: row.webhook_id,
  eventId: row.event_id,
  type: row.event_type,
  cause: row.cause,
  sequence: row.seq,
  status: row.status,
  attempts: row.attempts,
  nextAttemptAt: row.status === 'sending' ? null : row.next_attempt_at,
  responseStatus: row.response_status,
  responseSnippet: row.response_snippet,
  durationMs: row.duration_ms,
  error: row.error,
  createdAt: row.created_at,
  finishedAt: row.finished_at,
});

const detailOf = (row: DeliveryDetailRow, workspaceId: string, version: string): DeliveryDetailView => ({
  ...viewOf(row),
  tries: row.attempt_log,
  body:
    row.data === null || row.occurred_at === null
      ? null
      : bodyOf({
          type: row.event_type,
          timestamp: row.occurred_at,
          workspaceId,
          version,
          sequence: row.seq,
          data: JSON.parse(row.data) as unknown,
        }),
});

/** One page of an endpoint's deliveries, the newest first. @throws AppError 404 */
export async function listDeliveries(
  { orm }: Needs,
  key: WebhookKey,
  { cursor, limit, ...filter }: Omit<DeliveryFilter, 'before'> & { cursor: string | undefined },
) {
  const before = cursor === undefined ? undefined : decodeCursor(cursor, z.tuple([z.uuid()]))[0];
  const rows = await inWorkspaceTx(orm, { workspaceId: key.workspaceId }, async (em) => {
    await mustFind(em, key);
    return findDeliveries(em, key, { ...filter, before, limit: limit + 1 });
  });
  return toPage(rows, limit, (row) => [row.id], viewOf);
}

/** One delivery, with its tries and its body. @throws AppError 404 */
export function readDelivery({ orm }: Needs, key: WebhookKey, deliveryId: string): Promise<DeliveryDetailView> {
  return inWorkspaceTx(orm, { workspaceId: key.workspaceId }, async (em) => {
    const webhook = await mustFind(em, key);
    const row = await findDelivery(em, key, deliveryId);
    if (!row) throw notFound('The delivery');
    return detailOf(row, key.workspaceId, webhook.payload_version);
  });
}

/**
 * Delivers one again, at once.
 * @throws AppError 404; 409 `webhook_disabled`, `delivery_under_way`, or `event_gone` when what it says is no longer kept
 */
export async function retry(rt: Needs, key: WebhookKey, deliveryId: string, actor: Actor): Promise<DeliveryDetailView> {
  const view = await inWorkspaceTx(rt.orm, { workspaceId: key.workspaceId }, async (em) => {
    const webhook = await mustFind(em, key, lockWebhook);
    const row = await findDelivery(em, key, deliveryId);
    if (!row) throw notFound('The delivery');
    if (webhook.status === 'disabled') throw disabled();
    if (row.data === null) throw conflict('event_gone', 'The event of this delivery is no longer kept.');
    if (!(await retryDelivery(em, key, deliveryId)))
      throw conflict('delivery_under_way', 'The delivery is being tried right now.');
    const target = { type: 'webhook_delivery', id: deliveryId };
    await appendAudit(em, actor, { action: 'webhook.delivery_retried', target, before: { status: row.status } });
    const retried = await findDelivery(em, key, deliveryId);
    return detailOf(retried ?? row, key.workspaceId, webhook.payload_version);
  });
  await wakeSoon(rt, [{ workspaceId: key.workspaceId, id: deliveryId }]);
  return view;
}

/** Tells an endpoint once more what has happened, each event with the `webhook-id` it had. @returns how many deliveries were made */
export async function replay(rt: Needs, key: WebhookKey, body: ReplayBody, actor: Actor): Promise<number> {
  const from = Date.parse(body.from);
  const to = body.to === undefined ? Date.now() : Date.parse(body.to);
  const { count, first } = await inWorkspaceTx(rt.orm, { workspaceId: key.workspaceId }, async (em) => {
    const webhook = await mustFind(em, key, lockWebhook);
    if (webhook.status === 'disabled') throw disabled();
    const types = EVENT_TYPES.filter(
      (type) =>
        !isAddressed(type) && isMeant(type, webhook.events) && (body.types === undefined || isMeant(type, body.types)),
    );
    const range = {
      from: new Date(from).toISOString(),
      to: new Date(to).toISOString(),
      lowest: idAt(from - ID_SLACK_MS, '0'),
      highest: idAt(to + ID_SLACK_MS, 'f'),
      types,
    };
    const made = await insertReplay(em, key, range, { limit: MAX_REPLAY, shown: LANES });
    if (made.count > MAX_REPLAY) throw tooMany();
    const after = { from: range.from, to: range.to, types: body.types ?? null, deliveries: made.count };
    await appendAudit(em, actor, { action: 'webhook.replayed', target: { type: 'webhook', id: key.id }, after });
    return made;
  });
  await wakeSoon(rt, first);
  return count;
}

/**
 * Sends an endpoint an event of no meaning, at once and once only, also while it is turned off or failing.
 * @param waitMs how long to wait for what comes of it
 */
export async function tryOut(rt: Needs, key: WebhookKey, actor: Actor, waitMs: number): Promise<DeliveryDetailView> {
  const deliveryId = await inWorkspaceTx(rt.orm, { workspaceId: key.workspaceId }, async (em) => {
    await mustFind(em, key);
    const data = { webhookId: key.id };
    const actorId = actor.kind === 'session' ? actor.id : null;
    const eventId = await emitEvent(em, { type: 'webhook.test', data, subjectId: key.id, actorId });
    return insertTest(em, key, eventId, 'webhook.test');
  });
  await wakeSoon(rt, [{ workspaceId: key.workspaceId, id: deliveryId }]);
  const giveUpAt = performance.now() + waitMs;
  for (;;) {
    const view = await readDelivery(rt, key, deliveryId);
    if (view.finishedAt !== null || performance.now() >= giveUpAt) return view;
    await sleep(LOOK_EVERY_MS);
  }
}

/** Redis being away is no reason to fail: the sweep wakes what is due. */
async function wakeSoon({ producer, log }: Needs, deliveries: DeliveryKey[]): Promise<void> {
  if (deliveries.length === 0) return;
  await wake(producer, deliveries).catch((error: unknown) => log.debug({ err: error }, 'Left to the sweep'));
}

/** Whether a type falls under one of some subscriptions. */
const isMeant = (type: string, names: readonly string[]): boolean =>
  patternsOf(type).some((name) => names.includes(name));

const disabled = () => conflict('webhook_disabled', 'The webhook is turned off; enable it first.');

const tooMany = () => {
  const message = `must not hold more than ${MAX_REPLAY} events; ask for a part of it`;
  return badRequest('too_many_events', `The range ${message}.`, [{ path: 'from', code: 'too_many_events', message }]);
};

/** The lowest or highest UUID of version 7 that could have been made at a time. @param filler '0' or 'f' */
function idAt(ms: number, filler: '0' | 'f'): string {
  const hex = Math.max(0, ms).toString(16).padStart(12, '0').padEnd(32, filler);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
