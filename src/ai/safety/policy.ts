/** What a workspace has chosen for material that may be hostile. */
export interface Safety {
  /** Orders to the model in customer material: not looked for, written down, or refused. */
  injection: 'off' | 'note' | 'block';
  /** Whether OpenAI's moderation reads customer material first. */
  moderation: 'off' | 'on';
  /** What happens while it cannot be asked: the job runs (`open`) or waits (`closed`). */
  onFailure: 'open' | 'closed';
}

export const DEFAULT_SAFETY: Safety = { injection: 'note', moderation: 'off', onFailure: 'open' };
