import type { Random } from '#test/fuzz/random.ts';
import { isRecord } from '#src/lib/record.ts';

const MOST = 24;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

export type Word = string | number;

/**
 * What answers have said, by the name it had there: an id that exists, a cursor of that list, a refresh token. Requests made of such
 * words get past the first check.
 */
export interface Words {
  add(name: string, value: Word): void;
  /** Reads an answer; the `id` of a thing is also remembered under the name of its resource. */
  learn(resource: string, answer: unknown): void;
  recall(name: string, random: Random): Word | undefined;
}

export function createWords(): Words {
  const known = new Map<string, Word[]>();
  const add = (name: string, value: Word): void => {
    const values = known.get(name) ?? [];
    if (values.includes(value)) return;
    values.push(value);
    if (values.length > MOST) values.shift();
    known.set(name, values);
  };
  const learn = (resource: string, answer: unknown, depth = 0): void => {
    if (depth > 5) return;
    if (Array.isArray(answer)) for (const item of answer.slice(0, 5)) learn(resource, item, depth + 1);
    if (!isRecord(answer)) return;
    for (const [name, value] of Object.entries(answer)) {
      if (typeof value === 'object') {
        learn(name === 'data' ? resource : name, value, depth + 1);
        continue;
      }
      if (typeof value !== 'string' && typeof value !== 'number') continue;
      if (typeof value === 'string' && value.length > 2000) continue;
      add(name, value);
      if (name === 'id') {
        add(resource, value);
        add(`${resource.replace(/s$/, '')}Id`, value);
      }
      // `{"jobId": …}` is what accepted work is called, `jobs` where it is found.
      if (name.endsWith('Id')) add(`${name.slice(0, -2)}s`, value);
      if (name === 'nextCursor') add('cursor', value);
      if (typeof value === 'string' && UUID.test(value)) add('uuid', value);
    }
  };
  const recall = (name: string, random: Random): Word | undefined => {
    const values = known.get(name) ?? [];
    // What is new more likely still exists, and goes with what else is new: an address with its password.
    return random.chance(0.5) ? values.at(-1) : random.pick(values);
  };
  return { add, learn, recall };
}
