import { createHash } from 'node:crypto';
import type { ApiKey } from '#src/ai/model.ts';

/**
 * Reads a list of keys: `secret` or `secret*weight`, separated by commas.
 * @returns one key for each secret, in order; of a secret that stands twice only the first
 */
export function readApiKeys(list: readonly string[], owner: ApiKey['owner']): ApiKey[] {
  const keys = new Map<string, ApiKey>();
  for (const item of list) {
    const [, secret = item, weight = '1'] = /^(.+)\*(\d{1,4})$/.exec(item) ?? [];
    const id = createHash('sha256').update(secret).digest('hex').slice(0, 12);
    if (!keys.has(id)) keys.set(id, { id, secret, weight: Number(weight), owner });
  }
  return [...keys.values()];
}

/**
 * Draws one of several keys by their weights.
 * @param random 0..1
 * @returns undefined where there is none
 */
export function drawKey(keys: readonly ApiKey[], random: number): ApiKey | undefined {
  let left = random * keys.reduce((sum, { weight }) => sum + weight, 0);
  return keys.find(({ weight }) => (left -= weight) < 0) ?? keys.at(-1);
}
