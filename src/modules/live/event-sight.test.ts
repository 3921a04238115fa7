import { expect, it } from 'vitest';
import type { Auth } from '#src/http/access-token.ts';
import { maySeeEvent } from '#src/modules/live/event-sight.ts';

const ana = crypto.randomUUID();
const auth = (denies: string[]): Auth => ({
  kind: 'session',
  userId: ana,
  sessionId: 's',
  workspaceId: crypto.randomUUID(),
  role: 'member',
  plan: 'free',
  grants: [],
  denies,
  scopes: null,
  expiresAt: Infinity,
});
const received = (ownerId: string | null) => ({
  about: { type: 'message.received' as const, actorId: null },
  data: JSON.stringify({ ownerId }),
});

it.each([
  ['of their own contact', ana, [], true],
  ['of another contact', null, [], true],
  ['of their own contact, limited to their own', ana, ['contacts:all'], true],
  ['of another’s contact, limited to their own', crypto.randomUUID(), ['contacts:all'], false],
  ['of nobody’s contact, limited to their own', null, ['contacts:all'], false],
  ['of their own contact, without messages at all', ana, ['messages:read'], false],
])('who sees a message %s', (_, ownerId, denies, may) =>
  expect(maySeeEvent(auth(denies), received(ownerId))).toBe(may),
);
