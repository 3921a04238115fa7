/**
 * Makes streamed model text storable and sendable, whatever way it was cut into pieces: drops U+0000, mends lone surrogates, and holds back
 * half a surrogate pair until its other half came.
 */
export class TextGate {
  #half = '';

  /** Takes the next piece; returns what may go on. */
  push(piece: string): string {
    const text = this.#half + piece;
    const last = text.charCodeAt(text.length - 1);
    const cut = last >= 0xd800 && last <= 0xdbff ? text.length - 1 : text.length;
    this.#half = text.slice(cut);
    return storable(text.slice(0, cut));
  }

  /** What was still held back at the end. */
  end(): string {
    const rest = storable(this.#half);
    this.#half = '';
    return rest;
  }
}

/** Text without U+0000, which Postgres cannot hold, and without lone surrogates, which UTF-8 cannot. */
export function storable(text: string): string {
  return text.replaceAll('\0', '').toWellFormed();
}

/** Two answers that differ only in case, accents, spaces or punctuation are the same to a reader. */
export function sameness(text: string): string {
  const letters = text
    .toLowerCase()
    .normalize('NFKD')
    .replace(/[^\p{L}\p{N}]+/gu, '');
  return letters || text.trim();
}
