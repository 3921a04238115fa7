// @ts-check
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { findProgram } from './files.js';
import { StartError } from './start-error.js';

const POLICY = '/usr/sbin/policy-rc.d';
const POLICY_ASIDE = `${POLICY}.whatshybrid`;

/** @returns {string[]} the words by which the system calls itself: `debian`, or `ubuntu` and `debian` */
function systemNames() {
  if (!existsSync('/etc/os-release')) return [];
  const lines = readFileSync('/etc/os-release', 'utf8').split('\n');
  const named = lines.filter((line) => /^ID(_LIKE)?=/.test(line));
  return named.flatMap((line) =>
    line
      .slice(line.indexOf('=') + 1)
      .replaceAll('"', '')
      .split(' '),
  );
}

export const isDebian = () => systemNames().includes('debian');
export const isUbuntu = () => systemNames().includes('ubuntu');

/** @returns {boolean} whether `aptInstall` can work here */
export const canAptInstall = () => process.getuid?.() === 0 && isDebian() && findProgram(['apt-get']) !== undefined;

/** Debian asks this program before it starts a service that was just installed; 101 means no. */
function forbidServices() {
  if (existsSync(POLICY)) renameSync(POLICY, POLICY_ASIDE);
  writeFileSync(POLICY, '#!/bin/sh\nexit 101\n');
  chmodSync(POLICY, 0o755);
}

function allowServices() {
  rmSync(POLICY, { force: true });
  if (existsSync(POLICY_ASIDE)) renameSync(POLICY_ASIDE, POLICY);
}

/** apt-get knows one user at a time, and refuses the second: what is asked for meanwhile waits here. */
let installing = Promise.resolve();

/**
 * Installs a Debian package, without starting the service it may bring; one after another, however many are asked for at once.
 * @param {import('./packages.js').Run} run
 * @param {string} name
 * @param {(line: string) => void} say
 * @returns {Promise<void>}
 * @throws {StartError} when apt-get fails
 */
export function aptInstall(run, name, say) {
  const done = installing.then(() => install(run, name, say));
  installing = done.catch(() => undefined);
  return done;
}

/** @type {typeof aptInstall} */
async function install(run, name, say) {
  const steps = [['update'], ['install', '-y', '--no-install-recommends', name]];
  say(`Installing ${name}: ${steps.map((step) => `apt-get ${step.join(' ')}`).join(' && ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  forbidServices();
  process.once('exit', allowServices);
  try {
    for (const step of steps) {
      // Another program's run, such as the machine's nightly updates, is waited for too.
      const child = run('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=300', ...step], {
        cwd: '/',
        env,
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      const [code] = await once(child, 'exit');
      if (code !== 0) throw new StartError(`apt-get ${step.join(' ')} failed (exit code ${code})`);
    }
  } finally {
    process.off('exit', allowServices);
    allowServices();
  }
  // Not started now, and not by the next boot either.
  if (findProgram(['systemctl'])) spawnSync('systemctl', ['disable', name], { stdio: 'ignore' });
}
