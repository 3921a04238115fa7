import { bare, MAX_TOKEN_LENGTH, type TokenVault } from '#src/ai/pii/tokens.ts';

const INSIDE = /[0-9A-Za-z_\s\\-]/;

/** What stands at a `[`: a token of this job, text, or the beginning of what may become one. */
type Reading = { kind: 'token'; length: number; value: string } | { kind: 'text' } | { kind: 'open' };

const TEXT: Reading = { kind: 'text' };

/** Reads at a `[`: one or two brackets, a bare token, as many brackets again; models change case, spaces, `_` and drop a bracket. */
function readAt(text: string, start: number, vault: TokenVault): Reading {
  const brackets = text.startsWith('[[', start) ? 2 : 1;
  let inside = '';
  for (let at = start + brackets; at < start + MAX_TOKEN_LENGTH; at += 1) {
    const character = text.charAt(at);
    if (character === '') return { kind: 'open' };
    if (character === ']') {
      if (at + brackets - start > MAX_TOKEN_LENGTH) return TEXT;
      const value = vault.valueOf(inside);
      if (value === undefined) return TEXT;
      if (brackets === 1) return { kind: 'token', length: at + 1 - start, value };
      if (at + 1 === text.length) return { kind: 'open' };
      return text.charAt(at + 1) === ']' ? { kind: 'token', length: at + 2 - start, value } : TEXT;
    }
    if (!INSIDE.test(character)) return TEXT;
    inside += bare(character);
    if (!vault.isBegun(inside)) return TEXT;
  }
  return TEXT;
}

/**
 * Puts the values back into an answer that comes in pieces. Emits all but the longest end that could become a token of this job, so it lags
 * by less than one token; whatever way the answer is cut, the text is the same. Tokens the job did not issue stay as they are.
 */
export class Unmasker {
  readonly #vault: TokenVault;
  readonly #put: (value: string) => string;
  #held = '';

  /** @param put gives what is written for a value; may throw to stop the answer. */
  constructor(vault: TokenVault, put: (value: string) => string = (value) => value) {
    this.#vault = vault;
    this.#put = put;
  }

  /** Takes the next piece; returns what is certain. */
  push(piece: string): string {
    return this.#vault.isBegun('') ? this.#read(this.#held + piece, false) : piece;
  }

  /** How much of the answer is held back now, in UTF-16 units. */
  get lag(): number {
    return this.#held.length;
  }

  /** What was still held back: an unfinished token is text. */
  end(): string {
    return this.#read(this.#held, true);
  }

  #read(text: string, isEnd: boolean): string {
    this.#held = '';
    let out = '';
    let from = 0;
    for (let at = text.indexOf('['); at !== -1; at = text.indexOf('[', at)) {
      const reading = readAt(text, at, this.#vault);
      if (reading.kind === 'open' && !isEnd) {
        this.#held = text.slice(at);
        return out + text.slice(from, at);
      }
      if (reading.kind !== 'token') {
        at += 1;
        continue;
      }
      out += text.slice(from, at) + this.#put(reading.value);
      at += reading.length;
      from = at;
    }
    return out + text.slice(from);
  }
}

/** A whole text with its values put back. */
export function unmask(text: string, vault: TokenVault): string {
  if (!text.includes('[')) return text;
  const unmasker = new Unmasker(vault);
  return unmasker.push(text) + unmasker.end();
}
