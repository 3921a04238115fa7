import { describe, expect, it } from 'vitest';
import { ProviderError } from '#src/ai/model.ts';
import type { ClaimedJob } from '#src/modules/jobs/job.row.ts';
import { aiInference } from '#queues/ai-inference.ts';
import { backoffMs, classify, isFinal, isStartedTooOften } from '#workers/outcome.ts';

const { retry } = aiInference;
const aJob = (counters: Partial<Pick<ClaimedJob, 'attempt' | 'failures'>>): ClaimedJob => ({
  workspaceId: 'w',
  id: 'j',
  userId: 'u',
  queue: 'ai-inference',
  engine: 'chat',
  input: {},
  options: {},
  requestId: 'r',
  attempt: 1,
  failures: 0,
  maxAttempts: 3,
  previously: 'retrying',
  isCancelRequested: false,
  leaseToken: 't',
  hold: 0,
  queueMs: 0,
  sinceStartMs: 0,
  ...counters,
});
const busy = (retryAfterMs = 0) =>
  new ProviderError('openai', 'rate_limited', 'openai limits our requests.', { retryAfterMs });

describe('a busy provider', () => {
  it('that asks for no wait is not asked at once for ever: the waits grow, and cost no attempt', () => {
    const waits = [1, 3, 6, 20].map((attempt) => {
      const outcomes = Array.from({ length: 400 }, () => classify(busy(), aJob({ attempt }), retry));
      expect(outcomes.every((outcome) => outcome.kind === 'retrying' && !outcome.isFailure)).toBe(true);
      return Math.max(...outcomes.map((outcome) => (outcome.kind === 'retrying' ? outcome.delayMs : 0)));
    });
    expect(waits[0]).toBeLessThanOrEqual(retry.baseMs);
    expect(waits[1]).toBeGreaterThan(retry.baseMs);
    expect(waits[2]).toBeGreaterThan(10 * retry.baseMs);
    expect(waits[3]).toBeLessThanOrEqual(retry.capMs);
  });

  it('is never asked sooner than it said', () => {
    expect(backoffMs(retry, 1, 30_000, 0)).toBe(30_000);
    expect(backoffMs(retry, 10, 30_000, 1)).toBe(32_000);
    expect(backoffMs(retry, 10, 100, 1)).toBe(20_000);
  });

  it('has the last start answered by rules where there are any, and else ends the job with its own reason', () => {
    const beforeLast = aJob({ attempt: 22 });
    expect(isFinal(beforeLast)).toBe(false);
    expect(classify(busy(), beforeLast, retry)).toMatchObject({ kind: 'retrying', isFailure: false });
    const last = aJob({ attempt: 23 });
    expect(isFinal(last)).toBe(true);
    expect(isStartedTooOften(last)).toBe(false);
    expect(classify(busy(), last, retry)).toMatchObject({
      kind: 'failed',
      problem: { code: 'provider_rate_limited', status: 503 },
    });
  });
});
