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
  /** Of interest only while somebody watches: never to webhooks. */
  isLiveOnly?: true;
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

const Contact = z.object({ contactId: z.uuid(), ownerId: z.uuid().nullable() });
const Deal = z.object({ dealId: z.uuid(), contactId: z.uuid().nullable(), ownerId: z.uuid().nullable() });
const Message = z.object({
  messageId: z.uuid(),
  conversationId: z.uuid(),
  contactId: z.uuid(),
  ownerId: z.uuid().nullable(),
});
const Task = z.object({
  taskId: z.uuid(),
  contactId: z.uuid().nullable(),
  dealId: z.uuid().nullable(),
  ownerId: z.uuid().nullable(),
});

/**
 * Every domain event there is, by type: `resource.past_verb`. What an event says is what subscribers see, so fields are only ever added;
 * what must change otherwise is a new version (see src/modules/webhooks).
 */
export const EVENTS = {
  'ai.job.completed': event('jobs:read', 'An AI job ended with a result; read it at /api/jobs/{jobId}', EndedJob),
  'ai.job.failed': event('jobs:read', 'An AI job ended without a result', EndedJob),
  'ai.job.cancelled': event('jobs:read', 'An AI job was cancelled', EndedJob),
  // What these are about is named and not told: who may read it reads it, and a webhook's log holds nothing of people. `ownerId` is who looks after
  // it, for members who see their own alone.
  'contact.created': event('contacts:read', 'A contact was made, by hand, import, message or key', Contact),
  'contact.updated': event(
    'contacts:read',
    'Fields of a contact changed',
    Contact.extend({ changed: z.array(z.string()) }),
  ),
  'contact.deleted': event('contacts:read', 'A contact was put into the bin', Contact),
  'contact.restored': event('contacts:read', 'A contact came back: out of the bin, or out of a merge', Contact),
  'contact.merged': event(
    'contacts:read',
    'Two contacts became one; the other id goes on to lead to it',
    Contact.extend({ mergedId: z.uuid() }),
  ),
  'contact.erased': event('contacts:read', 'All that was known of a contact was erased', Contact),
  'contact.opted_out': event('contacts:read', 'A contact wants no more marketing messages', Contact),
  'contact.opted_in': event('contacts:read', 'A contact allowed marketing messages', Contact),
  'contact.scored': event(
    'contacts:read',
    "A contact's lead score changed",
    Contact.extend({ score: z.int(), before: z.int().nullable() }),
  ),
  'import.completed': event(
    'contacts:read',
    'An import of contacts ended, completed or not',
    z.object({
      importId: z.uuid(),
      status: z.enum(['completed', 'failed', 'cancelled']),
      counts: z.record(z.string(), z.int()),
    }),
  ),
  'operation.progressed': {
    ...event(
      'contacts:read',
      'How far an operation over many rows is, once a second at most, and its end; read it at /api/operations/{operationId}',
      z.object({
        operationId: z.uuid(),
        kind: z.string(),
        status: z.enum(['queued', 'active', 'completed', 'failed', 'cancelled']),
        done: z.int(),
        total: z.int().nullable(),
        counts: z.record(z.string(), z.int()),
      }),
    ),
    isLiveOnly: true,
  },
  'deal.created': event('deals:read', 'A deal was made', Deal),
  'deal.updated': event('deals:read', 'Fields of a deal changed', Deal.extend({ changed: z.array(z.string()) })),
  'deal.moved': event(
    'deals:read',
    'A deal went to another stage',
    Deal.extend({ pipelineId: z.uuid(), fromStageId: z.uuid(), toStageId: z.uuid() }),
  ),
  'deal.won': event('deals:read', 'A deal was won', Deal),
  'deal.lost': event('deals:read', 'A deal was lost', Deal),
  'deal.reopened': event('deals:read', 'A deal that was won or lost is open again', Deal),
  'deal.deleted': event('deals:read', 'A deal was deleted', Deal),
  'task.created': event('tasks:read', 'A task was made; of a recurring one, its next turn', Task),
  'task.due': event('tasks:read', "A task's reminder is due", Task),
  'task.completed': event('tasks:read', 'A task was done', Task),
  'message.received': event('messages:read', 'A contact wrote; read it at /api/messages/{messageId}', Message),
  'message.sent': event(
    'messages:read',
    'A message to a contact was sent; of campaigns, their own events tell',
    Message,
  ),
  'message.status': event(
    'messages:read',
    'A message was delivered or read, or failed; of campaigns, their own events tell',
    Message.extend({ status: z.enum(['sent', 'delivered', 'read', 'failed']) }),
  ),
  'campaign.started': event(
    'campaigns:read',
    'The recipients of a campaign are chosen, and it began',
    z.object({ campaignId: z.uuid(), total: z.int() }),
  ),
  'campaign.paused': event(
    'campaigns:read',
    'A campaign was paused, by somebody (by_hand) or by itself',
    z.object({
      campaignId: z.uuid(),
      reason: z.enum(['by_hand', 'unknown_in_a_row', 'failures_in_a_row', 'template_refused']),
    }),
  ),
  'campaign.completed': event(
    'campaigns:read',
    'Nothing of a campaign is left to be sent',
    z.object({ campaignId: z.uuid(), status: z.enum(['completed', 'completed_with_unknown']) }),
  ),
  'campaign.item.unknown': event(
    'campaigns:read',
    'Nobody knows whether a message of a campaign arrived; it is not sent again unless somebody says so',
    z.object({ campaignId: z.uuid(), itemId: z.uuid(), contactId: z.uuid().nullable() }),
  ),
  'channel.state_changed': event(
    'campaigns:read',
    'A channel was stopped, by somebody (by_hand) or by itself, or goes on',
    z.object({ channelId: z.uuid(), state: z.enum(['active', 'paused']), reason: z.string().nullable() }),
  ),
  'campaign.progressed': {
    ...event(
      'campaigns:read',
      'How far a campaign is, once a second at most',
      z.object({ campaignId: z.uuid(), counters: z.record(z.string(), z.int()) }),
    ),
    isLiveOnly: true,
  },
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
  'billing.plan_changed': event(
    'workspace:read',
    'The workspace has another plan, or other limits: by its licence or its subscription, or because neither is left',
    z.object({
      from: z.enum(['free', 'starter', 'pro', 'enterprise']),
      to: z.enum(['free', 'starter', 'pro', 'enterprise']),
      source: z.enum(['license', 'subscription']).nullable(),
      reason: z.string(),
    }),
  ),
  'license.expiring': event(
    'billing:read',
    "The workspace's licence ends within a week (soon), or has ended and goes on until graceUntil (grace)",
    z.object({
      licenseId: z.uuid(),
      plan: z.enum(['free', 'starter', 'pro', 'enterprise']),
      phase: z.enum(['soon', 'grace']),
      expiresAt: z.iso.datetime(),
      graceUntil: z.iso.datetime(),
    }),
  ),
  'credits.low': event(
    'credits:read',
    'The credits fell below the mark of the setting credits.lowAt; once, until they have been above it',
    z.object({ remaining: z.number(), lowAt: z.number() }),
  ),
  'credits.exhausted': event(
    'credits:read',
    'A job was refused because the credits do not pay for it, or none are left; once, until some are added',
    z.object({ remaining: z.number() }),
  ),
  'credits.unbalanced': event(
    'credits:read',
    "The workspace's credits do not add up; operators are told, nothing has to be done",
    z.object({ invariant: z.string() }),
  ),
  'billing.subscription_changed': event(
    'billing:read',
    'A subscription began, was paid, became overdue, changed its plan or ended; read it at /api/billing/subscription',
    z.object({
      subscriptionId: z.uuid(),
      plan: z.enum(['free', 'starter', 'pro', 'enterprise']),
      status: z.enum(['incomplete', 'trialing', 'active', 'past_due', 'canceled']),
      /** What it gives now. */
      givenPlan: z.enum(['free', 'starter', 'pro', 'enterprise']),
      cancelAt: z.string().nullable(),
    }),
  ),
  'billing.past_due': event(
    'billing:read',
    'A payment is overdue; without it the plan is gone after graceUntil',
    z.object({ subscriptionId: z.uuid(), graceUntil: z.string() }),
  ),
  'billing.invoice_due': event(
    'billing:read',
    'An invoice is to be paid soon; read it at /api/billing/invoices/{invoiceId}',
    z.object({ invoiceId: z.uuid(), amountMinor: z.int(), currency: z.string(), dueAt: z.string().nullable() }),
  ),
  'billing.invoice_paid': event(
    'billing:read',
    'An invoice was paid, and gave these credits',
    z.object({ invoiceId: z.uuid(), amountMinor: z.int(), currency: z.string(), credits: z.number() }),
  ),
  'billing.invoice_held': event(
    'billing:read',
    'An invoice was paid, but not as its plan is, and gave nothing: the operator looks at it',
    z.object({ invoiceId: z.uuid(), reason: z.enum(['amount', 'price', 'subscription']) }),
  ),
  'billing.payment_failed': event(
    'billing:read',
    'An invoice could not be collected',
    z.object({ invoiceId: z.uuid(), nextAttemptAt: z.string().nullable() }),
  ),
  'billing.disputed': event(
    'billing:read',
    "The payer's bank asks an invoice's payment back: its credits were taken back as far as they were there, until it is decided (won: they are there again)",
    z.object({
      invoiceId: z.uuid(),
      disputeId: z.uuid(),
      status: z.enum(['open', 'won', 'lost']),
      amountMinor: z.int(),
      currency: z.string(),
      creditsReversed: z.number(),
      creditsUncollected: z.number(),
    }),
  ),
  'billing.refunded': event(
    'billing:read',
    'An invoice was given back, all of it or a part; its credits were taken back as far as they were there. Less than before: a refund came to nothing, and they are there again',
    z.object({
      invoiceId: z.uuid(),
      refundedMinor: z.int(),
      creditsReversed: z.number(),
      creditsUncollected: z.number(),
    }),
  ),
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

/** Whether an event is told only to those who watch. */
export const isLiveOnly = (type: EventType): boolean => Object.hasOwn(EVENTS[type], 'isLiveOnly');

export function isEventType(type: string): type is EventType {
  return Object.hasOwn(EVENTS, type);
}
