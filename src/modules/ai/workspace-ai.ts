import type { Pool } from 'pg';
import { readApiKeys } from '#src/ai/api-keys.ts';
import { engineNamed } from '#src/modules/ai/engine-named.ts';
import type { ApiKey, ProviderName } from '#src/ai/model.ts';
import type { Privacy } from '#src/ai/pii/policy.ts';
import { promptKey, type WorkspaceAi } from '#src/ai/workspace-ai.ts';
import { type ChoiceRow, findChoices } from '#src/modules/ai/workspace-ai.query.ts';
import { PROVIDER_KEYS, type ValuesOf, valuesOf } from '#src/modules/settings/registry.ts';
import { secretPlace } from '#src/modules/settings/secret-place.ts';
import type { Vault } from '#src/modules/vault/vault.ts';

/** How long a process may go on with what was changed. */
const FRESH_MS = 1000;
const MAX_KEPT = 10_000;

/** Reads what a workspace has chosen for its AI jobs; at most a second old, one statement a second for each workspace at work. */
export type ReadWorkspaceAi = (workspaceId: string) => Promise<WorkspaceAi>;

/** Needs no ORM: workers read it too. */
export function createWorkspaceAi(pool: Pool, vault: Pick<Vault, 'open'>): ReadWorkspaceAi {
  const kept = new Map<string, { chosen: Promise<WorkspaceAi>; goodUntil: number }>();
  return (workspaceId) => {
    const known = kept.get(workspaceId);
    const now = performance.now();
    if (known && known.goodUntil > now) return known.chosen;
    kept.delete(workspaceId);
    const chosen = read(pool, vault, workspaceId);
    chosen.catch(() => kept.delete(workspaceId));
    if (kept.size >= MAX_KEPT) for (const oldest of kept.keys()) if (kept.delete(oldest)) break;
    kept.set(workspaceId, { chosen, goodUntil: now + FRESH_MS });
    return chosen;
  };
}

async function read(pool: Pool, vault: Pick<Vault, 'open'>, workspaceId: string): Promise<WorkspaceAi> {
  const rows = await findChoices(pool, workspaceId);
  const settings = new Map(rows.filter(({ kind }) => kind === 'setting').map((row) => [row.key, row]));
  const values = valuesOf('workspace', new Map([...settings].map(([key, { value }]) => [key, value])));
  const keys: Partial<Record<ProviderName, readonly ApiKey[]>> = {};
  for (const [key, provider] of PROVIDER_KEYS) {
    const sealed = settings.get(key)?.sealed;
    if (!sealed) continue;
    const secret = await vault.open(secretPlace(workspaceId, key), sealed);
    keys[provider] = readApiKeys(
      secret.split(',').map((one) => one.trim()),
      'workspace',
    );
  }
  const allowedProviders = values['ai.allowedProviders'];
  const maxCostUsd = values['ai.maxCostUsd'];
  return {
    keys,
    tone: values['ai.tone'],
    language: values['ai.language'] ?? undefined,
    prompts: promptsOf(rows),
    privacy: privacyOf(values),
    safety: {
      injection: values['safety.injection'],
      moderation: values['safety.moderation'],
      onFailure: values['safety.onFailure'],
    },
    ...(allowedProviders && { allowedProviders }),
    ...(maxCostUsd !== null && { maxCostUsd }),
  };
}

/** A workspace's settings of personal data, as the masker reads them. */
export const privacyOf = (values: ValuesOf<'workspace'>): Privacy => ({
  pii: values['privacy.pii'],
  allow: values['privacy.allow'],
  maskOllama: values['privacy.maskOllama'],
});

function promptsOf(rows: ChoiceRow[]): WorkspaceAi['prompts'] {
  return new Map(
    rows.flatMap(({ kind, key, value, language, version }) => {
      const engine = kind === 'prompt' ? engineNamed(key) : undefined;
      if (!engine || value === null || version === null) return [];
      if (language !== 'pt' && language !== 'en' && language !== 'es') return [];
      return [[promptKey(engine.name, language), { language, version, text: value }]];
    }),
  );
}

/** The options of a job with the workspace's limit on what one may cost: the lower of the two. */
export function withMaxCost<Options extends { maxCostUsd?: number | undefined }>(
  options: Options,
  workspace: WorkspaceAi,
): Options {
  if (workspace.maxCostUsd === undefined) return options;
  return { ...options, maxCostUsd: Math.min(options.maxCostUsd ?? Infinity, workspace.maxCostUsd) };
}
