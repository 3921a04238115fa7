// @ts-check
import { spawn } from 'node:child_process';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeDataDir, readJson, writeJson } from './files.js';
import { endAll, isRunning, startOf } from './processes.js';
import { codeOf, Interrupted, StartError } from './start-error.js';

/** @typedef {import('./processes.js').Started} Started */
/** @typedef {import('./processes.js').Stage} Stage */
/** @typedef {{ pid: number, start: string }} Owner */
/** @typedef {{ owner: Owner, children: Started[] }} LockFile */

const LEFTOVER_GRACE_MS = 5000;

/** @param {string} dataDir */
export const lockPath = (dataDir) => join(dataDir, 'lock.json');

/**
 * Ends what the owner of a lock left running and removes the lock, if it still is that owner's.
 * @param {string} dataDir
 * @param {LockFile} found
 */
export async function clearLock(dataDir, found) {
  await endAll(found.children, { graceMs: LEFTOVER_GRACE_MS });
  // What it says of addresses is no longer so.
  rmSync(join(dataDir, 'runtime.json'), { force: true });
  const path = lockPath(dataDir);
  const aside = `${path}.${process.pid}.old`;
  try {
    renameSync(path, aside);
    // Another start may have taken the lock meanwhile: give it back untouched.
    const owner = JSON.parse(readFileSync(aside, 'utf8')).owner;
    if (owner.pid !== found.owner.pid || owner.start !== found.owner.start) linkSync(aside, path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  rmSync(aside, { force: true });
}

/**
 * @param {string} dataDir
 * @param {Owner} owner
 * @param {(line: string) => void} say
 */
async function claim(dataDir, owner, say) {
  const path = lockPath(dataDir);
  const draft = `${path}.${process.pid}.new`;
  for (;;) {
    writeFileSync(draft, JSON.stringify({ owner, children: [] }), { mode: 0o600 });
    try {
      // A link is made whole or not at all, so two starts cannot both win.
      linkSync(draft, path);
      return;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    } finally {
      rmSync(draft, { force: true });
    }
    /** @type {LockFile | undefined} */
    const found = readJson(path);
    if (!found) continue;
    if (isRunning(found.owner)) {
      throw new StartError(
        `${dataDir} is in use by a running start (process ${found.owner.pid}): stop that one, or set DATA_DIR and PORT for a second one`,
      );
    }
    const left = found.children.filter(isRunning);
    if (left.length > 0) say(`Ending what the last start left running: ${left.map(({ name }) => name).join(', ')}`);
    await clearLock(dataDir, found);
  }
}

/**
 * Starts the process that outlives us: our end, however violent, closes its standard input and it then ends our children.
 * @param {string} dataDir
 * @param {Owner} owner
 * @param {boolean} throwAway
 */
function startReaper(dataDir, owner, throwAway) {
  const program = fileURLToPath(new URL('reaper.js', import.meta.url));
  const args = [program, dataDir, String(owner.pid), owner.start, ...(throwAway ? ['--throw-away'] : [])];
  const reaper = spawn(process.execPath, args, { cwd: '/', detached: true, stdio: ['pipe', 'ignore', 'inherit'] });
  reaper.unref();
  return reaper;
}

/**
 * Takes the data folder for this process and returns the only way to start others in it: everything started here
 * is on record, and is ended by `endAll`, by the reaper, or by the next start, whichever comes first.
 * @param {string} dataDir absolute; made when absent
 * @param {{ say?: (line: string) => void, throwAway?: boolean }} [options] `throwAway`: the reaper removes the folder too
 * @throws {StartError} when a running process holds it
 */
export async function takeLock(dataDir, { say = () => {}, throwAway = false } = {}) {
  makeDataDir(dataDir);
  const owner = { pid: process.pid, start: startOf(process.pid) ?? '' };
  await claim(dataDir, owner, say);
  const reaper = startReaper(dataDir, owner, throwAway);
  /** @type {Started[]} */
  let children = [];
  let closing = false;
  const save = () => writeJson(lockPath(dataDir), { owner, children });

  return {
    dataDir,

    /**
     * @param {string} name for messages
     * @param {Stage} stage when it is ended
     * @param {string} command
     * @param {string[]} args
     * @param {import('node:child_process').SpawnOptions} options
     */
    spawn(name, stage, command, args, options) {
      if (closing) throw new Interrupted();
      // Detached: a Ctrl-C in the terminal reaches us alone, and we end the others in order.
      const child = spawn(command, args, { ...options, detached: true });
      const { pid } = child;
      if (pid === undefined) return child;
      children.push({ name, stage, pid, start: startOf(pid) ?? '' });
      save();
      child.once('exit', () => {
        children = children.filter((other) => other.pid !== pid);
        if (!closing) save();
      });
      return child;
    },

    /**
     * From now on nothing can be started.
     * @param {{ graceMs: number, isUrgent?: () => boolean }} options
     */
    async endAll(options) {
      closing = true;
      await endAll(children, options);
    },

    /** Gives the folder free. Returns when the reaper is gone. */
    async release() {
      closing = true;
      rmSync(lockPath(dataDir), { force: true });
      if (reaper.exitCode !== null || reaper.signalCode !== null) return;
      reaper.ref();
      const over = once(reaper, 'exit');
      reaper.stdin?.end();
      await over;
    },
  };
}

/** @typedef {Awaited<ReturnType<typeof takeLock>>} Lock */
