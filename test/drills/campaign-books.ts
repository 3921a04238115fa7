import type { GatewayEntry } from '#test/drills/campaign-gateway.ts';

/** An item as the platform says it is. */
export interface ItemRow {
  id: string;
  status: string;
}

/** What the gateway sent against what the platform says: nothing went out twice, and nothing is said that is not so. */
export function booksOf(items: readonly ItemRow[], journal: readonly GatewayEntry[]): string[] {
  const problems: string[] = [];
  const sends = Map.groupBy(
    journal.filter(({ effect }) => effect),
    ({ itemId }) => itemId,
  );
  const ids = new Set(items.map(({ id }) => id));
  for (const itemId of sends.keys()) if (!ids.has(itemId)) problems.push(`${itemId} went out, and is no item`);
  for (const { id, status } of items) {
    const count = sends.get(id)?.length ?? 0;
    if (count > 1) problems.push(`${id} went out ${count} times and is ${status}`);
    if (status === 'sent' && count !== 1) problems.push(`${id} is sent, and went out ${count} times`);
    if (status === 'failed' && count !== 0) problems.push(`${id} is failed, and went out`);
    if (!['sent', 'failed', 'unknown'].includes(status)) problems.push(`${id} is ${status} at the end`);
  }
  const attempts = new Set(journal.map(({ attemptId }) => attemptId));
  if (attempts.size !== journal.length) problems.push('An attempt went to the gateway twice');
  return problems;
}
