// @ts-check
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { codeOf } from './start-error.js';

/**
 * A process we started, written down so that it can be ended even after its parent was killed.
 * `start` tells it from a stranger that got the same pid later.
 * @typedef {{ name: string, stage: Stage, pid: number, start: string }} Started
 * @typedef {'process' | 'redis' | 'postgres'} Stage
 */

/** What ends first: a worker hands its jobs back through Redis and Postgres, so these two go last. */
const STAGES = /** @type {Stage[]} */ (['process', 'redis', 'postgres']);

/** Postgres: SIGINT is the fast shutdown (SIGTERM waits for clients), SIGQUIT the immediate one that frees shared memory. */
const SIGNALS = /** @type {Record<Stage, [NodeJS.Signals, NodeJS.Signals]>} */ ({
  process: ['SIGTERM', 'SIGKILL'],
  redis: ['SIGTERM', 'SIGKILL'],
  postgres: ['SIGINT', 'SIGQUIT'],
});

const POLL_MS = 15;
const AFTER_HARD_SIGNAL_MS = 5000;

/** @returns {string | undefined} */
function bootId() {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return undefined;
  }
}

/**
 * @param {number} pid
 * @returns {string | undefined} a text that no other process with this pid will have; undefined when there is none (a zombie counts as none)
 */
export function startOf(pid) {
  if (process.platform !== 'linux') {
    const { stdout } = spawnSync('ps', ['-o', 'lstart=,stat=', '-p', String(pid)], { encoding: 'utf8' });
    const [, start, state] = /^(.*\S)\s+(\S+)$/.exec((stdout ?? '').trim()) ?? [];
    return state?.startsWith('Z') ? undefined : start;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : `${bootId()}/${fields[19]}`;
  } catch {
    return undefined;
  }
}

/**
 * @param {number} pid
 * @returns {boolean} whether the system knows it, be it only as a zombie or another user's
 */
export function exists(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** @param {{ pid: number, start: string }} started */
export const isRunning = ({ pid, start }) => startOf(pid) === start;

/**
 * @param {number} pid negative: a process group
 * @param {NodeJS.Signals} signal
 */
function send(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}

/**
 * @param {Started} started
 * @param {() => boolean} isOver gives up the wait
 */
async function gone(started, isOver) {
  while (isRunning(started)) {
    if (isOver()) return false;
    await wait(POLL_MS);
  }
  return true;
}

/**
 * @param {Started} started
 * @param {number} graceMs
 * @param {() => boolean} isUrgent true: wait no longer
 */
async function end(started, graceMs, isUrgent) {
  if (!isRunning(started)) return;
  const [soft, hard] = SIGNALS[started.stage];
  send(started.pid, soft);
  const deadline = Date.now() + graceMs;
  if (!(await gone(started, () => Date.now() > deadline || isUrgent()))) {
    send(started.pid, hard);
    const last = Date.now() + AFTER_HARD_SIGNAL_MS;
    if (!(await gone(started, () => Date.now() > last))) send(started.pid, 'SIGKILL');
  }
  // Each leads a group of its own: what it left behind (a watcher's child, npm's script) goes with it.
  if (started.stage === 'process') send(-started.pid, 'SIGKILL');
}

/**
 * Ends processes in the order of their stages, each stage together.
 * @param {Started[]} all
 * @param {{ graceMs: number, isUrgent?: () => boolean }} options how long one may take after the first, polite signal
 */
export async function endAll(all, { graceMs, isUrgent = () => false }) {
  for (const stage of STAGES) {
    const members = all.filter((started) => started.stage === stage);
    await Promise.all(members.map((started) => end(started, graceMs, stage === 'process' ? isUrgent : () => false)));
  }
}
