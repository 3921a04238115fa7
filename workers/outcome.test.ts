import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aiInference } from '#queues/ai-inference.ts';
import { ProviderError, type FailureClass } from '#src/ai/model.ts';
import { AppError } from '#src/errors.ts';
import type { ClaimedJob } from '#src/modules/jobs/job.row.ts';
import { backoffMs, classify, isStartedTooOften } from '#workers/outcome.ts';
import { Stop } from '#workers/stop.ts';

const { retry } = aiInference;
const job = (fields: Partial<ClaimedJob> = {}): ClaimedJob => ({
  workspaceId: 'w',
  id: 'j',
  userId: 'u',
  queue: 'ai-inference',
  engine: 'copilot',
  input: {},
  options: {},
  requestId: 'r',
  attempt: 1,
  failures: 0,
  maxAttempts: 3,
  previously: 'queued',
  isCancelRequested: false,
  leaseToken: 't',
  hold: 0,
  queueMs: 0,
  sinceStartMs: 0,
  ...fields,
});

describe('classify', () => {
  it.each<[FailureClass, string, boolean?]>([
    ['transient', 'retrying', true],
    ['overloaded', 'retrying', true],
    ['stream_truncated', 'retrying', true],
    ['timeout', 'retrying', true],
    ['bad_output', 'retrying', true],
    ['rate_limited', 'retrying', false],
    ['quota_exhausted', 'failed'],
    ['auth', 'failed'],
    ['model_gone', 'failed'],
    ['context_overflow', 'failed'],
    ['content_refused', 'failed'],
    ['caller_fault', 'failed'],
  ])('leads %s to %s', (failure, kind, isFailure) => {
    const outcome = classify(new ProviderError('openai', failure, 'no'), job(), retry);
    expect(outcome).toMatchObject(isFailure === undefined ? { kind } : { kind, isFailure });
  });

  it('tries nothing that could only begin after the time the client gave', () => {
    const late = new Stop('deadline');
    expect(classify(late, job({ options: { timeoutMs: 900 } }), retry, 0)).toMatchObject({
      kind: 'failed',
      isByClient: true,
      problem: { code: 'timed_out', detail: expect.stringContaining('900 ms of options.timeoutMs') },
    });
    expect(classify(late, job(), retry)).toMatchObject({ kind: 'retrying' });
    const limited = new ProviderError('openai', 'rate_limited', 'busy', { retryAfterMs: 5000 });
    expect(classify(limited, job(), retry, 4000)).toMatchObject({
      kind: 'failed',
      problem: { code: 'provider_rate_limited' },
    });
    expect(classify(limited, job(), retry, 60_000)).toMatchObject({ kind: 'retrying' });
    expect(classify(new Stop('drain'), job(), retry, -1)).toMatchObject({ kind: 'retrying' });
  });

  it('gives a job up at its last attempt, and an endlessly busy one in the end', () => {
    const error = new ProviderError('openai', 'transient', 'no');
    expect(classify(error, job({ failures: 2 }), retry)).toMatchObject({
      kind: 'failed',
      problem: { code: 'provider_transient', status: 502 },
    });
    const busy = new ProviderError('openai', 'rate_limited', 'busy');
    expect(classify(busy, job({ failures: 2, attempt: 9 }), retry)).toMatchObject({
      kind: 'retrying',
      isFailure: false,
    });
    expect(classify(busy, job({ failures: 2, attempt: 99 }), retry)).toMatchObject({ kind: 'failed' });
    expect(isStartedTooOften(job({ attempt: 99 }))).toBe(true);
  });

  it('does what the one who stopped the attempt wants', () => {
    expect(classify(new Stop('cancelled'), job(), retry)).toMatchObject({
      kind: 'cancelled',
      problem: { code: 'cancelled' },
    });
    expect(classify(new Stop('drain'), job(), retry)).toMatchObject({ kind: 'retrying', delayMs: 0, isFailure: false });
    expect(classify(new Stop('lease_lost'), job(), retry)).toEqual({ kind: 'abandoned' });
    expect(classify(new Stop('deadline'), job({ failures: 2 }), retry)).toMatchObject({
      kind: 'failed',
      isByClient: false,
      problem: { code: 'timed_out' },
    });
  });

  it('shows nothing of an unknown error', () => {
    const outcome = classify(new Error('password=hunter2'), job({ failures: 2 }), retry);
    expect(outcome).toMatchObject({ kind: 'failed', problem: { code: 'internal', status: 500 } });
    expect(JSON.stringify(outcome)).not.toContain('hunter2');
  });
});

describe('backoffMs', () => {
  it('stays below the cap, and never comes before Retry-After', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.option(fc.nat(60_000)),
        (failures, random, after) => {
          const waitMs = backoffMs(retry, failures, after ?? undefined, random);
          const ceiling = Math.min(retry.capMs, retry.baseMs * 2 ** (failures - 1));
          if (after === null) expect(waitMs).toBeLessThanOrEqual(ceiling);
          else {
            expect(waitMs).toBeGreaterThanOrEqual(after);
            expect(waitMs).toBeLessThanOrEqual(Math.max(ceiling, after + ceiling / 10 + 1));
          }
        },
      ),
    );
  });

  it('honours the Retry-After of an AppError', () => {
    const error = new AppError(503, 'busy', 'busy', { retry: 'later', retryAfterMs: 7000 });
    expect(classify(error, job(), retry)).toMatchObject({ kind: 'retrying', isFailure: true });
    expect(classify(error, job(), retry)).toHaveProperty(
      'delayMs',
      expect.toSatisfy((ms: number) => ms >= 7000),
    );
  });
});
