import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { parseSync } from 'vite';

/** A node of the syntax tree, as far as the rules look into it. */
export type Node = { type: string } & Record<string, unknown>;

/** One import of another module; `target` is the imported file's path when it is one of ours. */
export interface Import {
  specifier: string;
  target: string | undefined;
  /** Erased before the program runs. */
  isType: boolean;
}

export interface Source {
  /** From the root, with forward slashes. */
  path: string;
  text: string;
  imports: Import[];
  /** Every node of the syntax tree. */
  nodes: Node[];
}

const SKIPPED = new Set(['node_modules', 'dist', 'coverage', '.git', '.data']);
const SUBPATHS = /^#(src|queues|workers|test)\//;

/** @returns the paths of all files below a folder, from the root, with forward slashes; none when there is no such folder. */
export function listFiles(root: string, folder = ''): string[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true }).filter(({ name }) => !SKIPPED.has(name));
  return entries.flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) return listFiles(root, path);
    return entry.isFile() ? [path] : [];
  });
}

export const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';

function collect(value: unknown, into: Node[]): void {
  if (isNode(value)) into.push(value);
  if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) collect(inner, into);
}

function resolve(path: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) return posix.join(posix.dirname(path), specifier);
  return SUBPATHS.test(specifier) ? specifier.slice(1) : undefined;
}

const allTypes = (entries: readonly { isType: boolean }[]) =>
  entries.length > 0 && entries.every(({ isType }) => isType);

/**
 * @param path decides the language, by its ending
 * @throws Error when the text cannot be parsed
 */
export function parseSource(path: string, text: string): Source {
  const { module, program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`);
  const found = (specifier: string, isType: boolean): Import => ({
    specifier,
    target: resolve(path, specifier),
    isType,
  });
  const imports = module.staticImports.map(({ moduleRequest, entries }) =>
    found(moduleRequest.value, allTypes(entries)),
  );
  const exports = module.staticExports.flatMap(({ entries }) => {
    const specifier = entries[0]?.moduleRequest?.value;
    return specifier === undefined ? [] : [found(specifier, allTypes(entries))];
  });
  const dynamic = module.dynamicImports.flatMap(({ moduleRequest: { start, end } }) => {
    const [, specifier] = /^['"`]([^'"`$]+)['"`]$/.exec(text.slice(start, end)) ?? [];
    return specifier === undefined ? [] : [found(specifier, false)];
  });
  const nodes: Node[] = [];
  collect(program.body, nodes);
  return { path, text, imports: [...imports, ...exports, ...dynamic], nodes };
}

export const readSource = (root: string, path: string): Source =>
  parseSource(path, readFileSync(join(root, path), 'utf8'));
