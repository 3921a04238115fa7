import { openaiError, openaiWire, piecewise } from './openai-shape.ts';

/** OpenAI chat completions, embeddings and models. */
export const openai = openaiWire({
  name: 'openai',
  base: '/v1',
  models: ['gpt-5.6-luna', 'gpt-5-nano', 'gpt-4.1-mini'],
  embeds: true,
  failure: openaiError,
  toolDeltas: piecewise,
  nullUsage: true,
});
