import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { QueueContract } from '#queues/define.ts';
import type { JobRef } from '#queues/job-ref.ts';
import type { Metrics } from '#src/lib/metrics.ts';
import type { ClaimRequest, Claim } from '#src/modules/jobs/claim.query.ts';
import type { Finish, Finished, UsageCall } from '#src/modules/jobs/finish.query.ts';
import { timeLeftMs, toJobView, type ClaimedJob } from '#src/modules/jobs/job.row.ts';
import type { JobUsage } from '#src/modules/jobs/job.schemas.ts';
import type { StreamWriter } from '#src/streams/writer.ts';
import type { Leases, Running } from '#workers/leases.ts';
import { cancelledProblem, classify, isFinal, isStartedTooOften, type Outcome } from '#workers/outcome.ts';
import type { Run } from '#workers/pool.ts';
import { Stop } from '#workers/stop.ts';
import { AppError } from '#src/errors.ts';

const MICRO_CREDITS = 1_000_000;
const INLINE_VIEW_CHARS = 16 * 1024;
const FINISH_PATIENCE_MS = 5 * 60_000;
/**
 * After an attempt that lost its lease. Its entry is not ended, since the job may be waiting: an end that gave the job back may
 * have been stored though its answer was lost. The next claim tells; where another worker holds the entry, BullMQ refuses this.
 */
const LOOK_AGAIN_MS = 100;

/** One attempt, as a handler sees it. */
export interface Attempt {
  job: ClaimedJob;
  /** Aborts on cancel, deadline, drain and a lost lease; its reason is a `Stop`. */
  signal: AbortSignal;
  log: Logger;
  /** Where the text goes; never waits. */
  output: Pick<StreamWriter, 'started' | 'text' | 'restarted' | 'shownText'>;
  /** No later attempt will follow a failure of this one. */
  isFinal: boolean;
  /** Notes what the answer consumed so far, as the client sees it; a cancelled attempt has its part too. */
  spent(usage: Spent): void;
  /** Books a provider call that ended, in order, also one that failed. The last one is paid for, if the client got what it brought. */
  called(call: UsageCall): void;
}

export type Spent = Omit<JobUsage, 'queueMs' | 'latencyMs' | 'credits'>;

/** How a queue's jobs are done: resolves with the result, throws what `classify` understands. */
export type Handler = (attempt: Attempt) => Promise<{ result: unknown }>;

/** What the loop needs of its process. */
export interface JobResources {
  log: Logger;
  metrics: Metrics;
  leases: Leases;
  claim: (request: ClaimRequest) => Promise<Claim>;
  finish: (finish: Finish) => Promise<Finished>;
  openWriter: (jobId: string, attempt: number, onFenced: () => void) => StreamWriter;
}

/** Ends an attempt in Postgres; keeps trying while the database is away, since the result is only here. */
async function finishPatiently(resources: JobResources, finish: Finish, log: Logger): Promise<Finished> {
  const giveUpAt = performance.now() + FINISH_PATIENCE_MS;
  for (let wait = 100; ; wait = Math.min(5000, wait * 2)) {
    try {
      return await resources.finish(finish);
    } catch (error) {
      if (performance.now() > giveUpAt) throw error;
      log.warn({ err: error }, 'The job could not be ended yet');
      await sleep(wait);
    }
  }
}

/** How a pool does the jobs that have a row in `job`: one attempt from claim to end. */
export const createJobRun =
  (contract: QueueContract, handle: Handler, resources: JobResources): Run =>
  (ref) =>
    runJob(contract, handle, resources, ref);

async function runJob(
  contract: QueueContract,
  handle: Handler,
  resources: JobResources,
  ref: JobRef,
): Promise<number | null> {
  const { metrics, leases } = resources;
  const claim = await resources.claim({ workspaceId: ref.workspaceId, id: ref.jobId, leaseToken: randomUUID() });
  if (claim.kind === 'leased') return claim.leaseMs;
  if (claim.kind !== 'claimed') return null;
  const { job } = claim;
  const log = resources.log.child({
    jobId: job.id,
    workspaceId: job.workspaceId,
    requestId: job.requestId,
    attempt: job.attempt,
  });
  metrics.jobWaitSeconds.observe({ queue: contract.name }, job.queueMs / 1000);

  const controller = new AbortController();
  const writer = resources.openWriter(job.id, job.attempt, () => {
    metrics.refusals.inc({ kind: 'stream' });
    controller.abort(new Stop('lease_lost'));
  });
  const running: Running = { workspaceId: job.workspaceId, id: job.id, leaseToken: job.leaseToken, controller, writer };
  leases.hold(running);
  const leftMs = timeLeftMs(job);
  const deadline = setTimeout(
    () => controller.abort(new Stop('deadline')),
    Math.max(0, Math.min(leftMs, contract.timeouts.totalMs)),
  );
  const startedAt = performance.now();
  let usage: Spent | null = null;
  const calls: UsageCall[] = [];
  let result: unknown = null;
  let outcome: Outcome | { kind: 'completed' };
  try {
    if (job.attempt > 1) writer.restarted(job.previously === 'active' ? 'worker_lost' : 'retry');
    if (job.isCancelRequested) throw new Stop('cancelled');
    // Used up while it waited for this attempt.
    if (leftMs <= 0) throw new Stop('deadline');
    if (isStartedTooOften(job)) throw new AppError(500, 'worker_lost', 'The job was started too often without an end.');
    const attempt: Attempt = {
      job,
      signal: controller.signal,
      log,
      output: writer,
      isFinal: isFinal(job),
      spent: (spent) => (usage = spent),
      called: (call) => void calls.push(call),
    };
    ({ result } = await handle(attempt));
    outcome = { kind: 'completed' };
  } catch (error) {
    const cause = controller.signal.aborted ? controller.signal.reason : error;
    outcome = classify(cause, job, contract.retry, leftMs - (performance.now() - startedAt));
    if (!(cause instanceof AppError || cause instanceof Stop)) log.error({ err: cause }, 'The attempt threw');
  } finally {
    clearTimeout(deadline);
  }
  try {
    return await settle({ contract, resources, job, log, writer, startedAt, usage, calls, result, outcome });
  } finally {
    leases.release(running);
  }
}

