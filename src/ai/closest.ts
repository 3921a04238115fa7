/** Names are at most so long; what is longer is not compared. */
const MAX_LENGTH = 100;

/** Edits (insert, delete, replace one character) from one text to another (Levenshtein, 1966), by two rows of the table. */
function distance(a: string, b: string): number {
  let before = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (before[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (before[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    before = row;
  }
  return before[b.length] ?? 0;
}

/**
 * The names a mistyped one may have meant, the likeliest first: those it begins, or that begin it, and those a third of its letters away.
 * @returns at most `limit` names
 */
export function closest(name: string, names: readonly string[], limit = 3): string[] {
  const asked = name.toLowerCase();
  if (asked === '' || asked.length > MAX_LENGTH) return [];
  const scored = names.map((one) => {
    const other = one.toLowerCase();
    const edits = distance(asked, other.slice(0, MAX_LENGTH));
    const isPart = asked.length >= 3 && (other.includes(asked) || (other.length >= 3 && asked.includes(other)));
    return { one, score: isPart ? Math.min(edits, 1) : edits };
  });
  return scored
    .filter(({ score }) => score <= Math.max(1, asked.length / 3))
    .toSorted((a, b) => a.score - b.score)
    .slice(0, limit)
    .map(({ one }) => one);
}
