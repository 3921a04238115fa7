// @ts-check
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readJson } from './files.js';

/** @returns {string} a fresh folder for one run's data, which Postgres's own user can pass through */
export function makeThrowAwayDir() {
  const made = mkdtempSync(join(tmpdir(), 'whatshybrid-'));
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
