// @ts-check
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { Interrupted, StartError } from './start-error.js';

const MAX_RESTARTS = 5;
const WINDOW_MS = 60_000;
const FIRST_BACKOFF_MS = 250;
const COLOURS = [36, 33, 35, 32, 34, 31];

/**
 * @param {string[]} names
 * @param {NodeJS.WriteStream} out
 * @returns {(name: string) => string} the prefix of a process's lines: its name in a column, coloured on a terminal
 */
export function prefixes(names, out) {
  const width = Math.max(...names.map((name) => name.length));
  return (name) => {
    const text = `${name.padEnd(width)} |`;
    const colour = COLOURS[Math.max(0, names.indexOf(name)) % COLOURS.length];
    return out.isTTY && !process.env.NO_COLOR ? `\u001B[${colour}m${text}\u001B[0m` : text;
  };
}

/** @typedef {import('node:child_process').ChildProcess} Child */

/** @param {Child} child */
function ending(child) {
  return new Promise((/** @type {(how: string) => void} */ resolve) => {
    child.once('error', (error) => resolve(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) => resolve(signal ? `was ended by ${signal}` : `stopped with exit code ${code}`));
  });
}

/**
 * Keeps one process running until `isStopping`.
 * @param {{ name: string, first?: Child, start: () => Child | Promise<Child>, isStopping: () => boolean, mayRestart: () => boolean, say: (line: string) => void }} options
 * @returns {Promise<void>}
 * @throws {StartError} when it died before it may be restarted, or too often
 */
async function keepRunning({ name, first, start, isStopping, mayRestart, say }) {
  /** @type {number[]} */
  let restarts = [];
  let child = first ?? (await start());
  for (;;) {
    const how = await ending(child);
    if (isStopping()) return;
    if (!mayRestart()) throw new StartError(`${name} ${how} while starting: its last lines stand above`);
    restarts = restarts.filter((at) => Date.now() - at < WINDOW_MS);
    if (restarts.length >= MAX_RESTARTS) {
      throw new StartError(`${name} ${how}, after ${MAX_RESTARTS} restarts within a minute: giving up`);
    }
    const delayMs = FIRST_BACKOFF_MS * 2 ** restarts.length;
    say(`${name} ${how}: restarting it in ${delayMs} ms`);
    restarts.push(Date.now());
    await wait(delayMs, undefined, { ref: false });
    if (isStopping()) return;
    child = await start();
  }
}

/**
 * Runs the Procfile's processes, each line they print after their name, and keeps the services that are our own.
 * @param {{
 *   processes: Map<string, string[]>, own: import('./services.js').Own[], node: string, root: string, env: Record<string, string>, watch: boolean,
 *   lock: import('./lock.js').Lock, isStopping: () => boolean, mayRestart: () => boolean, say: (line: string) => void,
 * }} options
 * `watch`: a process restarts when a file it imports changes; `mayRestart` is false until everything was ready once
 * @returns {Promise<never>} rejects when one can no longer be kept running
 */
export async function supervise({ processes, own, node, root, env, watch, lock, say, ...state }) {
  const prefix = prefixes([...processes.keys()], process.stdout);
  const starters = [...processes].map(([name, [command = '', ...words]]) => {
    const isNode = command === 'node';
    const args = [...(isNode && watch ? ['--watch', '--watch-preserve-output'] : []), ...words];
    return keepRunning({
      name,
      say,
      ...state,
      start() {
        const stdio = /** @type {const} */ (['ignore', 'pipe', 'pipe']);
        const child = lock.spawn(name, 'process', isNode ? node : command, args, {
          cwd: root,
          env,
          stdio: [...stdio],
        });
        for (const stream of [child.stdout, child.stderr]) {
          if (stream) createInterface({ input: stream }).on('line', (line) => console.log(`${prefix(name)} ${line}`));
        }
        return child;
      },
    });
  });
  const services = own.map(({ name, child, again }) =>
    keepRunning({
      name,
      first: child,
      say,
      ...state,
      async start() {
        const started = await again();
        if (started === 'busy') throw new StartError(`${name} cannot be started again: its port is taken`);
        say(`${name} is back`);
        return started;
      },
    }),
  );
  await Promise.all([...starters, ...services]);
  throw new Interrupted();
}
