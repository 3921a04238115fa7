import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { isDatabaseOutage } from '#src/db/outage.ts';
import { findBroken } from '#src/modules/billing/reconcile.query.ts';

const MICRO_CREDITS = 1_000_000;
const ALL_ENDED_WITHIN_MS = 120_000;
const WHOLE_LIFE_SECONDS = 86_400;

/** Has the database itself note every end of a job, and every change of one that was over. */
export async function watchEnds(pool: Pool): Promise<void> {
  await pool.query(`
    create table drill_end (job_id uuid not null, status text not null);
    create table drill_wrong (job_id uuid not null, was text not null, became text not null);
    create function drill_note() returns trigger language plpgsql as $$
    begin
      if old.finished_at is null and new.finished_at is not null then
        insert into drill_end values (new.id, new.status);
      elsif old.finished_at is not null and (old.status, old.finished_at, old.credit_charged, old.result::text)
        is distinct from (new.status, new.finished_at, new.credit_charged, new.result::text) then
        insert into drill_wrong values (new.id, old.status, new.status);
      end if;
      return null;
    end $$;
    create trigger drill_note after update on job for each row execute function drill_note();`);
}

async function openJobs(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ n: number }>('select count(*)::int as n from job where finished_at is null');
  return rows[0]?.n ?? 0;
}

/** A connection that was just cut says nothing of how many are open. @throws every other error */
function oneMore(error: unknown): number {
  if (isDatabaseOutage(error)) return 1;
  throw error;
}

/**
 * Compares, at one moment while jobs run, what accounts hold with what their open jobs hold.
 * @returns what is wrong, one line each.
 */
export async function checkHolds(pool: Pool): Promise<string[]> {
  const { rows } = await pool.query<{ workspace_id: string; held: string; open: string }>(
    `select a.workspace_id, a.held, coalesce(sum(j.credit_held), 0) as open
     from credit_account a left join job j on j.workspace_id = a.workspace_id and j.finished_at is null
     group by a.workspace_id, a.held having a.held <> coalesce(sum(j.credit_held), 0)`,
  );
  return rows.map((row) => `held credits that are not those of open jobs: ${JSON.stringify(row)}`);
}

/** What of the ledger holds at every moment, whoever was killed in the middle of what. As one statement, so of one moment. */
const LEDGER = `select a.balance < 0 or a.held < 0 as "is negative",
    a.balance + a.held <> (select coalesce(sum(case when to_account = 'credits' then amount else -amount end), 0)
      from credit_entry e where e.workspace_id = a.workspace_id) as "is not the sum of its entries",
    (select coalesce(sum(amount), 0) from credit_entry e where e.workspace_id = a.workspace_id and e.kind = 'capture')
      <> (select coalesce(sum(credit_charged), 0) from job j where j.workspace_id = a.workspace_id) as "has captured what jobs were not charged",
    exists (select from credit_reservation r left join job j using (workspace_id, id)
      where r.workspace_id = a.workspace_id and (j.id is null or j.finished_at is not null)) as "holds for a job that is over",
    exists (select from job j left join credit_reservation r using (workspace_id, id)
      where j.workspace_id = a.workspace_id and j.finished_at is null and j.credit_held <> coalesce(r.amount, 0))
      as "does not hold what an open job may cost",
    (select count(*) from credit_resolution r where r.workspace_id = a.workspace_id)
      <> (select count(*) from job j where j.workspace_id = a.workspace_id and j.finished_at is not null and j.credit_held > 0)
      as "has not ended each hold once",
    a.workspace_id
  from credit_account a`;

/**
 * Compares the ledger with the jobs, at one moment and also while they run.
 * @returns what is wrong, one line each
 */
export async function checkLedger(pool: Pool): Promise<string[]> {
  const broken = await findBroken(pool, WHOLE_LIFE_SECONDS);
  const { rows } = await pool.query<Record<string, unknown>>(LEDGER);
  return [
    ...broken.map((one) => `the books of credits are uneven: ${JSON.stringify(one)}`),
    ...rows.flatMap(({ workspace_id: id, ...claims }) =>
      Object.entries(claims).flatMap(([what, isSo]) =>
        isSo === false ? [] : [`the account of ${String(id)} ${what}`],
      ),
    ),
  ];
}

/**
 * Waits for the end of every job and reads the books.
 * @param accepted the jobs that clients were told of.
 * @param granted credits given to each workspace at its start.
 * @returns what is wrong, one line each.
 */
