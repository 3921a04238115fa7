export const MAX_DIGITS = 48;
const MAX_GAP = 3;
/** More pieces than digits of a card nobody writes. */
const MAX_GROUPS = 16;

const isDigit = (code: number): boolean => code >= 48 && code <= 57;
const isLetter = (code: number): boolean =>
  (code >= 65 && code <= 90) || (code >= 97 && code <= 122) || (code >= 0xc0 && code <= 0x24f) || code === 95;
// Space, ( ) - . /
const isGap = (code: number): boolean => code === 32 || code === 40 || code === 41 || (code >= 45 && code <= 47);
/** Of a number that goes on: `1.529` or `25,00`. */
const isJoint = (code: number): boolean => code >= 44 && code <= 47;

/** The groups of digits in a text, in order. */
class Groups {
  readonly text: string;
  /** All digits, one group after the other. */
  readonly digits: string;
  readonly count: number;
  /** Of each group: where it starts, where it ends, and 1 where it and the next may belong to one number. In one piece of memory, since a text can have half as many groups as characters. */
  readonly #places: Int32Array;

  constructor(text: string) {
    this.text = text;
    const places = new Int32Array(((text.length + 1) >> 1) * 3);
    const digits = Buffer.allocUnsafe(text.length);
    let written = 0;
    let next = 0;
    for (let at = 0; at < text.length; at += 1) {
      let code = text.charCodeAt(at);
      if (!isDigit(code)) continue;
      if (next > 0) places[next - 1] = Number(isBridge(text, places[next - 2] ?? 0, at));
      places[next] = at;
      do {
        digits[written] = code;
        written += 1;
        at += 1;
        code = text.charCodeAt(at);
      } while (isDigit(code));
      places[next + 1] = at;
      next += 3;
    }
    this.digits = digits.toString('latin1', 0, written);
    this.count = next / 3;
    this.#places = places;
  }

  start(group: number): number {
    return this.#places[group * 3] ?? 0;
  }

  end(group: number): number {
    return this.#places[group * 3 + 1] ?? 0;
  }

  /** Whether a group is a single digit in the midst of others: a number that is spelled begins with the first. */
  isSpelledOn(group: number): boolean {
    return group > 0 && this.#isOne(group) && this.isJoined(group - 1) && this.#isOne(group - 1);
  }

  /** Whether a group and the next may belong to one number. */
  isJoined(group: number): boolean {
    return this.#places[group * 3 + 2] === 1;
  }

  #isOne(group: number): boolean {
    return this.end(group) - this.start(group) === 1;
  }
}

/** Whether what stands between two groups may stand within a number. */
function isBridge(text: string, from: number, to: number): boolean {
  if (to - from > MAX_GAP) return false;
  for (let at = from; at < to; at += 1) if (!isGap(text.charCodeAt(at))) return false;
  return true;
}

const holds = (gap: string, character: string, but: string): boolean =>
  gap.includes(character) && (but === '' || !gap.includes(but));

/**
 * Digits as they stand in a text, in groups: `529.982.247-25` has four. One object is moved from run to run, since a text can have as many runs
 * as groups: what is kept must be copied.
 */
export class DigitRun {
  digits = '';
  start = 0;
  end = 0;
  readonly #groups: Groups;
  #first = 0;
  #last = 0;

  constructor(groups: Groups) {
    this.#groups = groups;
  }

  /** To the groups from `first` to `last`, whose digits begin at `offset` among all. */
  moveTo(first: number, last: number, offset: number, count: number): this {
    this.digits = this.#groups.digits.slice(offset, offset + count);
    this.start = this.#groups.start(first);
    this.end = this.#groups.end(last);
    this.#first = first;
    this.#last = last;
    return this;
  }

  /** In one piece. */
  get isWhole(): boolean {
    return this.#first === this.#last;
  }

  /** After how many digits a gap stands. */
  get cuts(): number[] {
    let count = 0;
    const cuts: number[] = [];
    for (let at = this.#first; at < this.#last; at += 1) {
      count += this.#groups.end(at) - this.#groups.start(at);
      cuts.push(count);
    }
    return cuts;
  }

  /** After how many digits the last gap stands, and what it is. */
  get lastCut(): { at: number; gap: string } | undefined {
    if (this.isWhole) return undefined;
    const start = this.#groups.start(this.#last);
    return {
      at: this.digits.length - (this.end - start),
      gap: this.#groups.text.slice(this.#groups.end(this.#last - 1), start),
    };
  }

  /** Whether a gap has the character in it, but for a gap that has the other one too. */
  hasInGap(character: string, but = ''): boolean {
    for (let at = this.#first; at < this.#last; at += 1) {
      if (holds(this.#groups.text.slice(this.#groups.end(at), this.#groups.start(at + 1)), character, but)) return true;
    }
    return false;
  }

  /** Whether gaps stand only where the number is usually cut, `offset` digits later. */
  isCutAt(usual: readonly number[], offset = 0): boolean {
    let count = -offset;
    for (let at = this.#first; at < this.#last; at += 1) {
      count += this.#groups.end(at) - this.#groups.start(at);
      if (count !== 0 && !usual.includes(count)) return false;
    }
    return true;
  }

  /** Digits written one by one, as they are read aloud. */
  get isSpelled(): boolean {
    return this.#last - this.#first === this.digits.length - 1;
  }
}

/** Whether the number begins before `start`; a label may be glued to it (`cpf529…`), a product code may not. */
function isBegun(text: string, start: number): boolean {
  const before = text.charCodeAt(start - 1);
  if (isJoint(before)) return isDigit(text.charCodeAt(start - 2));
  return isLetter(before) && !LABEL.test(text.slice(Math.max(0, start - 10), start));
}
const LABEL = /(?:^|[^A-Za-z])(?:cpf|cnpj|cep|rg|tel|fone|cel|zap|whats|whatsapp|pix|cnh|pis)$/i;

function goesOn(text: string, end: number): boolean {
  const after = text.charCodeAt(end);
  return isJoint(after) ? isDigit(text.charCodeAt(end + 1)) : isLetter(after);
}

/**
 * Every way to read consecutive groups of digits as one number of one of the lengths `wanted` (at most 48 digits), in order; `take` gets
 * the same object each time. Work is bounded for each group, so it is linear in the text.
 */
export function eachRun(text: string, wanted: readonly boolean[], take: (run: DigitRun) => void): void {
  const groups = new Groups(text);
  const run = new DigitRun(groups);
  let from = 0;
  for (let first = 0; first < groups.count; first += 1) {
    let count = groups.end(first) - groups.start(first);
    const offset = from;
    from += count;
    if (count > MAX_DIGITS || isBegun(text, groups.start(first)) || groups.isSpelledOn(first)) continue;
    for (let last = first; count <= MAX_DIGITS;) {
      if (wanted[count] && !goesOn(text, groups.end(last))) take(run.moveTo(first, last, offset, count));
      if (last - first === MAX_GROUPS || !groups.isJoined(last)) break;
      last += 1;
      count += groups.end(last) - groups.start(last);
    }
  }
}
