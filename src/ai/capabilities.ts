import type { ModelFacts } from '#src/ai/catalog.ts';
import type { ToolChoice } from '#src/ai/model.ts';

/*
 * What the providers' APIs can be asked for, where they differ and the catalogue, which is about models, does not say. A seed is no
 * such thing: it is a wish, and who has none (Anthropic) leaves it out.
 */

/** Whether a model can be made to call a tool. */
export function canBeMadeToCall({ provider, model }: ModelFacts, choice: ToolChoice): boolean {
  if (provider === 'ollama') return false;
  // Cohere cannot name one, and its older models decide themselves.
  if (provider === 'cohere') return choice === 'required' && /^command-(a|r7b)\b/.test(model);
  return true;
}

/** Whether a model ends its answer at these texts. */
export function canStopAt({ provider, supportsReasoning }: ModelFacts, stop: readonly string[]): boolean {
  if (provider === 'openai') return !supportsReasoning;
  // Anthropic refuses white space alone.
  if (provider === 'anthropic') return stop.every((text) => text.trim() !== '');
  return true;
}