export async function checkBooks(pool: Pool, accepted: string[], granted: number): Promise<string[]> {
  const startedAt = performance.now();
  const problems: string[] = [];
  // The first queries after the last blow may meet a connection that was cut.
  while ((await openJobs(pool).catch(oneMore)) > 0 && performance.now() - startedAt < ALL_ENDED_WITHIN_MS)
    await sleep(200);
  process.stdout.write(`  last end after ${Math.round(performance.now() - startedAt)} ms of quiet\n`);
  const list = async (what: string, sql: string, values: unknown[] = []): Promise<void> => {
    const { rows } = await pool.query<Record<string, unknown>>(sql, values);
    if (rows.length > 0) problems.push(`${what}: ${rows.length}, such as ${JSON.stringify(rows.slice(0, 3))}`);
  };
  await list(
    'jobs without an end',
    `select id, status, attempt, failures, dispatched_at, run_at, lease_until, cancel_requested_at, now() from job
     where finished_at is null order by id`,
  );
  await list(
    'accepted jobs that are not there',
    'select id from unnest($1::uuid[]) as t (id) where not exists (select from job where job.id = t.id)',
    [accepted],
  );
  await list('jobs that ended twice', 'select job_id, count(*) from drill_end group by job_id having count(*) > 1');
  await list('jobs changed after their end', 'select * from drill_wrong');
  await list('open leases', 'select id, lease_until from job where lease_token is not null');
  await list('holds left', 'select workspace_id, held from credit_account where held <> 0');
  await list(
    'accounts that do not add up',
    `select a.workspace_id, a.balance, a.held, sum(j.credit_charged) as charged
     from credit_account a join job j using (workspace_id)
     group by a.workspace_id, a.balance, a.held having a.balance + a.held + sum(j.credit_charged) <> $1::bigint`,
    [granted * MICRO_CREDITS],
  );
  await list(
    'jobs whose paid calls are not their charge',
    `select j.id, j.status, j.credit_charged, sum(u.credits) as credits, count(u.job_id) filter (where u.credits > 0) as paid
     from job j left join ai_usage_log u on u.workspace_id = j.workspace_id and u.job_id = j.id
     group by j.workspace_id, j.id
     having j.credit_charged <> coalesce(sum(u.credits), 0) or count(u.job_id) filter (where u.credits > 0) > 1`,
  );
  await list(
    'completed jobs without exactly one delivered call',
    `select j.id, j.engine, j.attempt, count(u.job_id) as delivered from job j
     left join ai_usage_log u on u.workspace_id = j.workspace_id and u.job_id = j.id and u.outcome = 'delivered'
     where j.status = 'completed' and j.engine <> 'batch' and (j.usage->>'cached') is distinct from 'true'
     group by j.workspace_id, j.id having count(u.job_id) <> 1`,
  );
  await list(
    'batches that are over before their items, or open after them, or whose result has not their number',
    `select p.id, p.status, count(*) as items, count(i.finished_at) as over from job p
     join job i on i.workspace_id = p.workspace_id and i.parent_id = p.id
     group by p.workspace_id, p.id
     having (count(*) = count(i.finished_at)) <> (p.finished_at is not null) or count(*) <> json_array_length(p.result)`,
  );
  await list(
    'jobs charged though nothing was delivered',
    `select id, status, credit_charged from job where status = 'failed' and credit_charged > 0`,
  );
  await list('completed jobs without a result', `select id from job where status = 'completed' and result is null`);
  await list('jobs with more failures than attempts', 'select id, failures from job where failures > max_attempts');
  await list(
    'jobs given up though they could go on',
    `select id, attempt, failures, problem from job where status = 'failed' and problem->>'code' in ('worker_lost', 'internal')`,
  );
  problems.push(...(await checkLedger(pool)));
  const { rows } = await pool.query<{
    status: string;
    code: string | null;
    n: number;
    attempts: number;
    seconds: number;
  }>(
    `select status, problem->>'code' as code, count(*)::int as n, max(attempt) as attempts,
       round(max(extract(epoch from finished_at - created_at)), 1)::float8 as seconds from job group by 1, 2 order by 1, 2`,
  );
  for (const row of rows) {
    const code = row.code === null ? '' : ` (${row.code})`;
    process.stdout.write(`  ${row.n} ${row.status}${code}: at most ${row.attempts} attempts, ${row.seconds} s\n`);
  }
  return problems;
}
