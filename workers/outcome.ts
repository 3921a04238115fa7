import { AppError, toProblem, type Problem } from '#src/errors.ts';
import type { QueueContract } from '#queues/define.ts';
import type { ClaimedJob } from '#src/modules/jobs/job.row.ts';
import { Stop } from '#workers/stop.ts';

/** A job may start this many times beyond its attempts before it is given up: drains and busy providers cost no attempt, but not for ever. */
const SPARE_STARTS = 20;

/**
 * What becomes of an attempt that did not complete; `abandoned` when the job is another worker's by now. `isByClient`: it was the client who had
 * it end, by a cancel or by the time it gave the job.
 */
export type Outcome =
  | { kind: 'failed' | 'cancelled'; problem: Problem; isByClient?: boolean }
  | { kind: 'retrying'; delayMs: number; isFailure: boolean; reason: string }
  | { kind: 'abandoned' };

export const cancelledProblem = (): Problem =>
  toProblem(new AppError(499, 'cancelled', 'The job was cancelled on request.'));

/**
 * Full jitter with a cap (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
 * @param failures how many attempts have failed, or met a busy provider, from 1.
 * @param random 0..1, injectable for tests.
 * @returns milliseconds; never below `retryAfterMs`, where the other side asked for it.
 */
export function backoffMs(
  retry: QueueContract['retry'],
  failures: number,
  retryAfterMs: number | undefined,
  random = Math.random(),
): number {
  const ceiling = Math.min(retry.capMs, retry.baseMs * 2 ** (failures - 1));
  const jitter = Math.round(random * ceiling);
  return retryAfterMs === undefined ? jitter : Math.max(jitter, retryAfterMs + Math.round(jitter / 10));
}

type Starts = Pick<ClaimedJob, 'attempt' | 'maxAttempts' | 'failures'>;

/** @returns whether a job has started too often to be run once more: its worker keeps dying. */
export const isStartedTooOften = (job: Starts): boolean => job.attempt > job.maxAttempts + SPARE_STARTS;

const hasNoStartLeft = (job: Starts): boolean => job.attempt >= job.maxAttempts + SPARE_STARTS;

/** @returns whether a failure of this start ends the job, because its attempts or its starts are used up. */
export const isFinal = (job: Starts): boolean => job.failures + 1 >= job.maxAttempts || hasNoStartLeft(job);

/** The clock of a client's bound may be a millisecond early. */
const TIMER_SLACK_MS = 2;

const isUsedUp = ({ options: { timeoutMs } }: Pick<ClaimedJob, 'options'>, timeLeftMs: number): boolean =>
  timeoutMs !== undefined && timeLeftMs < TIMER_SLACK_MS;

function timedOut(job: Pick<ClaimedJob, 'options'>, timeLeftMs: number): AppError {
  const isClients = isUsedUp(job, timeLeftMs);
  return new AppError(
    504,
    'timed_out',
    isClients
      ? `The job was not done within the ${job.options.timeoutMs} ms of options.timeoutMs, counted from its first start.`
      : 'The job took longer than it may.',
    { retry: isClients ? 'never' : 'later' },
  );
}

/**
 * Decides once, from the error alone and the job's counters, what a failed attempt leads to.
 * @param timeLeftMs of the time the client gave the job; what could only begin after it is not tried
 */
export function classify(
  error: unknown,
  job: ClaimedJob,
  retry: QueueContract['retry'],
  timeLeftMs = Infinity,
): Outcome {
  if (error instanceof Stop) {
    if (error.reason === 'lease_lost') return { kind: 'abandoned' };
    if (error.reason === 'cancelled') return { kind: 'cancelled', problem: cancelledProblem(), isByClient: true };
    if (error.reason === 'drain') return { kind: 'retrying', delayMs: 0, isFailure: false, reason: 'drain' };
  }
  const known =
    error instanceof Stop
      ? timedOut(job, timeLeftMs)
      : error instanceof AppError
        ? error
        : new AppError(500, 'internal', 'Something went wrong on our side.', { retry: 'later', cause: error });
  const isBusy = known.retry === 'delay';
  const isLast = isBusy ? hasNoStartLeft(job) : isFinal(job);
  const isByClient = error instanceof Stop && isUsedUp(job, timeLeftMs);
  if (known.retry === 'never' || isLast) return { kind: 'failed', problem: toProblem(known), isByClient };
  // A provider that stays busy is asked ever less often: its "at once" would use up all starts within seconds.
  const times = isBusy ? job.attempt - job.failures : job.failures + 1;
  const delayMs = backoffMs(retry, times, known.retryAfterMs);
  if (delayMs >= timeLeftMs) return { kind: 'failed', problem: toProblem(known) };
  return { kind: 'retrying', delayMs, isFailure: !isBusy, reason: known.code };
}
