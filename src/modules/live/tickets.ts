import { createHash, randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Auth } from '#src/http/access-token.ts';
import { ACCESS_TOKEN_SECONDS } from '#src/http/access-token.ts';
import { unauthenticated, unavailable } from '#src/errors.ts';

export const TICKET_SECONDS = 30;

const Kept = z.object({
  kind: z.enum(['session', 'api_key']),
  userId: z.uuid(),
  sessionId: z.uuid(),
  workspaceId: z.uuid(),
  scopes: z.array(z.string()).nullable(),
  /** Milliseconds since 1970. */
  expiresAt: z.number(),
  /** The origin it was asked for from; a browser's socket must come from the same. */
  origin: z.string().nullable(),
});

export interface Tickets {
  /** @returns a ticket for one socket of this caller. @throws AppError 503 while Redis is away */
  issue(auth: Auth, origin: string | undefined): Promise<string>;
  /** Takes a ticket: it works once. @throws AppError 401 `invalid_ticket`, 503 while Redis is away */
  redeem(ticket: string, origin: string | undefined): Promise<Auth>;
}

const away = (cause: unknown) =>
  unavailable('redis_unavailable', 'Tickets cannot be had at this moment. Try again.', 1000, cause);

/** Tickets are kept under their digest: who can read Redis cannot use them. */
export function createTickets(redis: Redis, prefix: string): Tickets {
  const keyOf = (ticket: string) => `{${prefix}}:ticket:${createHash('sha256').update(ticket).digest('base64url')}`;
  return {
    async issue({ kind, userId, sessionId, workspaceId, scopes, expiresAt }, origin) {
      const ticket = randomBytes(32).toString('base64url');
      const until = Math.min(expiresAt, Date.now() + ACCESS_TOKEN_SECONDS * 1000);
      const kept = { kind, userId, sessionId, workspaceId, scopes, expiresAt: until, origin: origin ?? null };
      await redis.set(keyOf(ticket), JSON.stringify(kept), 'EX', TICKET_SECONDS).catch((error: unknown) => {
        throw away(error);
      });
      return ticket;
    },
    async redeem(ticket, origin) {
      const text = await redis.getdel(keyOf(ticket)).catch((error: unknown) => {
        throw away(error);
      });
      const kept = text === null ? undefined : Kept.parse(JSON.parse(text));
      if (!kept || kept.origin !== (origin ?? null)) {
        throw unauthenticated('The ticket is not valid; each works once, for 30 seconds.', 'invalid_ticket');
      }
      const { kind, userId, sessionId, workspaceId, scopes, expiresAt } = kept;
      // What it may do is read from the database, as for any caller.
      const nothing = { role: 'viewer', plan: 'free', grants: [], denies: [] } as const;
      return { kind, userId, sessionId, workspaceId, scopes, expiresAt, ...nothing };
    },
  };
}
