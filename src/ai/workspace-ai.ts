import type { Engine, InputDefaults } from '#src/ai/engines/define.ts';
import type { Language } from '#src/ai/local/language.ts';
import type { ApiKey, EngineName, ProviderName } from '#src/ai/model.ts';
import type { Privacy } from '#src/ai/pii/policy.ts';
import type { OwnPrompt } from '#src/ai/prompts/define.ts';
import type { Safety } from '#src/ai/safety/policy.ts';
import { estimateTokens } from '#src/ai/tokens.ts';

/** What a workspace has chosen for its AI jobs. */
export interface WorkspaceAi extends InputDefaults {
  /** Its own keys. A provider it has keys for is asked with these alone, and the workspace pays that provider itself. */
  keys: Partial<Record<ProviderName, readonly ApiKey[]>>;
  /** The only providers it may be answered by; left out, all. */
  allowedProviders?: readonly ProviderName[];
  /** Its own instructions in the place of ours, by `promptKey`. */
  prompts?: ReadonlyMap<string, OwnPrompt>;
  /** What one job may cost at most. */
  maxCostUsd?: number;
  /** What happens to personal data before a provider sees it. */
  privacy?: Privacy;
  /** What happens to material that may be hostile. */
  safety?: Safety;
}

export const promptKey = (engine: EngineName, language: Language): string => `${engine}/${language}`;

/** An engine as it works for a workspace on one input: which instruction it asks with, and the input with the workspace's choices filled in. */
export interface Bound<Input, Result> {
  engine: Engine<Input, Result>;
  input: Input;
  /** Names the prompt, for the cache and the usage: ours, or ours with the number of the workspace's text. Null where the engine has none. */
  promptVersion: string | null;
}

/** Applies what a workspace has chosen to one job's engine and input. */
export function bindTo<Input, Result>(
  engine: Engine<Input, Result>,
  given: Input,
  workspace: WorkspaceAi | undefined,
): Bound<Input, Result> {
  const input = workspace ? (engine.withDefaults?.(given, workspace) ?? given) : given;
  const language = engine.language?.(input);
  const own = language && workspace?.prompts?.get(promptKey(engine.name, language));
  const ours = engine.prompt?.version ?? null;
  if (!own) return { engine, input, promptVersion: ours };
  const promptTokens = engine.promptTokens + estimateTokens(own.text);
  const bound = { ...engine, promptTokens, ask: (asked: Input) => engine.ask(asked, own) };
  return { engine: bound, input, promptVersion: `${ours}+${own.language}.${own.version}` };
}
