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
  readonly starts: number[] = [];
  readonly ends: number[] = [];

  constructor(text: string) {
    this.text = text;
    for (let at = 0; at < text.length; at += 1) {
      if (!isDigit(text.charCodeAt(at))) continue;
      this.starts.push(at);
      while (isDigit(text.charCodeAt(at))) at += 1;
      this.ends.push(at);
    }
  }

  get count(): number {
    return this.starts.length;
  }

  start(group: number): number {
    return this.starts[group] ?? this.text.length;
  }

  end(group: number): number {
    return this.ends[group] ?? this.text.length;
  }

  /** Whether a group is a single digit in the midst of others: a number that is spelled begins with the first. */
  isSpelledOn(group: number): boolean {
    const isOne = (at: number) => this.end(at) - this.start(at) === 1;
    return group > 0 && isOne(group) && isOne(group - 1) && this.isJoined(group - 1);
  }

  /** Whether a group and the next may belong to one number. */
  isJoined(group: number): boolean {
    const end = this.start(group + 1);
    if (group + 1 >= this.count || end - this.end(group) > MAX_GAP) return false;
    for (let at = this.end(group); at < end; at += 1) if (!isGap(this.text.charCodeAt(at))) return false;
    return true;
  }
}

/** Digits as they stand in a text, in groups: `529.982.247-25` has four. */
export class DigitRun {
  readonly digits: string;
  readonly start: number;
  readonly end: number;
  readonly #groups: Groups;
  readonly #first: number;
  readonly #last: number;

  constructor(groups: Groups, first: number, last: number, digits: string) {
    this.digits = digits;
    this.start = groups.start(first);
    this.end = groups.end(last);
    this.#groups = groups;
    this.#first = first;
    this.#last = last;
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

  /** The gap at each cut. */
  get gaps(): string[] {
    const gaps: string[] = [];
    for (let at = this.#first; at < this.#last; at += 1)
      gaps.push(this.#groups.text.slice(this.#groups.end(at), this.#groups.start(at + 1)));
    return gaps;
  }

  /** Whether gaps stand only where the number is usually cut. */
  isCutAt(usual: readonly number[]): boolean {
    return this.cuts.every((cut) => usual.includes(cut));
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
 * Every way to read consecutive groups of digits as one number of one of the lengths `wanted` (at most 48 digits), in order. Work is bounded
 * for each group, so it is linear in the text.
 */
export function eachRun(text: string, wanted: readonly boolean[], take: (run: DigitRun) => void): void {
  const groups = new Groups(text);
  const all = text.replaceAll(/\D+/g, '');
  let from = 0;
  for (let first = 0; first < groups.count; first += 1) {
    let count = groups.end(first) - groups.start(first);
    const offset = from;
    from += count;
    if (count > MAX_DIGITS || isBegun(text, groups.start(first)) || groups.isSpelledOn(first)) continue;
    for (let last = first; count <= MAX_DIGITS;) {
      if (wanted[count] && !goesOn(text, groups.end(last)))
        take(new DigitRun(groups, first, last, all.slice(offset, offset + count)));
      if (last - first === MAX_GROUPS || !groups.isJoined(last)) break;
      last += 1;
      count += groups.end(last) - groups.start(last);
    }
  }
}
