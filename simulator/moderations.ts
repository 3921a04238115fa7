import type { Json, Wire } from './wire.ts';

const CATEGORIES = ['harassment', 'hate', 'illicit', 'self-harm', 'sexual', 'violence'];

/** Flags what the text says it should: `flag:violence`. */
function moderations(body: Json): unknown {
  const inputs = (Array.isArray(body['input']) ? body['input'] : [body['input']]).map(String);
  return {
    id: 'modr-1',
    model: body['model'],
    results: inputs.map((text) => {
      const holds = CATEGORIES.map((name) => [name, text.includes(`flag:${name}`)] as const);
      return {
        flagged: holds.some(([, flagged]) => flagged),
        categories: Object.fromEntries(holds),
        category_scores: Object.fromEntries(holds.map(([name, flagged]) => [name, flagged ? 0.99 : 0.0001])),
        category_applied_input_types: Object.fromEntries(CATEGORIES.map((name) => [name, ['text']])),
      };
    }),
  };
}

/** A wire that also answers OpenAI's moderation calls. */
export const withModerations = (wire: Wire): Wire => ({
  ...wire,
  others: { ...wire.others, 'POST /v1/moderations': moderations },
});
