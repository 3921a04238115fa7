// @ts-check
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { chmodSync, statSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { StartError } from './start-error.js';

// Postgres refuses to run as root. Started by root, it runs as an ordinary user of the system, which must be able to
// reach the programs and the data, and cannot when either lies in a folder closed to others (such as root's home).

/** @typedef {{ uid: number, gid: number } | undefined} RunAs undefined: as we are */

const ELSEWHERE = '/var/lib/whatshybrid';

/** @param {string} name */
function lookUp(name) {
  const ids = ['-u', '-g'].map((flag) => spawnSync('id', [flag, name], { encoding: 'utf8' }));
  const [uid, gid] = ids.map(({ status, stdout }) => (status === 0 ? Number(stdout) : Number.NaN));
  return uid && gid ? { uid, gid } : undefined;
}

/**
 * @param {string} dataDir Postgres's own; its owner is kept, if it has one
 * @returns {RunAs}
 */
export function postgresUser(dataDir) {
  if (process.getuid?.() !== 0) return undefined;
  const kept = existsSync(dataDir) ? statSync(dataDir) : undefined;
  if (kept?.uid) return { uid: kept.uid, gid: kept.gid };
  const known = lookUp('postgres');
  if (known) return known;
  spawnSync('useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres']);
  const found = lookUp('postgres') ?? lookUp('nobody');
  if (!found) throw new StartError('Postgres cannot run as root and there is no other user: set DATABASE_URL');
  return found;
}

/**
 * @param {string} folder
 * @param {NonNullable<RunAs>} user
 */
function canEnter(folder, user) {
  return spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', folder], { cwd: '/', ...user }).status === 0;
}

/** @param {string} folder */
function openToAll(folder) {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder)) {
    const path = join(folder, entry);
    const stat = lstatSync(path);
    if (stat.isDirectory()) openToAll(path);
    else if (stat.isFile()) chmodSync(path, stat.mode & 0o100 ? 0o755 : 0o644);
  }
}

/**
 * @param {string} native the folder of the package that holds bin, lib and share
 * @param {string} version of the package
 * @param {RunAs} user
 * @returns {Promise<string>} that folder, or a copy the user can reach
 */
export async function reachablePrograms(native, version, user) {
  const runs = (/** @type {string} */ folder) =>
    spawnSync(join(folder, 'bin/postgres'), ['--version'], { cwd: '/', ...user }).status === 0;
  if (!user || runs(native)) return native;
  const copy = join(ELSEWHERE, `postgres-${version}-${process.platform}-${process.arch}`);
  if (existsSync(copy) && runs(copy)) return copy;
  const draft = `${copy}.${process.pid}`;
  mkdirSync(ELSEWHERE, { recursive: true, mode: 0o755 });
  await cp(native, draft, { recursive: true, verbatimSymlinks: true });
  openToAll(draft);
  rmSync(copy, { recursive: true, force: true });
  try {
    renameSync(draft, copy);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    // Another start may have put the same copy there in the meantime.
    if (!existsSync(copy)) throw error;
  }
  if (!runs(copy)) throw new StartError(`Postgres cannot be run from ${copy}: set DATABASE_URL`);
  return copy;
}

/**
 * @param {string} dataDir of the whole installation
 * @param {RunAs} user
 * @returns {string | undefined} a folder outside of it to be used instead, when the user cannot pass through it
 */
export function placeElsewhere(dataDir, user) {
  if (!user || canEnter(dataDir, user)) return undefined;
  const key = createHash('sha256').update(realpathSync(dataDir)).digest('hex').slice(0, 12);
  const place = join(ELSEWHERE, key);
  mkdirSync(place, { recursive: true, mode: 0o755 });
  return place;
}
