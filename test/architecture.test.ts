import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { queues } from '#queues/index.ts';
import { parseProcfile } from '../scripts/lib/procfile.js';
import { cycles, importsRight } from './architecture/layers.ts';
import { incompletePools } from './architecture/pools.ts';
import * as rules from './architecture/rules.ts';
import { listFiles, parseSource, readSource, type Source } from './architecture/source.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string) => readFileSync(`${root}/${path}`, 'utf8');
const paths = listFiles(root);
const sources = paths.filter((path) => /\.(ts|js)$/.test(path)).map((path) => readSource(root, path));
const typed = sources.filter(({ path }) => path.endsWith('.ts'));
const product = typed.filter(({ path }) => /^(src|queues|workers)\//.test(path) && !path.endsWith('.test.ts'));

const perFile = [
  { rule: rules.tooLong, on: sources },
  { rule: rules.readsEnvironment, on: product },
  { rule: rules.escapesTypes, on: typed },
  { rule: rules.queriesByHand, on: product },
  { rule: rules.leavesItsPackage, on: typed },
  { rule: importsRight, on: product },
];

describe('the repository', () => {
  for (const { rule, on } of perFile) {
    it(`keeps the rule ${rule.name} in every file`, () => {
      expect(on.length).toBeGreaterThan(5);
      expect(on.flatMap((source) => rule(source))).toEqual([]);
    });
  }

  it('has no import cycle', () => {
    expect(cycles(typed)).toEqual([]);
  });

  it('names no path of the machine it was written on', () => {
    const texts = paths.filter((path) => !/\.(png|ico|svg|woff2)$/.test(path));
    expect(texts.length).toBeGreaterThan(50);
    expect(texts.flatMap((path) => rules.namesThisMachine(path, read(path)))).toEqual([]);
  });

  it('has for every queue a contract, a handler, a Procfile word and a place in the list', () => {
    expect(queues.length).toBeGreaterThan(0);
    const defined = new Map(
      product.flatMap(({ path, text }): [string, string][] => {
        const [, name] = path.startsWith('queues/') ? (/defineQueue\(\{\s*name: '([^']+)'/.exec(text) ?? []) : [];
        return name === undefined ? [] : [[path, name]];
      }),
    );
    const listed = queues.map(({ name }) => name);
    const commands = parseProcfile(read('Procfile'));
    expect(incompletePools({ listed, defined, paths: new Set(paths), commands })).toEqual([]);
  });
});

const { readsEnvironment, escapesTypes, queriesByHand, leavesItsPackage } = rules;

/** A text at a path, and how many problems the rule must find in it. */
const planted: [(source: Source) => string[], path: string, text: string, count: number][] = [
  [readsEnvironment, 'src/app.ts', 'export const port = process.env.PORT;', 1],
  [readsEnvironment, 'src/app.ts', "export const port = process['env']['PORT'];", 1],
  [readsEnvironment, 'workers/a.ts', 'const { env } = process; export const a = env;', 1],
  [readsEnvironment, 'workers/a.ts', "import { env } from 'node:process'; export { env };", 1],
  [readsEnvironment, 'src/config.ts', 'export const port = process.env.PORT;', 0],
  [readsEnvironment, 'src/app.ts', "// process.env\nexport const a = 'process.env' + process.pid;", 0],
  [escapesTypes, 'src/a.ts', 'export function f(x: any) {}', 1],
  [escapesTypes, 'src/a.test.ts', 'export const x = JSON.parse("1") as any;', 1],
  [escapesTypes, 'src/a.ts', 'export const x = new Map<string, any>();', 1],
  [escapesTypes, 'src/a.ts', 'export const x = 1 as unknown as string;', 1],
  [escapesTypes, 'src/a.ts', "export const any = 'as any'; // : any\nexport const x: unknown = {} as unknown;", 0],
  [queriesByHand, 'src/modules/a/a.service.ts', "await pool.query('select 1');", 1],
  [queriesByHand, 'src/modules/a/a.service.ts', "await rt.orm.em.execute('select 1');", 1],
  [queriesByHand, 'workers/a.ts', 'export const q = sql`select 1`;', 1],
  [queriesByHand, 'workers/a.ts', 'await em.find(Contact, {}, { filters: false });', 1],
  [queriesByHand, 'src/modules/a/a.query.ts', "await pool.query('select 1');", 0],
  [queriesByHand, 'src/modules/a/a.routes.ts', 'export const limit = request.query.limit;', 0],
  [leavesItsPackage, 'client/src/a.ts', "import { x } from '#src/errors.ts'; x();", 1],
  [leavesItsPackage, 'client/src/a.ts', "export { x } from '../../queues/index.ts';", 1],
  [leavesItsPackage, 'client/src/a.ts', "export const z = await import('zod');", 1],
  [leavesItsPackage, 'client/src/a.ts', "import type { X } from '#src/errors.ts'; export type Y = X;", 0],
  [leavesItsPackage, 'extension/src/a.ts', "import '../../client/src/client.ts';", 1],
  [leavesItsPackage, 'extension/src/a.ts', "import { x } from '@whatshybrid/client'; x();", 0],
  [leavesItsPackage, 'cli/src/a.ts', "import { x } from '../../src/config.ts'; x();", 1],
  [leavesItsPackage, 'cli/src/a.ts', "import { x } from '../../client/src/http.ts'; x();", 1],
  [leavesItsPackage, 'cli/src/a.ts', "import { x } from 'zod'; x();", 1],
  [leavesItsPackage, 'cli/src/a.ts', "import { x } from '../../client/src/index.ts'; x();", 0],
  [leavesItsPackage, 'cli/src/a.ts', "import { x } from 'commander'; x();", 0],
  [importsRight, 'src/lib/a.ts', "import { x } from '../errors.ts'; x();", 1],
  [importsRight, 'src/ai/a.ts', "export * from '#src/modules/jobs/job.schemas.ts';", 1],
  [importsRight, 'src/http/a.ts', "export const a = await import('#workers/run.ts');", 1],
  [importsRight, 'src/http/a.ts', "import { type Run } from '#workers/run.ts'; export type A = Run;", 0],
  [importsRight, 'workers/a.ts', "import { migrate } from '#src/migrate.ts'; migrate();", 1],
  [importsRight, 'src/seed.ts', "import { x } from '#workers/run.ts'; x();", 0],
  [importsRight, 'src/somewhere-new/a.ts', '', 1],
];

describe('the rules themselves', () => {
  for (const [rule, path, text, count] of planted) {
    it(`${count > 0 ? 'see' : 'allow'} by ${rule.name} in ${path}: ${text}`, () => {
      expect(rule(parseSource(path, text))).toHaveLength(count);
    });
  }

  it('see a file that is too long', () => {
    const line = 'export {};\n';
    expect(rules.tooLong(parseSource('src/a.ts', line.repeat(400)))).toEqual([]);
    expect(rules.tooLong(parseSource('src/a.ts', line.repeat(401)))).toHaveLength(1);
  });

  it('see a cycle, but not one of types', () => {
    const a = parseSource('src/a.ts', "import { b } from './b.ts'; export const a = b;");
    const b = parseSource('src/b.ts', "import { c } from './c.ts'; export const b = c;");
    const c = parseSource('src/c.ts', "import { a } from './a.ts'; export const c = a;");
    const typeOnly = parseSource('src/c.ts', "import type { a } from './a.ts'; export type C = typeof a;");
    expect(cycles([a, b, c])).toEqual(['src/a.ts → src/b.ts → src/c.ts → src/a.ts: a cycle']);
    expect(cycles([a, b, typeOnly])).toEqual([]);
  });

  it('see a path of one machine', () => {
    for (const parts of [
      ['', 'work', 'main', 'x'],
      ['', 'home', 'ana', 'x'],
      ['', 'Users', 'Ana'],
    ]) {
      expect(rules.namesThisMachine('docs/a.md', `see ${parts.join('/')}.`)).toHaveLength(1);
    }
    expect(rules.namesThisMachine('docs/a.md', 'the framework/main branch, src/workers/a.ts, GET /users')).toEqual([]);
  });

  it('see what a queue lacks', () => {
    const whole = {
      listed: ['mail'],
      defined: new Map([['queues/mail.ts', 'mail']]),
      paths: new Set(['workers/mail.ts']),
      commands: parseProcfile('mail: node workers/index.ts mail'),
    };
    expect(incompletePools(whole)).toEqual([]);
    expect(incompletePools({ ...whole, listed: [] })).toHaveLength(1);
    expect(incompletePools({ ...whole, defined: new Map([['queues/post.ts', 'mail']]) })).toHaveLength(1);
    expect(incompletePools({ ...whole, paths: new Set() })).toHaveLength(1);
    expect(incompletePools({ ...whole, commands: parseProcfile('web: node src/server.ts') })).toHaveLength(1);
  });
});
