import { TextGate } from '#src/ai/engines/answer-text.ts';

// A block at the start of a line may be a trailer that a weak model wrote without its separator.
export const BLOCK = /(?:^|\n)[ \t]*(?:\{|```)/u;
const HALF_BLOCK = /(?:^|\n)[ \t]*`{1,2}$/u;

/** What ends the shown part of an answer. */
export interface TrailerMark {
  separator: string;
  /** Whether a line that opens with `{` or a code fence ends it as well. */
  blocks: boolean;
}

/** How much of `held` is certainly shown text: before a whole or half-arrived separator or block, without white space at its end. */
function certain(
  held: string,
  atStart: boolean,
  { separator, blocks }: TrailerMark,
): { length: number; closed: boolean } {
  const text = atStart ? held : `.${held}`;
  const at = (index: number | undefined) => (index === undefined ? -1 : atStart ? index : index - 1);
  const stops = [held.indexOf(separator), blocks ? at(BLOCK.exec(text)?.index) : -1].filter((stop) => stop >= 0);
  const closed = stops.length > 0;
  if (!closed) {
    const half = blocks ? at(HALF_BLOCK.exec(text)?.index) : -1;
    if (half >= 0) stops.push(half);
    for (let length = Math.min(separator.length - 1, held.length); length > 0; length -= 1) {
      if (held.endsWith(separator.slice(0, length))) stops.push(held.length - length);
    }
  }
  return { length: held.slice(0, Math.min(held.length, ...stops)).trimEnd().length, closed };
}

/**
 * Parts a streamed answer into the text that is shown while it is made and a trailer that never is. White space is held back until text
 * follows it, and half a separator until it is whole or none, so nothing that was shown must be taken back.
 */
export class TrailerGate {
  readonly #mark: TrailerMark;
  readonly #gate = new TextGate();
  #shown = '';
  #held = '';
  #closed = false;

  constructor(mark: TrailerMark) {
    this.#mark = mark;
  }

  /** Takes the next piece; returns what of the answer is certainly shown text now. */
  push(text: string): string {
    this.#held += this.#gate.push(text);
    if (this.#closed) return '';
    if (this.#shown === '') this.#held = this.#held.trimStart();
    const { length, closed } = certain(this.#held, this.#shown === '', this.#mark);
    this.#closed = closed;
    const piece = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    this.#shown += piece;
    return piece;
  }

  /** All that `push` returned, joined. */
  get shown(): string {
    return this.#shown;
  }

  /** The whole answer; call it once, at the end. */
  end(): string {
    return this.#shown + this.#held + this.#gate.end();
  }
}
