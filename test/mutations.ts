import fc from 'fast-check';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \u0000é'.split('');
const edit = fc.record({
  kind: fc.constantFrom('replace', 'insert', 'delete', 'swap', 'repeat'),
  at: fc.nat(10_000),
  to: fc.nat(10_000),
  char: fc.constantFrom(...ALPHABET),
});

/** Texts that are `text` after one to four edits of a character, or after parts of it changed places; never `text` itself. */
export const mutationsOf = (text: string): fc.Arbitrary<string> =>
  fc
    .array(edit, { minLength: 1, maxLength: 4 })
    .map((edits) => edits.reduce(apply, text))
    .filter((mutated) => mutated !== text);

function apply(text: string, { kind, at, to, char }: { kind: string; at: number; to: number; char: string }): string {
  const start = at % (text.length + 1);
  const other = to % (text.length + 1);
  const [low, high] = [Math.min(start, other), Math.max(start, other)];
  switch (kind) {
    case 'replace':
      return text.slice(0, start) + char + text.slice(start + 1);
    case 'insert':
      return text.slice(0, start) + char + text.slice(start);
    case 'delete':
      return text.slice(0, start) + text.slice(start + 1);
    case 'swap':
      return text.slice(low, high) + text.slice(0, low) + text.slice(high);
    default:
      return text.slice(0, high) + text.slice(low);
  }
}
