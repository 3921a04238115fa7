import type { Pool } from 'pg';
import { queryAs } from '#src/db/tenant.ts';

/** One thing a workspace has chosen: a setting (`value` as JSON or `sealed`), or the active text of a prompt. */
export interface ChoiceRow {
  kind: 'setting' | 'prompt';
  /** The setting's key, or the prompt's engine. */
  key: string;
  value: string | null;
  sealed: Buffer | null;
  /** Of a prompt. */
  language: string | null;
  version: number | null;
}

/** All that a workspace has chosen for its AI jobs, in one statement. */
export async function findChoices(pool: Pool, workspaceId: string): Promise<ChoiceRow[]> {
  const { rows } = await queryAs<ChoiceRow>(
    pool,
    { workspaceId },
    {
      name: 'workspace-ai',
      text: `select 'setting' as kind, key, value::text as value, sealed, null::text as language, null::int as version
        from workspace_setting where workspace_id = $1 and (key like 'ai.%' or key like 'privacy.%' or key like 'safety.%')
        union all
        select 'prompt', engine, text, null, language, version from prompt where workspace_id = $1 and is_active`,
      values: [workspaceId],
    },
  );
  return rows;
}
