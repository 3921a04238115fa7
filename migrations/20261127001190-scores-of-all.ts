import { Migration } from '@mikro-orm/migrations';

/**
 * Marks past scores once more: an owner who is no superuser saw none of them when they were to be marked. The wall is forced for the owner too,
 * who sees every workspace for this statement alone.
 */
export class ScoresOfAll extends Migration {
  override up(): void {
    this.addSql('alter table lead_score no force row level security');
    this
      .addSql(`update lead_score l set is_superseded = true where not is_superseded and exists (select from lead_score n
      where n.workspace_id = l.workspace_id and n.contact_id = l.contact_id and n.id > l.id)`);
    this.addSql('alter table lead_score force row level security');
  }

  // What is marked is past, whoever marked it.
  override down(): void {}
}
