import { z } from 'zod';
import type { Permission } from '#src/http/permissions.ts';

/** A kind of domain event: what it says, and what it takes to see it. */
export interface EventDefinition<Data extends z.ZodType = z.ZodType> {
  description: string;
  /** What a member or key needs to get it on the socket. */
  permission: Permission;
  data: Data;
  /**
   * Only for the person that `data.recipientId` names: on the socket to them alone, whoever else has the permission, and never to webhooks.
   */
  isPersonal?: true;
}

const event = <Data extends z.ZodType>(permission: Permission, description: string, data: Data) => ({
  description,
  permission,
  data,
});

const role = z.enum(['owner', 'admin', 'member', 'viewer']);

const EndedJob = z.object({
  jobId: z.uuid(),
  engine: z.string(),
  status: z.enum(['completed', 'failed', 'cancelled']),
  attempts: z.int(),
  /** The `code` of its problem, for jobs that did not complete. */
  problemCode: z.string().nullable(),
  usage: z
    .object({
      provider: z.string().nullable(),
      model: z.string().nullable(),
      inputTokens: z.number().nullable(),
      outputTokens: z.number().nullable(),
      costUsd: z.number().nullable(),
      credits: z.number().nullable(),
      latencyMs: z.number().nullable(),
      degraded: z.boolean().nullable(),
    })
    .nullable(),
});

/**
 * Every domain event there is, by type: `resource.past_verb`. What an event says is what subscribers see, so fields are only ever added;
 * what must change otherwise is a new version (see src/modules/webhooks).
 */
export const EVENTS = {
  'ai.job.completed': event('jobs:read', 'An AI job ended with a result; read it at /api/jobs/{jobId}', EndedJob),
  'ai.job.failed': event('jobs:read', 'An AI job ended without a result', EndedJob),
  'ai.job.cancelled': event('jobs:read', 'An AI job was cancelled', EndedJob),
  'member.joined': event('members:read', 'Somebody accepted an invitation', z.object({ userId: z.uuid(), role })),
  'member.changed': event('members:read', "A member's role or rights changed", z.object({ userId: z.uuid(), role })),
  'member.removed': event('members:read', 'A member left or was taken out', z.object({ userId: z.uuid(), role })),
  'workspace.changed': event(
    'workspace:read',
    "The workspace's name, time zone or the like changed",
    z.object({ changed: z.array(z.string()) }),
  ),
  'notification.created': {
    ...event(
      'workspace:read',
      'You were told of something; read it at /api/notifications',
      z.object({ notificationId: z.uuid(), kind: z.string(), recipientId: z.uuid() }),
    ),
    isPersonal: true,
  },
  'webhook.disabled': event(
    'webhooks:read',
    'A webhook was turned off: its address answered 410 (gone), or every delivery had failed for five days (failing)',
    z.object({ webhookId: z.uuid(), name: z.string(), reason: z.enum(['gone', 'failing']) }),
  ),
  'webhook.test': event(
    'webhooks:read',
    'Somebody tries a webhook out; it goes to that webhook alone',
    z.object({ webhookId: z.uuid() }),
  ),
} as const satisfies Record<string, EventDefinition>;

export type EventType = keyof typeof EVENTS;
export type EventData<Type extends EventType> = z.output<(typeof EVENTS)[Type]['data']>;

/** The types of all events, in the order of the catalogue. */
export const EVENT_TYPES = Object.keys(EVENTS).filter(isEventType);

/** Whether an event is for one person alone (`data.recipientId`). */
export const isPersonal = (type: EventType): boolean => Object.hasOwn(EVENTS[type], 'isPersonal');

export function isEventType(type: string): type is EventType {
  return Object.hasOwn(EVENTS, type);
}
