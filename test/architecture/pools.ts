import type { Problems } from './rules.ts';

/** What names the queues: each must say the same. */
export interface Pools {
  /** Names that queues/index.ts lists. */
  listed: string[];
  /** Names that files of queues/ define, by the file's path. */
  defined: Map<string, string>;
  /** Every path of the repository. */
  paths: ReadonlySet<string>;
  /** The commands of the Procfile. */
  commands: ReadonlyMap<string, string[]>;
}

/** A queue that is not everywhere is work that nobody does. */
export function incompletePools({ listed, defined, paths, commands }: Pools): Problems {
  const running = new Set(
    [...commands.values()]
      .map((words) => words.filter((word) => !word.startsWith('--')))
      .filter(([, file]) => file === 'workers/index.ts')
      .flatMap((words) => words.slice(2)),
  );
  const names = new Set([...listed, ...defined.values(), ...running]);
  return [...names].flatMap((name) => {
    const contract = `queues/${name}.ts`;
    const handler = `workers/${name}.ts`;
    return [
      ...(listed.includes(name) ? [] : [`${name}: is not listed in queues/index.ts`]),
      ...(defined.get(contract) === name ? [] : [`${name}: has no contract ${contract}`]),
      ...(paths.has(handler) ? [] : [`${name}: has no handler ${handler}`]),
      ...(running.has(name) ? [] : [`${name}: is on no Procfile line that runs workers/index.ts`]),
    ];
  });
}
