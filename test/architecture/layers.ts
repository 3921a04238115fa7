import type { Problems } from './rules.ts';
import type { Source } from './source.ts';

/** Value imports go to the left only, or stay in their layer. */
const LAYERS: [name: string, paths: RegExp][] = [
  ['lib', /^src\/lib\//],
  ['errors', /^src\/errors\.ts$/],
  ['config', /^src\/config\.ts$/],
  ['queues', /^queues\//],
  ['db', /^src\/db\//],
  ['ai', /^src\/ai\//],
  ['streams', /^src\/streams\//],
  ['events', /^src\/events\//],
  ['http', /^src\/http\//],
  ['modules', /^src\/modules\//],
  ['runtime', /^src\/runtime\.ts$/],
  ['app', /^src\/app\.ts$/],
  ['workers', /^workers\//],
  ['server, migrate, keys, seed', /^src\/(server|migrate|keys|seed(\.query)?)\.ts$/],
];

const rankOf = (path: string) => LAYERS.findIndex(([, paths]) => paths.test(path));
const nameOf = (rank: number) => LAYERS[rank]?.[0] ?? 'no layer';

/** @param source a file of src/, queues/ or workers/ that is no test */
export function importsRight(source: Source): Problems {
  const rank = rankOf(source.path);
  if (rank < 0) return [`${source.path}: belongs to no layer`];
  return source.imports.flatMap(({ target, isType }) => {
    if (isType || target === undefined || rankOf(target) <= rank) return [];
    return [`${source.path} (${nameOf(rank)}): imports ${target} (${nameOf(rankOf(target))})`];
  });
}

/** @returns each cycle of value imports once, as the files along it */
export function cycles(sources: Source[]): Problems {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const done = new Set<string>();
  const problems: Problems = [];
  const visit = (path: string, trail: string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) problems.push(`${[...trail.slice(at), path].join(' → ')}: a cycle`);
    if (at >= 0 || done.has(path)) return;
    const imports = byPath.get(path)?.imports ?? [];
    for (const { target, isType } of imports) if (target !== undefined && !isType) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const { path } of sources) visit(path, []);
  return problems;
}
