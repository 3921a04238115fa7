import { Migration } from '@mikro-orm/migrations';

/** Scores that were followed by another of the same contact go in time; the last one stays, however old. These alone are looked through. */
export class SupersededScores extends Migration {
  override up(): void {
    this.addSql('alter table lead_score add column is_superseded boolean not null default false');
    this.addSql(`update lead_score l set is_superseded = true where exists (select from lead_score n
      where n.workspace_id = l.workspace_id and n.contact_id = l.contact_id and n.id > l.id)`);
    this.addSql('create index lead_score_superseded on lead_score (workspace_id, id) where is_superseded');
  }

  override down(): void {
    this.addSql('alter table lead_score drop column is_superseded');
  }
}
