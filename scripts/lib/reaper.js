// @ts-check
import { setTimeout as wait } from 'node:timers/promises';
import { readJson } from './files.js';
import { clearLock, lockPath } from './lock.js';
import { removeDataDir } from './throw-away.js';

// Run by lock.js as: reaper.js <data folder> <owner's pid> <owner's start> [--throw-away]
const [dataDir = '', ownerPid, ownerStart, throwAway] = process.argv.slice(2);

// A closing terminal must not take this process with it.
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => {});

process.stdin.resume();
await new Promise((resolve) => {
  process.stdin.once('close', resolve);
});

/** @type {import('./lock.js').LockFile | undefined} */
const found = readJson(lockPath(dataDir));
const isOurs = found && String(found.owner.pid) === ownerPid && found.owner.start === ownerStart;
if (isOurs) {
  // The pipe closes an instant before the process is gone.
  await wait(20);
  await clearLock(dataDir, found);
  if (throwAway) removeDataDir(dataDir);
}
