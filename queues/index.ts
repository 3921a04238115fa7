import { aiInference } from '#queues/ai-inference.ts';
import { leadScoring } from '#queues/lead-scoring.ts';
import { notifications } from '#queues/notifications.ts';
import { sentiment } from '#queues/sentiment.ts';

/** All queues there are. Workers, Bull Board, metrics and health read this list. */
export const queues = [aiInference, sentiment, leadScoring, notifications] as const;

export type QueueName = (typeof queues)[number]['name'];
