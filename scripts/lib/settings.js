// @ts-check
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parsePort } from './ports.js';
import { StartError } from './start-error.js';

/** The checkout. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/**
 * @param {Record<string, string>} env
 * @param {string[]} args `--watch` or nothing
 * @returns what the starter itself needs to know
 * @throws {StartError} naming the argument or variable
 */
export function readSettings(env, args) {
  const unknown = args.find((arg) => arg !== '--watch');
  if (unknown !== undefined) throw new StartError(`Unknown argument "${unknown}": there is only --watch`);
  const drainMs = Number(env.DRAIN_MS || 0);
  if (!Number.isFinite(drainMs) || drainMs < 0)
    throw new StartError(`DRAIN_MS "${env.DRAIN_MS}" is not a number of milliseconds`);
  return {
    watch: args.includes('--watch'),
    drainMs,
    host: env.HOST || '127.0.0.1',
    port: parsePort(env.PORT),
    dataDir: resolve(ROOT, env.DATA_DIR || '.data'),
    opsUser: env.OPS_USER || 'ops',
    demoEmail: env.DEMO_EMAIL || 'demo@whatshybrid.example',
  };
}
