import type { ApiKey, ProviderName } from '#src/ai/model.ts';

/** What a workspace has chosen for its AI jobs. */
export interface WorkspaceAi {
  /** Its own keys. A provider it has keys for is asked with these alone, and the workspace pays that provider itself. */
  keys: Partial<Record<ProviderName, readonly ApiKey[]>>;
  /** The only providers it may be answered by; left out, all. */
  allowedProviders?: readonly ProviderName[];
}
