import type { Auth } from '#src/http/access-token.ts';
import { may, onlyOwner } from '#src/http/permissions.ts';

/** Whose deals a caller may be told of, in timelines and by filters. */
export type DealsOf = 'all' | 'nobody' | { userId: string };

/** As operations and campaigns keep it, that go on with the rights of who asked. */
export const dealsOfKept = (userId: string | null): DealsOf => (userId === null ? 'all' : { userId });

export function dealsOf(auth: Auth): DealsOf {
  if (!may(auth, 'deals:read')) return 'nobody';
  const userId = onlyOwner(auth, 'deals');
  return userId === undefined ? 'all' : { userId };
}
