import { Migration } from '@mikro-orm/migrations';

/** What operators say of models beyond the built-in catalogue, for the whole installation; `body` is checked by src/ai/catalog-entry.ts. */
export class ModelOverrides extends Migration {
  override up(): void {
    this.addSql(`create table model_override (
      provider text not null,
      model text not null,
      body json not null,
      updated_at timestamptz not null default clock_timestamp(),
      primary key (provider, model)
    )`);
  }

  override down(): void {
    this.addSql('drop table model_override');
  }
}
