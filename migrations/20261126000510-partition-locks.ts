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

// Whoever writes to the table has locked what its keys refer to before (a job, then its calls): in any other order each would wait for the other.
const LOCKED = `
  for target in select distinct c.confrelid::regclass from pg_constraint c where c.conrelid = parent and c.contype = 'f' order by 1 loop
    execute format('lock table %s in share row exclusive mode', target);
  end loop;
  execute format('lock table %s in access exclusive mode', parent);`;

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

const make = (locks: string): string => `create or replace function partition_make(parent regclass, month date)
returns boolean language plpgsql security definer set search_path = public, pg_temp as $$
declare
  part text := format('%s_%s', parent, to_char(month, 'YYYYMM'));
  target regclass;
  spare regclass;
  key name;
  belongs text;
  is_late boolean := false;
begin${CHECKED}${locks}${TAKE}
  execute format('create table %I partition of %s for values from (%L) to (%L)', part, parent, first_id_of(month),
    first_id_of((month + interval '1 month')::date));
  execute format('revoke all on %I from wh_app, wh_system', part);${GIVE}
  return true;
end $$`;

/** A partition is made with locks in the order in which everybody else takes them, so that no job has to fail for it. */
export class PartitionLocks extends Migration {
  override up(): void {
    this.addSql(make(LOCKED));
  }

  override down(): void {
    this.addSql(make(''));
  }
}
