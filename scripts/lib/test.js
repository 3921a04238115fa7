// @ts-check
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ensureBrowser } from './browser.js';
import { takeLock } from './lock.js';
import { ensurePackages, projectNode } from './packages.js';
import { openServices } from './services.js';
import { ROOT } from './settings.js';
import { StartError } from './start-error.js';
import { makeThrowAwayDir, removeDataDir } from './throw-away.js';
import { untilStopped } from './until-stopped.js';

/** @typedef {import('./lock.js').Lock} Lock */

const GRACE_MS = 5000;
const say = (/** @type {string} */ line) => console.log(line);

/**
 * @param {string[]} args for vitest
 * @param {Lock} lock
 */
async function run(args, lock) {
  const spawn =
    (/** @type {string} */ name) =>
    (/** @type {Parameters<import('./packages.js').Run>} */ ...call) =>
      lock.spawn(name, 'process', ...call);
  await ensurePackages(ROOT, spawn('npm'), say);
  const node = projectNode(ROOT);
  const env = { ...process.env, PATH: `${join(ROOT, 'node_modules/.bin')}${delimiter}${process.env.PATH ?? ''}` };

  /** @param {string} folder */
  const build = async (folder) => {
    const path = join(ROOT, folder, 'package.json');
    if (!existsSync(path) || !JSON.parse(readFileSync(path, 'utf8')).scripts?.build) return;
    const child = spawn('npm')('npm', ['run', '--silent', 'build', '-w', folder], {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new StartError(`The build of ${folder}/ failed (exit code ${code}): the reason stands above`);
  };
  const builds = async () => {
    // The extension bundles what the client's build makes.
    await build('client');
    await build('extension');
  };
  const [services, browser] = await Promise.all([
    openServices({ root: ROOT, lock, env, durable: false, say }),
    ensureBrowser(spawn('apt-get'), say),
    builds(),
  ]);
  const child = spawn('vitest')(node, [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', ...args], {
    cwd: ROOT,
    env: {
      ...env,
      DATABASE_URL: services.databaseUrl,
      REDIS_URL: services.redisUrl,
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE || join(lock.dataDir, 'compile-cache'),
      ...(browser ? { CHROMIUM_PATH: browser } : {}),
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  return code ?? 1;
}

/**
 * Runs the tests with services of their own.
 * @param {string[]} args for vitest
 * @returns {Promise<number>} the exit code
 */
export async function test(args) {
  const dataDir = makeThrowAwayDir({ durable: false });
  return untilStopped({
    open: () => takeLock(dataDir, { throwAway: true }),
    work: (lock) => run(args, lock),
    stoppedCode: 130,
    graceMs: GRACE_MS,
    clean: () => removeDataDir(dataDir),
  });
}
