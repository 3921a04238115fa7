import { aiInference } from '#queues/ai-inference.ts';
import { analytics } from '#queues/analytics.ts';
import { bulkOperations } from '#queues/bulk-operations.ts';
import { campaigns } from '#queues/campaigns.ts';
import { leadScoring } from '#queues/lead-scoring.ts';
import { notifications } from '#queues/notifications.ts';
import { sentiment } from '#queues/sentiment.ts';
import { webhooks } from '#queues/webhooks.ts';

/** All queues there are. Workers, Bull Board, metrics and health read this list. */
export const queues = [
  aiInference,
  sentiment,
  leadScoring,
  webhooks,
  notifications,
  analytics,
  bulkOperations,
  campaigns,
] as const;

export type QueueName = (typeof queues)[number]['name'];
