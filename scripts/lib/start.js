// @ts-check
import { readFileSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { readEnv } from './env-file.js';
import { writeJson } from './files.js';
import { takeLock } from './lock.js';
import { migrateAndSeed } from './migrate.js';
import { ensurePackages, projectNode } from './packages.js';
import { localUrl, publicPort } from './ports.js';
import { parseProcfile } from './procfile.js';
import { banner, untilReady } from './ready.js';
import { keepDemoKey, keepSecrets, keptDemoKey } from './secrets.js';
import { openServices } from './services.js';
import { readSettings, ROOT } from './settings.js';
import { explain, StartError } from './start-error.js';
import { supervise } from './supervisor.js';
import { untilStopped } from './until-stopped.js';

/** @typedef {import('./lock.js').Lock} Lock */
/** @typedef {ReturnType<typeof readSettings>} Settings */

const AFTER_DRAIN_MS = 10_000;

const say = (/** @type {string} */ line) => console.log(line);
const seconds = (/** @type {number} */ ms) => `${(ms / 1000).toFixed(1)} s`;

/** Says how long each part of the start took. */
function stopwatch() {
  const begin = Date.now();
  let last = begin;
  /** @type {string[]} */
  const parts = [];
  return {
    lap(/** @type {string} */ name) {
      parts.push(`${name} ${seconds(Date.now() - last)}`);
      last = Date.now();
    },
    total: () => `${seconds(Date.now() - begin)}: ${parts.join(', ')}`,
  };
}

/**
 * @param {Settings} settings
 * @param {Record<string, string>} env
 * @param {Lock} lock
 * @param {() => boolean} isStopping
 * @returns {Promise<never>}
 */
async function run(settings, env, lock, isStopping) {
  const { host, watch, opsUser, demoEmail, dataDir } = settings;
  const runtimePath = join(dataDir, 'runtime.json');
  rmSync(runtimePath, { force: true });
  const clock = stopwatch();
  const processes = parseProcfile(readFileSync(join(ROOT, 'Procfile'), 'utf8'));
  processes.delete('release');
  const port = await publicPort(host, settings.port);
  await ensurePackages(ROOT, (...call) => lock.spawn('npm', 'process', ...call), say);
  const node = projectNode(ROOT);
  clock.lap('packages');

  const secrets = keepSecrets(dataDir, env);
  const { databaseUrl, redisUrl, own } = await openServices({ root: ROOT, lock, env, durable: true, say });
  clock.lap('Postgres and Redis');

  const { DEMO_PASSWORD, ...kept } = secrets;
  const config = {
    ...env,
    ...kept,
    HOST: host,
    PORT: String(port),
    DATABASE_URL: databaseUrl,
    REDIS_URL: redisUrl,
    OPS_USER: opsUser,
    MAIL_DIR: env.MAIL_DIR || join(dataDir, 'mail'),
    // What one process has compiled, the next one and the next start load.
    NODE_COMPILE_CACHE: env.NODE_COMPILE_CACHE || join(dataDir, 'compile-cache'),
    PATH: `${join(ROOT, 'node_modules/.bin')}${delimiter}${env.PATH ?? ''}`,
  };
  const seedEnv = {
    ...config,
    DEMO_EMAIL: demoEmail,
    DEMO_PASSWORD,
    DEMO_API_KEY: env.DEMO_API_KEY || keptDemoKey(dataDir),
  };
  const demo = await migrateAndSeed({ node, root: ROOT, lock, env: seedEnv, say });
  keepDemoKey(dataDir, demo.apiKey);
  clock.lap('migrations');

  let wasReady = false;
  const running = supervise({
    processes,
    own,
    node,
    root: ROOT,
    env: config,
    watch,
    lock,
    say,
    isStopping,
    mayRestart: () => wasReady || watch,
  });
  const api = localUrl(host, port);
  await Promise.race([untilReady(api), running]);
  wasReady = true;
  clock.lap('processes');
  const ops = { user: opsUser, password: secrets.OPS_PASSWORD ?? '' };
  writeJson(runtimePath, { api, postgres: databaseUrl, redis: redisUrl, ops, demo });
  say(banner({ api, ops, demo, dataDir, seconds: clock.total() }));
  return running;
}

/**
 * Runs the whole platform until a signal stops it.
 * @param {string[]} args
 * @returns {Promise<number>} the exit code
 */
export async function start(args) {
  let isStopping = false;
  try {
    if (process.platform === 'win32') throw new StartError('Windows cannot run this directly: use WSL');
    const env = readEnv(join(ROOT, '.env'), process.env);
    const settings = readSettings(env, args);
    return await untilStopped({
      open: () => takeLock(settings.dataDir, { say: say }),
      work: (lock) => run(settings, env, lock, () => isStopping),
      stoppedCode: 0,
      graceMs: settings.drainMs + AFTER_DRAIN_MS,
      onStopping() {
        isStopping = true;
        rmSync(join(settings.dataDir, 'runtime.json'), { force: true });
      },
    });
  } catch (error) {
    console.error(explain(error));
    return 1;
  }
}
