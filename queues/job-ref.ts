import { z } from 'zod';

/** A job as BullMQ carries it: the key of its row, nothing else. */
export const JobRef = z.strictObject({ workspaceId: z.uuid(), jobId: z.uuid() });
export type JobRef = z.infer<typeof JobRef>;
