const FIRST_BYTES = 65_536;
const MAX_BYTES = 50_331_648;
const MAX_TEXTS = 4_000_000;

/** Many texts in one piece of memory: a million short strings would take several times as much, and keep what they were cut from. */
export class PackedTexts {
  #bytes = Buffer.alloc(FIRST_BYTES);
  #ends = new Uint32Array(1024);
  #count = 0;

  #used(): number {
    return this.#count === 0 ? 0 : (this.#ends[this.#count - 1] ?? 0);
  }

  /** @returns whether there was room */
  add(text: string): boolean {
    const from = this.#used();
    const to = from + Buffer.byteLength(text);
    if (to > MAX_BYTES || this.#count >= MAX_TEXTS) return false;
    if (to > this.#bytes.length) {
      const larger = Buffer.alloc(Math.min(MAX_BYTES, Math.max(to, this.#bytes.length * 2)));
      this.#bytes.copy(larger);
      this.#bytes = larger;
    }
    if (this.#count === this.#ends.length) {
      const longer = new Uint32Array(this.#count * 2);
      longer.set(this.#ends);
      this.#ends = longer;
    }
    this.#bytes.write(text, from);
    this.#ends[this.#count] = to;
    this.#count += 1;
    return true;
  }

  /** The text of a number, from 0, in the order in which they were added. */
  at(index: number): string | undefined {
    const end = this.#ends[index];
    if (!Number.isInteger(index) || index < 0 || index >= this.#count || end === undefined) return undefined;
    return this.#bytes.toString('utf8', index === 0 ? 0 : this.#ends[index - 1], end);
  }
}
