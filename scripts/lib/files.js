// @ts-check
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { StartError } from './start-error.js';

/**
 * Writes a file for the owner's eyes only; a reader sees the old or the new content, never half.
 * @param {string} path
 * @param {unknown} content
 */
export function writeJson(path, content) {
  const draft = `${path}.${process.pid}.new`;
  writeFileSync(draft, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, path);
}

/**
 * @param {string} path
 * @returns {any} the parsed content, undefined when there is no such file
 * @throws {StartError} when the content is not JSON: nothing here may be silently replaced, it holds keys
 */
export function readJson(path) {
  if (!existsSync(path)) return undefined;
  const text = readFileSync(path, 'utf8');
  try {
    return JSON.parse(text);
  } catch {
    throw new StartError(`${path} is not valid JSON: restore it from a backup, or move it away to start anew`);
  }
}

/**
 * Makes the folder that holds everything an installation keeps. A root-owned one stays traversable, because
 * Postgres refuses to run as root and its own folder lies inside.
 * @param {string} dataDir absolute
 */
export function makeDataDir(dataDir) {
  if (existsSync(dataDir)) return;
  // Not `recursive`: where the system makes no folders (/proc), Node then tries for ever.
  makeFolders(dirname(dataDir));
  mkdirSync(dataDir);
  chmodSync(dataDir, process.getuid?.() === 0 ? 0o711 : 0o700);
}

/** @param {string} folder */
function makeFolders(folder) {
  if (existsSync(folder)) return;
  makeFolders(dirname(folder));
  mkdirSync(folder);
}

/** @param {string} path */
function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const MORE_PLACES = ['/usr/local/bin', '/usr/bin', '/usr/sbin', '/opt/homebrew/bin'];

/**
 * @param {string[]} names programs that do the same job, best first
 * @param {string} path a PATH
 * @returns {string | undefined} the first one there is, as an absolute path
 */
export function findProgram(names, path = process.env.PATH ?? '') {
  const folders = [...path.split(delimiter).filter(Boolean), ...MORE_PLACES];
  for (const name of names) {
    const found = folders.map((folder) => join(folder, name)).find(isProgram);
    if (found) return found;
  }
  return undefined;
}
