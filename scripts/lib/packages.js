// @ts-check
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs';
import { once } from 'node:events';
import { delimiter, join } from 'node:path';
import { StartError } from './start-error.js';

/** @typedef {(command: string, args: string[], options: import('node:child_process').SpawnOptions) => import('node:child_process').ChildProcess} Run how to start a program */

const MAJOR = 24;

/**
 * @typedef {{ version?: string, integrity?: string, optional?: boolean, peer?: boolean, link?: boolean }} Entry
 * @param {string} path of a lock file
 * @returns {Record<string, Entry>}
 */
const entries = (path) => JSON.parse(readFileSync(path, 'utf8')).packages ?? {};

/**
 * @param {string} root
 * @returns {boolean} whether what is installed is what package-lock.json says
 */
export function isInstalled(root) {
  const wanted = join(root, 'package-lock.json');
  // npm writes this one last, so an interrupted install has none.
  const found = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(found)) return false;
  if (statSync(found).mtimeMs >= statSync(wanted).mtimeMs) return true;
  // A checkout touches the file without changing it: compare what it says.
  const installed = entries(found);
  return Object.entries(entries(wanted)).every(([path, { version, integrity, optional, peer, link }]) => {
    if (!path.startsWith('node_modules/') || link) return true;
    const have = installed[path];
    if (!have) return optional === true || peer === true;
    return have.version === version && have.integrity === integrity;
  });
}

/**
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 * @returns {string} a PATH without this project's programs: they vanish while npm works
 */
function pathWithoutOurs(root, env) {
  const ours = join(root, 'node_modules/.bin');
  return (env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => folder !== ours)
    .join(delimiter);
}

/**
 * Installs the packages when they are missing or older than package-lock.json.
 * @param {string} root
 * @param {Run} run
 * @param {(line: string) => void} say
 * @throws {StartError} when npm fails
 */
export async function ensurePackages(root, run, say) {
  if (isInstalled(root)) return;
  const folder = join(root, 'node_modules');
  if (lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink()) {
    // npm would empty the folder that other checkouts share.
    say(`${folder} is a symbolic link and does not fit package-lock.json: going on with what is there`);
    return;
  }
  say('Installing packages: npm ci (once; up to a minute)');
  const { npm_execpath: npm, npm_node_execpath: npmNode } = process.env;
  const viaNpm = npm && npmNode && existsSync(npm) && existsSync(npmNode) && npm.endsWith('npm-cli.js');
  const [command, ...first] = viaNpm ? [npmNode, npm] : ['npm'];
  const args = [...first, 'ci', '--include=dev', '--no-audit', '--no-fund'];
  const env = { ...process.env, PATH: pathWithoutOurs(root, process.env) };
  const child = run(command ?? 'npm', args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = await once(child, 'exit').catch((error) => {
    throw new StartError(`npm could not be run: ${error.message}`, { cause: error });
  });
  if (code !== 0) throw new StartError(`npm ci failed (exit code ${code}): the reason stands above`);
}

/** @param {string} node a program */
function majorOf(node) {
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  return Number(/^v(\d+)\./.exec(stdout ?? '')?.[1] ?? 0);
}

/**
 * @param {string} root
 * @returns {string} the Node that runs TypeScript as it is: the project's own, else the running one if it is new enough
 * @throws {StartError}
 */
export function projectNode(root) {
  const own = join(root, 'node_modules/.bin/node');
  if (existsSync(own) && majorOf(own) >= MAJOR) return own;
  if (Number(process.versions.node.split('.')[0]) >= MAJOR) return process.execPath;
  throw new StartError(
    `node_modules/.bin/node is missing: the install script of the package "node" did not run (npm's ignore-scripts?). ` +
      `Run "npm rebuild node --ignore-scripts=false", or use Node ${MAJOR} or newer; this is ${process.version}`,
  );
}
