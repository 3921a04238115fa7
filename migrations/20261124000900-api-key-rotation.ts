import { Migration } from '@mikro-orm/migrations';

/** When a key was replaced: its end then is the end of the overlap, which a second successor must not inherit. */
export class ApiKeyRotation extends Migration {
  override up(): void {
    this.addSql('alter table api_key add column rotated_at timestamptz');
  }

  override down(): void {
    this.addSql('alter table api_key drop column rotated_at');
  }
}
