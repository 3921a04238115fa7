import type { Migration } from '@mikro-orm/migrations';

/**
 * For taking back a migration that replaced functions: what they were.
 * @param earlier the migrations that made them, fresh, in their order
 * @param names of the functions, each of which one of these made
 * @returns the statements that make them again as the last of these did
 */
export function functionsBefore(earlier: Migration[], names: string[]): string[] {
  const made = new Map<string, string>();
  for (const migration of earlier) {
    void migration.up();
    for (const query of migration.getQueries()) {
      if (typeof query !== 'string') continue;
      const name = /^create (?:or replace )?function (\w+)/.exec(query)?.[1];
      if (name) made.set(name, query.replace(/^create function/, 'create or replace function'));
    }
  }
  return names.map((name) => {
    const text = made.get(name);
    if (text === undefined) throw new Error(`No earlier migration makes ${name}`);
    return text;
  });
}
