import { Migration } from '@mikro-orm/migrations';

const CHECKED = `
  if month <> date_trunc('month', month)::date then
    raise exception 'A partition begins on the first of a month, not on %', month;
  end if;
  if not exists (select from pg_partitioned_table p where p.partrelid = parent) then
    raise exception '% has no partitions', parent;
  end if;
  if to_regclass(part) is not null then
    return false;
  end if;`;

// Nothing may be written to the default while its rows are moved, or the last of them would stay there and be in the way.
const TAKE = `
  select p.partdefid::regclass, a.attname into spare, key from pg_partitioned_table p
    join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0] where p.partrelid = parent;
  if spare <> 0 then
    belongs := format('where %I >= %L and %I < %L', key, first_id_of(month), key, first_id_of((month + interval '1 month')::date));
    execute format('select exists (select from %s %s)', spare, belongs) into is_late;
  end if;
  if is_late then
    execute format('lock table %s in access exclusive mode', spare);
    execute format('create temp table partition_moving on commit drop as select * from %s %s', spare, belongs);
    execute format('delete from %s %s', spare, belongs);
  end if;`;

const GIVE = `
  if is_late then
    execute format('insert into %I select * from pg_temp.partition_moving', part);
    drop table pg_temp.partition_moving;
  end if;`;

const make = (takesOver: boolean): string => `create or replace function partition_make(parent regclass, month date)
returns boolean language plpgsql security definer set search_path = public, pg_temp as $$
declare
  part text := format('%s_%s', parent, to_char(month, 'YYYYMM'));
  spare regclass;
  key name;
  belongs text;
  is_late boolean := false;
begin${CHECKED}${takesOver ? TAKE : ''}
  execute format('create table %I partition of %s for values from (%L) to (%L)', part, parent, first_id_of(month),
    first_id_of((month + interval '1 month')::date));
  execute format('revoke all on %I from wh_app, wh_system', part);${takesOver ? GIVE : ''}
  return true;
end $$`;

/** A month that was not made in time takes its rows over from the default partition; they would otherwise keep it from being made. */
export class PartitionMake extends Migration {
  override up(): void {
    this.addSql(make(true));
  }

  override down(): void {
    this.addSql(make(false));
  }
}