interface Settling {
  contract: QueueContract;
  resources: JobResources;
  job: ClaimedJob;
  log: Logger;
  writer: StreamWriter;
  startedAt: number;
  usage: Spent | null;
  calls: UsageCall[];
  result: unknown;
  outcome: Outcome | { kind: 'completed' };
}

/**
 * The call the workspace pays: the one that was delivered, or as far as it came when the workspace cancelled it or its time was over, or else
 * whoever sets the time a little too short would read answers for nothing. A failed one only where its answer did not fit and text of it stays
 * with the client, however the job ends behind it, or else whoever asks for a call of a tool that cannot be read behind the text would read that
 * for nothing.
 */
function paidCall({ outcome, calls, writer }: Settling): UsageCall | undefined {
  const last = calls.at(-1);
  // What is shown is of the last call: another one would have taken it back.
  const isByClient = 'isByClient' in outcome && outcome.isByClient === true;
  const isOver = outcome.kind === 'failed' || isByClient;
  if (isOver && last?.failure === 'bad_output' && writer.shownText() !== '') return last;
  const isDelivered = outcome.kind === 'completed' || isByClient;
  return isDelivered && last?.outcome !== 'failed' ? last : undefined;
}

/** Writes the end: first to Postgres, fenced by the lease, then to the stream. */
async function settle(settling: Settling): Promise<number | null> {
  const { contract, resources, job, log, writer, outcome, usage } = settling;
  const latencyMs = Math.round(performance.now() - settling.startedAt);
  resources.metrics.jobRunSeconds.observe({ queue: contract.name, outcome: outcome.kind }, latencyMs / 1000);
  if (outcome.kind === 'abandoned') {
    log.warn('The lease went to another worker; this attempt is dropped');
    return LOOK_AGAIN_MS;
  }
  const paid = paidCall(settling);
  // A micro-credit is a nano-USD. On its own key a workspace pays the provider.
  const charge = paid?.key_owner === 'installation' ? paid.cost_nano : 0;
  const used = outcome.kind === 'completed' || paid ? usage : null;
  const isRetry = outcome.kind === 'retrying';
  const finished = await finishPatiently(
    resources,
    {
      workspaceId: job.workspaceId,
      id: job.id,
      leaseToken: job.leaseToken,
      status: outcome.kind,
      result: outcome.kind === 'completed' ? settling.result : null,
      problem: 'problem' in outcome ? outcome.problem : isRetry ? cancelledProblem() : null,
      streamedText: writer.shownText() || null,
      calls: settling.calls.map((call) => (call === paid ? { ...call, is_paid: true } : call)),
      usage: used && { ...used, credits: charge / MICRO_CREDITS, queueMs: job.queueMs, latencyMs },
      charge,
      delayMs: isRetry ? outcome.delayMs : 0,
      isFailure: isRetry && outcome.isFailure,
    },
    log,
  );
  if (finished.kind === 'refused') {
    resources.metrics.refusals.inc({ kind: 'finish' });
    log.warn('The end was refused: the lease had gone to another worker');
    return LOOK_AGAIN_MS;
  }
  log.info(
    { outcome: outcome.kind, latencyMs, ...('problem' in outcome ? { code: outcome.problem.code } : {}) },
    'Attempt ended',
  );
  const isCancelled = finished.row.status === 'cancelled';
  if (isRetry && !isCancelled) {
    await writer.flushed();
    return outcome.delayMs;
  }
  const view = toJobView(finished.row);
  const isInline = JSON.stringify(view).length <= INLINE_VIEW_CHARS;
  await writer.ended(isRetry ? 'cancelled' : outcome.kind, isInline ? view : null);
  return null;
}
