import { createHmac, randomBytes } from 'node:crypto';
import type { PiiType } from '#src/ai/pii/span.ts';

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const CODE_LENGTH = 6;
/** No token is longer, nor a token as a model may write it: `[[BIRTH_DATE_7F3KQX]]` has 21. */
export const MAX_TOKEN_LENGTH = 24;

/** A token without what models change: brackets, case, `_`, `-`, white space, the backslash of Markdown. */
export const bare = (token: string): string => token.replaceAll(/[^0-9A-Za-z]/g, '').toUpperCase();

/**
 * The tokens of one job and what they stand for: `[[CPF_7F3KQX]]` is the type and a part of HMAC-SHA256(key, type and value), so a value has
 * the same token all through the job, and nobody without the key can write one. Lives in memory, for as long as the job runs.
 */
export class TokenVault {
  readonly #key: Buffer;
  readonly #tokens = new Map<string, string>();
  readonly #values = new Map<string, string>();
  readonly #prefixes = new Set<string>();
  readonly #reserved = new Set<string>();

  constructor(key: Buffer = randomBytes(32)) {
    this.#key = key;
  }

  /** Takes note of the brackets a text has already: no token will look like one of them. Call it for every text before `issue`. */
  reserve(text: string): void {
    if (!text.includes('[')) return;
    for (const [token] of text.matchAll(/\[[0-9A-Za-z_\s\\-]{1,24}\]/g)) this.#reserved.add(bare(token));
  }

  /** The token for a value. */
  issue(type: PiiType | 'canary', value: string): string {
    const name = `${type}\n${value}`;
    const known = this.#tokens.get(name);
    if (known) return known;
    for (let count = 0; ; count += 1) {
      const token = `[[${type.toUpperCase()}_${this.#code(`${name}\n${count}`)}]]`;
      const key = bare(token);
      if (this.#values.has(key) || this.#reserved.has(key)) continue;
      this.#tokens.set(name, token);
      this.#values.set(key, value);
      for (let length = 1; length <= key.length; length += 1) this.#prefixes.add(key.slice(0, length));
      return token;
    }
  }

  /** What a token stands for, by its bare form; undefined where this job issued none. */
  valueOf(bareToken: string): string | undefined {
    return this.#values.get(bareToken);
  }

  /** Whether a token of this job begins so. */
  isBegun(bareToken: string): boolean {
    return bareToken === '' ? this.#values.size > 0 : this.#prefixes.has(bareToken);
  }

  #code(text: string): string {
    const bytes = createHmac('sha256', this.#key).update(text).digest();
    return [...bytes.subarray(0, CODE_LENGTH)].map((byte) => BASE32.charAt(byte & 31)).join('');
  }
}
