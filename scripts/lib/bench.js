// @ts-check
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { takeLock } from './lock.js';
import { ensurePackages, projectNode } from './packages.js';
import { openServices } from './services.js';
import { ROOT } from './settings.js';
import { StartError } from './start-error.js';
import { makeThrowAwayDir, removeDataDir } from './throw-away.js';
import { untilStopped } from './until-stopped.js';

const GRACE_MS = 5000;
const say = (/** @type {string} */ line) => console.log(line);

/**
 * @param {string | undefined} name
 * @returns {string} the file to run
 */
function findBench(name) {
  const files = ['test/bench', 'test/drills'].flatMap((folder) =>
    readdirSync(join(ROOT, folder)).map((file) => join(ROOT, folder, file)),
  );
  const file = files.find((one) => basename(one) === `${name}.ts`);
  if (file) return file;
  throw new StartError(
    'Which one? npm run bench -- spine (what a job costs), isolation (what the wall costs a list), contacts and board (whether many cost more than few), live-events (what it takes to tell of an event), campaign-prepare and campaign-dispatch (recipients and messages per second), router (what routing costs), rollup (what counting figures costs), webhooks (deliveries per second), ledger-model (the ledger beside its model), ledger-accept (what the ledger costs a job), or kill-loop, ledger-kill, webhook-drill, campaign-drill and import (drills).',
  );
}

/**
 * @param {string} file
 * @param {string[]} args
 * @param {boolean} durable
 * @param {import('./lock.js').Lock} lock
 */
async function run(file, args, durable, lock) {
  await ensurePackages(ROOT, (...call) => lock.spawn('npm', 'process', ...call), say);
  const node = projectNode(ROOT);
  const services = await openServices({ root: ROOT, lock, env: process.env, durable, say });
  const env = {
    ...process.env,
    DATABASE_URL: services.databaseUrl,
    REDIS_URL: services.redisUrl,
    // For what a drill starts again and again (test/programs.ts).
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE || join(lock.dataDir, 'compile-cache'),
    WH_PROGRAMS_DIR: process.env.WH_PROGRAMS_DIR || join(lock.dataDir, 'programs'),
  };
  const child = lock.spawn(basename(file, '.ts'), 'process', node, [file, ...args], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  return code ?? 1;
}

/**
 * @param {boolean} durable
 * @param {() => string} find the file
 * @param {string[]} args its own
 */
function withServices(durable, find, args) {
  const dataDir = makeThrowAwayDir({ durable });
  return untilStopped({
    open: () => takeLock(dataDir, { throwAway: true }),
    work: async (lock) => run(find(), args, durable, lock),
    stoppedCode: 130,
    graceMs: GRACE_MS,
    clean: () => removeDataDir(dataDir),
  });
}

/**
 * Runs one file of test/bench/ or test/drills/ against services of its own.
 * As durable as in production: a bench without fsync measures something else.
 * @param {string[]} args its name, then its own arguments
 * @returns {Promise<number>} the exit code
 */
export const bench = ([name, ...args]) => withServices(true, () => findBench(name), args);

/**
 * Sends FUZZ_REQUESTS (100 000) requests of every kind to every route, chosen by FUZZ_SEED.
 * @returns {Promise<number>} the exit code
 */
export const fuzz = () => withServices(false, () => join(ROOT, 'test/fuzz/run.ts'), []);
