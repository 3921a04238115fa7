// @ts-check
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { aptInstall, canAptInstall } from './debian.js';
import { findProgram } from './files.js';
import { loopbackPort } from './ports.js';
import { pingRedis } from './redis-ping.js';
import { StartError } from './start-error.js';

/** @typedef {import('./lock.js').Lock} Lock */
/** @typedef {{ port: number, password: string }} Remembered */

const IMAGE = 'valkey/valkey:9-alpine';
const READY_MS = 30_000;
const IMAGE_READY_MS = 300_000;
const POLL_MS = 10;
const BIND_TRIES = 3;
const PROGRAMS = ['redis-server', 'valkey-server'];
const HOW_TO_INSTALL = `There is no Redis. Install one, or set REDIS_URL:
  Debian, Ubuntu   apt-get install redis-server
  Fedora           dnf install valkey
  Alpine           apk add valkey
  Arch             pacman -S valkey
  macOS            brew install valkey`;

/** What runs Redis: a program of this machine, or a container. */
/** @typedef {{ command: string, args: (port: number, folder: string) => string[], inContainer: boolean }} Runner */

/**
 * @param {Lock} lock
 * @param {(line: string) => void} say
 * @returns {Promise<Runner>}
 */
async function findRunner(lock, say) {
  let program = findProgram(PROGRAMS);
  if (!program && canAptInstall()) {
    await aptInstall((...call) => lock.spawn('apt-get', 'process', ...call), 'redis-server', say);
    program = findProgram(PROGRAMS);
  }
  // The configuration, which holds the password, comes by standard input: other users can read an argument.
  if (program) return { command: program, args: () => ['-'], inContainer: false };
  const docker = findProgram(['docker']);
  if (!docker || spawnSync(docker, ['info'], { stdio: 'ignore', timeout: 10_000 }).status !== 0) {
    throw new StartError(HOW_TO_INSTALL);
  }
  say(`There is no redis-server: running ${IMAGE} in Docker`);
  const user = process.getuid ? ['--user', `${process.getuid()}:${process.getgid?.()}`] : [];
  return {
    command: docker,
    args: (port, folder) => {
      const shape = ['--publish', `127.0.0.1:${port}:6379`, '--volume', `${folder}:/data`, ...user];
      return ['run', '--rm', '--interactive', ...shape, IMAGE, 'valkey-server', '-'];
    },
    inContainer: true,
  };
}

/**
 * @param {{ port: number, password: string, folder: string, durable: boolean, inContainer: boolean }} options
 * @returns {string} the configuration file
 */
function configuration({ port, password, folder, durable, inContainer }) {
  const quoted = folder.replace(/["\\]/g, String.raw`\$&`);
  return [
    inContainer ? 'bind 0.0.0.0' : 'bind 127.0.0.1',
    `port ${inContainer ? 6379 : port}`,
    `dir "${inContainer ? '/data' : quoted}"`,
    `requirepass ${password}`,
    ...(durable ? ['appendonly yes', 'appendfsync everysec'] : ['appendonly no']),
    // BullMQ loses jobs when Redis throws keys away.
    'maxmemory-policy noeviction',
    'save ""',
    'daemonize no',
    '',
  ].join('\n');
}

/**
 * @param {{ lock: Lock, runner: Runner, port: number, password: string, folder: string, logPath: string, durable: boolean }} options
 * @returns {Promise<import('node:child_process').ChildProcess | 'busy'>}
 */
async function launch({ lock, runner, port, password, folder, logPath, durable }) {
  const log = openSync(logPath, 'w', 0o600);
  const child = lock.spawn('redis', 'redis', runner.command, runner.args(port, folder), { stdio: ['pipe', log, log] });
  closeSync(log);
  child.stdin?.on('error', () => {});
  child.stdin?.end(configuration({ port, password, folder, durable, inContainer: runner.inContainer }));
  const url = `redis://:${password}@127.0.0.1:${port}`;
  const deadline = Date.now() + (runner.inContainer ? IMAGE_READY_MS : READY_MS);
  while (child.exitCode === null && child.signalCode === null) {
    const problem = await pingRedis(url).then(
      () => undefined,
      (/** @type {Error} */ error) => error.message,
    );
    if (!problem && child.exitCode === null) return child;
    if (Date.now() > deadline) break;
    await wait(POLL_MS);
  }
  const text = readFileSync(logPath, 'utf8');
  if (/already in use|port is already allocated/i.test(text)) return 'busy';
  throw new StartError(`Redis did not start (${logPath}):\n  ${text.trim().split('\n').slice(-4).join('\n  ')}`);
}

/**
 * Starts this installation's own Redis on loopback, with its data kept in the data folder.
 * @param {{ lock: Lock, durable: boolean, remembered: Partial<Remembered> | undefined, remember: (what: Remembered) => void, say: (line: string) => void }} options
 * `durable` false: in memory only
 * @returns {Promise<{ url: string, own: import('./services.js').Own }>}
 * @throws {StartError}
 */
export async function startRedis({ lock, durable, remembered, remember, say }) {
  const runner = await findRunner(lock, say);
  const folder = join(lock.dataDir, 'redis');
  const logPath = join(lock.dataDir, 'redis.log');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(logPath, '', { mode: 0o600 });
  const password = remembered?.password ?? randomBytes(18).toString('base64url');
  for (let tries = 1; tries <= BIND_TRIES; tries++) {
    const port = await loopbackPort(tries === 1 ? remembered?.port : undefined);
    remember({ port, password });
    const again = () => launch({ lock, runner, port, password, folder, logPath, durable });
    const child = await again();
    if (child !== 'busy')
      return { url: `redis://:${password}@127.0.0.1:${port}`, own: { name: 'redis', child, again } };
  }
  throw new StartError('Redis found no free port on 127.0.0.1');
}
