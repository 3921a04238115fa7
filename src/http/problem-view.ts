import { z } from 'zod';

/** The RFC 9457 problem that every error is answered with. */
export const ProblemView = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    message: z.string(),
    instance: z.string().optional(),
    errors: z.array(z.object({ path: z.string(), code: z.string(), message: z.string() })).optional(),
    retryAfterMs: z.int().nonnegative().optional(),
  })
  .meta({ id: 'Problem' });
