import type { EntityManager } from '@mikro-orm/postgresql';
import type { Score } from '#src/modules/contact-ai/results.query.ts';

/** A score as it was when it changed. */
export interface ScoreRow extends Pick<Score, 'score' | 'grade' | 'version' | 'recommendation' | 'components'> {
  before: number | null;
  created_at: Date;
}

/** A contact's scores, the newest first. */
export async function findScores(em: EntityManager, contactId: string, limit: number): Promise<ScoreRow[]> {
  return em.execute<ScoreRow[]>(
    `select score, before, grade, version, recommendation, components, created_at from lead_score
      where workspace_id = current_workspace() and contact_id = ?::uuid order by id desc limit ${limit}`,
    [contactId],
  );
}
