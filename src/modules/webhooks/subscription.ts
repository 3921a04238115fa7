import { EVENT_TYPES, isEventType, isLiveOnly, isPersonal } from '#src/events/catalog.ts';

/** Everything an endpoint can have subscribed to that a type falls under: itself, `*`, and `ai.*` for `ai.job.failed`. */
export function patternsOf(type: string): string[] {
  const parts = type.split('.');
  return ['*', ...parts.slice(1).map((_, at) => `${parts.slice(0, at + 1).join('.')}.*`), type];
}

/** Events that go to one webhook, one person or those who watch alone, whatever was subscribed to. */
export const isAddressed = (type: string): boolean =>
  type === 'webhook.test' || (isEventType(type) && (isPersonal(type) || isLiveOnly(type)));

/** Whatever an endpoint can subscribe to: every type, `*`, and every beginning of a type with `.*`. */
export const SUBSCRIPTIONS: readonly string[] = [
  ...new Set(EVENT_TYPES.filter((type) => !isAddressed(type)).flatMap(patternsOf)),
];

/** Types and beginnings that look much like a name that is none, the nearest first; at most three. */
export function closeMatches(name: string): string[] {
  const wanted = name.toLowerCase().slice(0, 100);
  return SUBSCRIPTIONS.filter((one) => one !== '*')
    .map((one) => ({ one, distance: distanceOf(wanted, one) }))
    .filter(({ one, distance }) => distance <= Math.max(2, one.length / 3))
    .toSorted((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ one }) => one);
}

/** How many letters to change, add or leave out (Levenshtein). */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const isSame = a[i - 1] === b[j - 1];
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (isSame ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
