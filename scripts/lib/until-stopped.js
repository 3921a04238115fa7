// @ts-check
import { explain, Interrupted } from './start-error.js';

/** @typedef {import('./lock.js').Lock} Lock */

/**
 * @returns {{ asked: Promise<void>, isUrgent: () => boolean }} `asked` resolves with the first signal (or a closed
 * output); a second signal makes it urgent
 */
function listenForStop() {
  let times = 0;
  /** @type {Promise<void>} */
  const asked = new Promise((resolve) => {
    const stop = () => {
      times += 1;
      resolve();
    };
    for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, stop);
    for (const stream of [process.stdout, process.stderr]) stream.on('error', () => resolve());
  });
  return { asked, isUrgent: () => times > 1 };
}

/**
 * Does the work until it ends, fails, or a signal comes; then ends everything it started and says how it went.
 * @param {object} options
 * @param {() => Promise<Lock>} options.open
 * @param {(lock: Lock, asked: Promise<void>) => Promise<number>} options.work returns the exit code
 * @param {number} options.graceMs how long one process may take to end
 * @param {number} options.stoppedCode the exit code when a signal ended it: a stopped platform is well, a stopped test is not
 * @param {() => void} [options.onStopping]
 * @param {(lock: Lock) => void} [options.clean] after all processes ended
 * @returns {Promise<number>} the exit code
 */
export async function untilStopped({ open, work, graceMs, stoppedCode, onStopping = () => {}, clean = () => {} }) {
  const { asked, isUrgent } = listenForStop();
  /** @type {Lock | undefined} */
  let lock;
  let code = 0;
  try {
    lock = await open();
    const working = work(lock, asked);
    // Called off by a signal it fails later, when nobody waits for it any more.
    working.catch(() => {});
    code = await Promise.race([working, asked.then(() => stoppedCode)]);
  } catch (error) {
    if (!(error instanceof Interrupted)) {
      console.error(explain(error));
      code = 1;
    }
  }
  if (lock) {
    onStopping();
    await lock.endAll({ graceMs, isUrgent });
    clean(lock);
    await lock.release();
  }
  return code;
}
