import { z } from 'zod';

/** Seconds since 1970, of years that every part of the system can write. */
export const Seconds = z
  .union([z.string(), z.number()])
  .transform(Number)
  .refine((at) => at >= 0 && at < 7_258_118_400)
  .transform((at) => new Date(at * 1000));
