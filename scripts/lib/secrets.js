// @ts-check
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { readJson, writeJson } from './files.js';

/** @type {Record<string, () => string>} */
const SECRETS = {
  APP_SECRET: () => randomBytes(32).toString('base64'),
  OPS_PASSWORD: () => randomBytes(15).toString('base64url'),
  DEMO_PASSWORD: () => randomBytes(12).toString('base64url'),
};

/**
 * The installation's secrets: from the environment, else from the data folder, else made now and kept there.
 * @param {string} dataDir
 * @param {Record<string, string | undefined>} env
 * @returns {Record<string, string>} APP_SECRET (32 bytes, base64), OPS_PASSWORD and DEMO_PASSWORD
 */
export function keepSecrets(dataDir, env) {
  const path = join(dataDir, 'secrets.json');
  /** @type {Record<string, string>} */
  const kept = readJson(path) ?? {};
  const missing = Object.keys(SECRETS).filter((name) => !kept[name] && !env[name]);
  for (const name of missing) kept[name] = SECRETS[name]?.() ?? '';
  if (missing.length > 0) writeJson(path, kept);
  return Object.fromEntries(Object.keys(SECRETS).map((name) => [name, env[name] || (kept[name] ?? '')]));
}

const DEMO_KEY = 'DEMO_API_KEY';

/**
 * @param {string} dataDir
 * @returns {string} the demo workspace's API key of an earlier start, empty when there is none: the database knows only its hash
 */
export const keptDemoKey = (dataDir) => readJson(join(dataDir, 'secrets.json'))?.[DEMO_KEY] ?? '';

/**
 * @param {string} dataDir
 * @param {string | null} apiKey
 */
export function keepDemoKey(dataDir, apiKey) {
  if (!apiKey || apiKey === keptDemoKey(dataDir)) return;
  const path = join(dataDir, 'secrets.json');
  writeJson(path, { ...readJson(path), [DEMO_KEY]: apiKey });
}
