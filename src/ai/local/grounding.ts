import { contentWordsOf, stemOf } from '#src/ai/local/words.ts';

/** An invented number or name does more harm than an invented word. */
const FACT_WEIGHT = 3;

const NAME = /(?<=[\p{L},;:]\s)\p{Lu}\p{Ll}{2,}/gu;

/**
 * How much of a reply the conversation supports: the share, 0 to 1, of its content words that the source has too (by stem), where a number
 * or a capitalised name inside a sentence counts three times. A reply without any content word gets 0.5: there is nothing to check.
 */
export function groundingOf(reply: string, source: string): number {
  const known = new Set(contentWordsOf(source).map(stemOf));
  const names = new Set((reply.match(NAME) ?? []).flatMap(contentWordsOf));
  let total = 0;
  let supported = 0;
  for (const word of contentWordsOf(reply)) {
    const weight = /^\p{N}/u.test(word) || names.has(word) ? FACT_WEIGHT : 1;
    total += weight;
    if (known.has(stemOf(word))) supported += weight;
  }
  return total === 0 ? 0.5 : Math.round((supported / total) * 100) / 100;
}
