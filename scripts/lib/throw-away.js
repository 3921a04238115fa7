// @ts-check
import { accessSync, chmodSync, constants, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { readJson } from './files.js';

const MEMORY = '/dev/shm';
/** Many times what the tests keep at once: whoever has less needs it for the processes. */
const PLENTY_BYTES = 6 * 1024 ** 3;

function hasPlentyOfMemory() {
  if (process.platform !== 'linux' || process.env.TMPDIR || freemem() < PLENTY_BYTES) return false;
  try {
    accessSync(MEMORY, constants.W_OK);
    const { bavail, bsize } = statfsSync(MEMORY);
    return bavail * bsize >= PLENTY_BYTES;
  } catch {
    return false;
  }
}

/**
 * @param {{ durable: boolean }} options `durable`: on the disk; else in memory, where there is plenty and TMPDIR says nothing else. Each test
 * file's database is a thousand files, which a disk's file system makes and removes at several times the cost.
 * @returns {string} a fresh folder for one run's data, which Postgres's own user can pass through
 */
export function makeThrowAwayDir({ durable }) {
  const made = mkdtempSync(join(!durable && hasPlentyOfMemory() ? MEMORY : tmpdir(), 'whatshybrid-'));
  if (process.getuid?.() === 0) chmodSync(made, 0o711);
  return made;
}

/**
 * Removes a data folder and what lies outside of it on its behalf.
 * @param {string} dataDir
 */
export function removeDataDir(dataDir) {
  const services = readJson(join(dataDir, 'services.json'));
  if (services?.postgres?.elsewhere) rmSync(services.postgres.elsewhere, { recursive: true, force: true });
  rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 });
}
