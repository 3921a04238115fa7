import { z } from 'zod';
import { engines } from '#src/ai/engines/index.ts';
import type { Engine } from '#src/ai/engines/define.ts';
import { JobOptions } from '#src/modules/jobs/job.schemas.ts';

const MAX_ITEMS = 1000;
const COUNT = `must have 1 to ${MAX_ITEMS} items`;

const all: Engine[] = Object.values(engines);
const [first, ...others] = all.map(({ name, input }) =>
  z.strictObject({ engine: z.literal(name), items: z.array(input).min(1, COUNT).max(MAX_ITEMS, COUNT) }),
);
if (!first) throw new Error('There is no engine');

/** A batch is never urgent. */
const BatchOptions = JobOptions.extend({ priority: z.literal('batch').optional() });
const options = BatchOptions.optional();

/** What is sent to `POST /api/ai/batch`: one engine and up to a thousand inputs. */
export const BatchBody = z.discriminatedUnion('engine', [
  first.extend({ options }),
  ...others.map((one) => one.extend({ options })),
]);

/** The same in a frame of the socket, where the options stand beside the input. */
export const BatchFrame = z.object({ input: z.discriminatedUnion('engine', [first, ...others]), options });
