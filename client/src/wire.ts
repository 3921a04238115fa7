import { plainProblem, readProblem } from './errors.ts';
import type { Job, JobEvent, JobStatus } from './types.ts';

/** Any JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const STATUSES = new Set<unknown>(['queued', 'active', 'retrying', 'completed', 'failed', 'cancelled']);

export function isJobStatus(value: unknown): value is JobStatus {
  return STATUSES.has(value);
}

/** Looks only at what this client decides by; the rest of the view is the backend's word. */
function isJob(value: unknown): value is Job & Record<string, unknown> {
  return isObject(value) && typeof value['id'] === 'string' && isJobStatus(value['status']);
}

/** Reads an event of a job off the wire; `undefined` when it is of a kind or shape this client does not know. */
export function readJobEvent(event: string, data: unknown): JobEvent | undefined {
  if (event === 'job.completed') return isJob(data) ? { event, data } : undefined;
  if (!isObject(data) || typeof data['jobId'] !== 'string') return undefined;
  const { jobId, index, delta, reason, provider, model, attempt } = data;
  switch (event) {
    case 'job.queued':
      return { event, data: { jobId } };
    case 'job.started':
      return {
        event,
        data: { jobId, provider: String(provider), model: String(model), attempt: Number(attempt) },
      };
    case 'job.chunk':
      return typeof index === 'number' && typeof delta === 'string'
        ? { event, data: { jobId, index, delta } }
        : undefined;
    case 'job.restarted':
      return { event, data: { jobId, reason: String(reason) } };
    case 'job.failed':
    case 'job.cancelled': {
      const problem = readProblem(data['problem'], 500) ?? plainProblem(500, 'unknown', `The job sent ${event}.`);
      return { event, data: { jobId, problem } };
    }
    default:
      return undefined;
  }
}
