import { z } from 'zod';
import type { Consumer } from '#src/events/relay.ts';
import type { StoredEvent } from '#src/events/relay.query.ts';
import { notify, type Notice } from '#src/modules/notifications/notify.ts';

type Told = Pick<Notice, 'kind' | 'to'> | undefined;

const Member = z.object({ userId: z.uuid() });
const Job = z.object({ engine: z.string() });

/** Who is told about a member: themselves, unless they did it. */
const concerned =
  (kind: 'member.changed' | 'member.removed') =>
  (event: StoredEvent): Told => {
    const { userId } = Member.parse(event.data);
    return userId === event.actorId ? undefined : { kind, to: { userId } };
  };

/** Who hears of which event. What is not here, nobody is told of. */
const AUDIENCES: Record<string, (event: StoredEvent) => Told> = {
  'member.joined': ({ actorId }) => ({ kind: 'member.joined', to: { adminsBut: actorId } }),
  'member.changed': concerned('member.changed'),
  'member.removed': concerned('member.removed'),
  'credits.low': () => ({ kind: 'credits.low', to: { adminsBut: null } }),
  'credits.exhausted': () => ({ kind: 'credits.exhausted', to: { adminsBut: null } }),
  'billing.invoice_due': () => ({ kind: 'billing.invoice_due', to: { adminsBut: null } }),
  'billing.payment_failed': () => ({ kind: 'billing.payment_failed', to: { adminsBut: null } }),
  'billing.past_due': () => ({ kind: 'billing.past_due', to: { adminsBut: null } }),
  'billing.disputed': () => ({ kind: 'billing.disputed', to: { adminsBut: null } }),
  'license.expiring': () => ({ kind: 'license.expiring', to: { adminsBut: null } }),
  'billing.plan_changed': ({ actorId }) => ({ kind: 'billing.plan_changed', to: { adminsBut: actorId } }),
  'webhook.disabled': () => ({ kind: 'webhook.disabled', to: { adminsBut: null } }),
  'ai.job.failed': ({ actorId }) => submitter('ai.job.failed', actorId),
  'ai.job.completed': ({ actorId, data }) =>
    Job.parse(data).engine === 'batch' ? submitter('batch.ended', actorId) : undefined,
};

const submitter = (kind: 'ai.job.failed' | 'batch.ended', userId: string | null): Told =>
  userId === null ? undefined : { kind, to: { userId } };

/** Makes notifications of events: in the transaction that moves its cursor, so exactly once. */
export const createNotificationConsumer = (appSecret: string): Consumer => ({
  name: 'notifications',
  async handle(tx, events) {
    const notices = events.flatMap((event): Notice[] => {
      const told = AUDIENCES[event.type]?.(event);
      return told ? [{ ...told, workspaceId: event.workspaceId, sourceId: event.id, data: event.data }] : [];
    });
    await notify(tx, appSecret, notices);
  },
});
