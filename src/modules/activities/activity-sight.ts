import type { Auth } from '#src/http/access-token.ts';
import { may, onlyOwner } from '#src/http/permissions.ts';

/** Whose deals a caller may be told of in timelines. */
export type DealsOf = 'all' | 'nobody' | { userId: string };

export function dealsOf(auth: Auth): DealsOf {
  if (!may(auth, 'deals:read')) return 'nobody';
  const userId = onlyOwner(auth, 'deals');
  return userId === undefined ? 'all' : { userId };
}
