/** A part of a text: UTF-16 positions, `end` not included. */
export interface Span {
  start: number;
  end: number;
}

const MAX_TRIES = 500;

function* exactly(text: string, value: string): Generator<Span> {
  for (
    let at = text.indexOf(value), tries = 0;
    at >= 0 && tries < MAX_TRIES;
    at = text.indexOf(value, at + 1), tries += 1
  )
    yield { start: at, end: at + value.length };
}

// Models write a name in another case, or a line break as a space.
function* loosely(text: string, value: string): Generator<Span> {
  const words = value
    .trim()
    .split(/\s+/u)
    .map((word) => RegExp.escape(word));
  let tries = 0;
  for (const match of text.matchAll(new RegExp(words.join('\\s+'), 'giu'))) {
    if ((tries += 1) > MAX_TRIES) return;
    yield { start: match.index, end: match.index + match[0].length };
  }
}

/**
 * Where a value that a model named stands in the text: of its places that no taken one overlaps, the one nearest to where the model said.
 * @returns undefined when the text does not have it, or has it no further time
 */
export function placeOf(text: string, value: string, near: number, taken: readonly Span[]): Span | undefined {
  const isFree = (span: Span) => taken.every((other) => span.end <= other.start || span.start >= other.end);
  const distance = (span: Span) => Math.abs(span.start - near);
  if (value.trim() === '') return undefined;
  const exact = [...exactly(text, value)];
  const all = exact.length > 0 ? exact : [...loosely(text, value)];
  return all.filter(isFree).toSorted((a, b) => distance(a) - distance(b))[0];
}
