import { isNode, type Node, type Source } from './source.ts';

/** What is wrong, one line each, beginning with the file's path. */
export type Problems = string[];

const MAX_LINES = 400;

const isTest = (path: string) => /\.(test|test-d)\.ts$/.test(path) || path.startsWith('test/');
const isIdentifier = (value: unknown, name: RegExp): boolean =>
  isNode(value) && value.type === 'Identifier' && typeof value['name'] === 'string' && name.test(value['name']);

/** @returns the name of a property as written: `a.name`, `a['name']` or a key of an object. */
function nameOf(value: unknown): unknown {
  if (!isNode(value)) return undefined;
  return value.type === 'Literal' ? value['value'] : value['name'];
}

const found = ({ path }: Source, nodes: Node[], what: string): Problems =>
  nodes.length > 0 ? [`${path}: ${what}`] : [];

/** A file that needs scrolling is two files. */
export function tooLong({ path, text }: Source): Problems {
  const lines = text.trimEnd().split('\n').length;
  return lines > MAX_LINES ? [`${path}: ${lines} lines, at most ${MAX_LINES}`] : [];
}

/** The environment is read once and checked: in src/config.ts. */
export function readsEnvironment(source: Source): Problems {
  if (source.path === 'src/config.ts' || isTest(source.path)) return [];
  const imported = source.imports.some(({ specifier, isType }) => /^(node:)?process$/.test(specifier) && !isType);
  const reads = source.nodes.filter(({ type, object, property, init, id }) => {
    if (type === 'MemberExpression') return isIdentifier(object, /^process$/) && nameOf(property) === 'env';
    return (
      type === 'VariableDeclarator' && isIdentifier(init, /^process$/) && isNode(id) && id.type === 'ObjectPattern'
    );
  });
  const problem = `${source.path}: the environment is read in src/config.ts only`;
  return imported || reads.length > 0 ? [problem] : [];
}

/** `any` and a cast through `unknown` switch the compiler off. */
export function escapesTypes(source: Source): Problems {
  const anys = source.nodes.filter(({ type }) => type === 'TSAnyKeyword');
  const casts = source.nodes.filter(({ type, expression }) => {
    if (type !== 'TSAsExpression' || !isNode(expression) || expression.type !== 'TSAsExpression') return false;
    return isNode(expression['typeAnnotation']) && expression['typeAnnotation'].type === 'TSUnknownKeyword';
  });
  return [...found(source, anys, 'any'), ...found(source, casts, 'as unknown as')];
}

/** Where a workspace's rows could be missed or mixed: each such place has a name that says so. */
export function queriesByHand(source: Source): Problems {
  if (isTest(source.path) || source.path.endsWith('.query.ts') || source.path.startsWith('src/db/')) return [];
  const sql = source.nodes.filter(({ type, tag, callee }) => {
    if (type === 'TaggedTemplateExpression') return isIdentifier(tag, /^k?sql$/i);
    if (type !== 'CallExpression' || !isNode(callee) || callee.type !== 'MemberExpression') return false;
    return nameOf(callee['property']) === 'query' || nameOf(callee['property']) === 'execute';
  });
  const unfiltered = source.nodes.filter(
    ({ type, key, value }) =>
      type === 'Property' && nameOf(key) === 'filters' && isNode(value) && value['value'] === false,
  );
  return [
    ...found(source, sql, 'raw SQL belongs in a *.query.ts'),
    ...found(source, unfiltered, 'filters: false belongs in a *.query.ts'),
  ];
}

/** What a package may import beside its own files. */
const ALLOWED: Record<string, (specifier: string, target: string | undefined) => boolean> = {
  'client/src/': () => false,
  'extension/src/': (specifier) => specifier === '@whatshybrid/client',
  'cli/src/': (specifier, target) =>
    target === undefined
      ? /^(node:|commander$)/.test(specifier)
      : ['client/src/index.ts', 'cli/package.json'].includes(target),
};

/** What runs elsewhere takes nothing from the server but types. */
export function leavesItsPackage(source: Source): Problems {
  const [home] = /^(client|extension|cli)\/src\//.exec(source.path) ?? [];
  if (home === undefined || isTest(source.path)) return [];
  const strangers = source.imports.filter(({ specifier, target, isType }) => {
    if (isType || target?.startsWith(home)) return false;
    return !ALLOWED[home]?.(specifier, target);
  });
  return strangers.map(
    ({ specifier }) =>
      `${source.path}: imports ${specifier}, and may import only its own files, types and what is allowed it`,
  );
}

/** A path of the machine somebody wrote this on. `text` is a whole file. */
export function namesThisMachine(path: string, text: string): Problems {
  // In pieces, so that this file does not name it either.
  const places = [
    ['', 'work', '(?:main|wt|dev|shared|\\.library)\\b'],
    ['', 'home', '[a-z]'],
    ['', 'Users', '[A-Za-z]'],
  ];
  const pattern = new RegExp(`(?<![\\w.}])(?:${places.map((parts) => parts.join('/')).join('|')})`);
  return pattern.test(text) ? [`${path}: names a path of one machine`] : [];
}
