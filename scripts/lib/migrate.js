// @ts-check
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { StartError } from './start-error.js';

/** @typedef {import('./lock.js').Lock} Lock */
/** @typedef {{ node: string, root: string, lock: Lock, env: Record<string, string | undefined>, say: (line: string) => void }} Options */

/**
 * Brings the schema up to date and makes sure that the demo workspace is there, in one process: it starts once.
 * @param {Options} options
 * @returns {Promise<{ email: string, password: string, workspaceId: string, apiKey: string | null }>} the demo login, its password DEMO_PASSWORD;
 *   its key is DEMO_API_KEY while that works, else a new one
 * @throws {StartError}
 */
export async function migrateAndSeed({ node, root, lock, env, say }) {
  const child = lock.spawn('migrate', 'process', node, ['src/migrate.ts', 'up', '--seed-key'], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  /** @type {string[]} */
  const lines = [];
  if (child.stdout) createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  if (child.stderr) createInterface({ input: child.stderr }).on('line', say);
  // 'close' and not 'exit': by then all it printed has arrived.
  const [code] = await once(child, 'close');
  const last = code === 0 ? lines.pop() : undefined;
  for (const line of lines) say(line);
  if (code !== 0) throw new StartError(`The migrations failed (exit code ${code}): the reason stands above`);
  try {
    const { email, workspaceId, apiKey } = JSON.parse(last ?? '');
    if (email && workspaceId) return { email, password: env.DEMO_PASSWORD ?? '', workspaceId, apiKey };
  } catch {
    // Told below.
  }
  throw new StartError('src/migrate.ts up --seed-key did not end with a line {"email", "workspaceId", "apiKey"}');
}
