import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';

/** The purpose of the key that signs references; both ends derive it from the installation's secret. */
export const JOB_REF_KEY = 'job-ref.v1';

/** Stands for the workspace in references to what belongs to none, such as mails (RFC 9562, the nil UUID). */
export const NO_WORKSPACE = '00000000-0000-0000-0000-000000000000';

/**
 * A job as BullMQ carries it: the key of its row, nothing else. Signed, because a worker works for the workspace it names:
 * whoever can write to Redis alone must not choose it.
 */
export const JobRef = z.strictObject({ workspaceId: z.uuid(), jobId: z.uuid(), mac: z.base64url().length(22) });
export type JobRef = z.infer<typeof JobRef>;

type Key = Uint8Array;

function macOf(key: Key, workspaceId: string, jobId: string): string {
  return createHmac('sha256', key).update(`${workspaceId}|${jobId}`).digest().subarray(0, 16).toString('base64url');
}

/** @returns the reference as it may be put into a queue */
export function signJobRef(key: Key, { workspaceId, jobId }: Omit<JobRef, 'mac'>): JobRef {
  return { workspaceId, jobId, mac: macOf(key, workspaceId, jobId) };
}

/** @returns the reference, if this installation signed it; undefined for anything else. */
export function readJobRef(key: Key, data: unknown): JobRef | undefined {
  const ref = JobRef.safeParse(data);
  if (!ref.success) return undefined;
  const expected = Buffer.from(macOf(key, ref.data.workspaceId, ref.data.jobId));
  return timingSafeEqual(expected, Buffer.from(ref.data.mac)) ? ref.data : undefined;
}
