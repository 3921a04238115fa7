import type { Pool } from 'pg';
import type { Orm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { appendAudit, SYSTEM } from '#src/modules/audit/audit.ts';
import { cancelLeft, findToDisable } from '#src/modules/webhooks/sweep.query.ts';
import {
  CANCEL_AT_ONCE,
  cancelDeliveries,
  lockWebhook,
  setDisabled,
  type WebhookKey,
} from '#src/modules/webhooks/webhooks.query.ts';

const BATCH = 50;

/**
 * Turns endpoints off that the workers have found to be gone or failing for too long; nothing is delivered to them any more. What waits
 * for them, or for one that was deleted, is ended: after days of silence it would come as a flood, and can be replayed.
 * @param orm whose transactions append to the audit log
 * @throws the first error, when all the others were tried
 */
export async function disableWebhooks({ systemPool, orm }: { systemPool: Pool; orm: Orm }): Promise<void> {
  const errors: unknown[] = [];
  for (const { workspaceId, webhookId, reason } of await findToDisable(systemPool, BATCH)) {
    const key = { workspaceId, id: webhookId };
    await disableOne(orm, key, reason === 'gone' ? 'gone' : 'failing').catch((error: unknown) => errors.push(error));
  }
  await cancelLeft(systemPool, CANCEL_AT_ONCE);
  if (errors.length > 0) throw errors[0];
}

function disableOne(orm: Orm, key: WebhookKey, reason: 'gone' | 'failing'): Promise<void> {
  return inWorkspaceTx(orm, { workspaceId: key.workspaceId }, async (em) => {
    const row = await lockWebhook(em, key);
    if (row?.status !== 'active') return;
    await setDisabled(em, key, reason);
    const cancelled = await cancelDeliveries(em, key, 'webhook_disabled');
    const data = { webhookId: key.id, name: row.name, reason };
    await emitEvent(em, { type: 'webhook.disabled', data, subjectId: key.id, actorId: null });
    const before = { failingSince: row.failing_since };
    const after = { reason, cancelledDeliveries: cancelled };
    await appendAudit(em, SYSTEM, {
      action: 'webhook.disabled',
      target: { type: 'webhook', id: key.id },
      before,
      after,
    });
  });
}
