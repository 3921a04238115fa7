import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Consumer } from '#src/events/relay.ts';

const Hints = z.array(z.tuple([z.uuid(), z.number()]));

/** Workspaces that have something new, each with the position of the last of it. */
export type Hints = z.infer<typeof Hints>;

/** Where the processes with followers hear that there is something to read. */
export const hintChannel = (prefix: string): string => `{${prefix}}:events`;

/** @throws ZodError, SyntaxError */
export const readHints = (bytes: Buffer): Hints => Hints.parse(JSON.parse(bytes.toString()));

/**
 * Says that a workspace has something new, never what: events stay in Postgres, and whoever may see them is known only where they are read.
 * A hint that is lost is made up for by the survey of those who follow.
 */
export function createHinter(redis: Redis, prefix: string, onError: (error: unknown) => void): Consumer {
  return {
    name: 'live',
    async handle(_tx, events) {
      const hints: Hints = [...new Map(events.map(({ workspaceId, position }) => [workspaceId, position]))];
      // Before the cursor has moved, and without waiting: the events are committed, and a hint may come twice.
      redis.publish(hintChannel(prefix), JSON.stringify(hints)).catch(onError);
    },
  };
}
