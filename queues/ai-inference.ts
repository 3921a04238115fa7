import { defineQueue } from '#queues/define.ts';
import { JobRef } from '#queues/job-ref.ts';

export const aiInference = defineQueue({
  name: 'ai-inference',
  description:
    'Copilot, smart replies, intent, entities, summaries, translations and chat: text streams to the client while it is made',
  data: JobRef,
  band: 'interactive',
  retry: { attempts: 3, baseMs: 1000, capMs: 20_000 },
  timeouts: { firstContentMs: 15_000, idleMs: 20_000, totalMs: 120_000 },
  concurrency: 100,
  keep: { completed: { age: 3600, count: 2000 }, failed: { age: 86_400, count: 5000 } },
});
