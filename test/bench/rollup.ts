// Whether counting new calls costs what is new or what is stored. Run: npm run bench -- rollup
import { Client } from 'pg';
import { openPool } from '#src/db/pool.ts';
import { rollUp } from '#src/modules/analytics/rollup.ts';
import { createLog } from '#src/lib/log.ts';
import { book, type Fact } from '#test/analytics.ts';
import { percentile } from '#test/bench/load.ts';
import { createTestDatabase } from '#test/harness.ts';

const SMALL = Number(process.env['ROLLUP_SMALL'] ?? 100_000);
const LARGE = Number(process.env['ROLLUP_LARGE'] ?? 10_000_000);
const NEW = Number(process.env['ROLLUP_NEW'] ?? 1000);
const ROUNDS = Number(process.env['ROLLUP_ROUNDS'] ?? 15);
const MONTHS = 13;
const LOAD_STEP = 500_000;
const print = (text: string) => process.stdout.write(`${text}\n`);

const WORKSPACE = '018f0000-0000-7000-8000-0000000000aa';
const USER = '018f0000-0000-7000-8000-0000000000bb';
const log = createLog('silent', 'bench');

/** One workspace with so many calls over thirteen months; neither keys nor marks of them are checked or made while they are loaded. */
async function load(client: Client, rows: number): Promise<void> {
  await client.query(`select partition_make('ai_usage_log', (date_trunc('month', now() at time zone 'UTC') - n * interval '1 month')::date)
    from generate_series(0, ${MONTHS}) n`);
  await client.query(`insert into workspace (id, name, plan, time_zone, currency, country)
    values ('${WORKSPACE}', 'bench', 'free', 'America/Sao_Paulo', 'BRL', 'BR')`);
  await client.query('set session_replication_role = replica');
  for (let from = 0; from < rows; from += LOAD_STEP) {
    await client.query(
      `insert into ai_usage_log (workspace_id, job_id, attempt_no, call_no, user_id, engine, strategy, provider, model, key_owner, outcome,
        input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, is_estimated, cost_nano, credits,
        price_version, latency_ms, started_at)
      select $1, encode(set_byte(overlay(uuid_send(gen_random_uuid()) placing substring(int8send((extract(epoch from at) * 1000)::bigint)
          from 3) from 1 for 6), 6, 112), 'hex')::uuid, 1, 1, $2, 'copilot', 'failover', 'openai', 'm' || n % 5, 'installation', 'delivered',
        100, 0, 0, 50, 0, false, 1000, 1000, 'v', 800, at
      from (select n, now() - interval '2 hours' - n::float8 / $5 * interval '${MONTHS} months' as at
        from generate_series($3::int, $4::int - 1) n) t`,
      [WORKSPACE, USER, from, Math.min(rows, from + LOAD_STEP), rows],
    );
  }
  await client.query('set session_replication_role = origin');
  await client.query('vacuum analyze ai_usage_log');
}

const fact = (startedAt: Date, at: number): Fact => ({
  startedAt,
  engine: 'copilot',
  provider: 'openai',
  model: `m${at % 5}`,
  userId: USER,
  outcome: 'delivered',
  isOwnKey: false,
  tokens: 100,
  costNano: 1000,
  latencyMs: 800,
});

/** @returns milliseconds of each rollup of as many new calls, and the rows it found */
async function measure(rows: number): Promise<{ timesMs: number[]; stop: () => Promise<void> }> {
  const database = await createTestDatabase();
  const client = new Client({ connectionString: database.url });
  await client.connect();
  const started = performance.now();
  await load(client, rows);
  print(`  ${rows} rows loaded in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  const pool = openPool({ DATABASE_URL: database.url }, { name: 'bench', role: 'wh_app', max: 2 }, log);
  const timesMs: number[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    // Each in an hour of its own, as the stored calls have none of.
    const hour = Math.floor(Date.now() / 3_600_000) * 3_600_000 + round * 3_600_000;
    await book(
      client,
      WORKSPACE,
      Array.from({ length: NEW }, (_, at) => fact(new Date(hour + (at * 3_500_000) / NEW), at)),
    );
    const at = performance.now();
    await rollUp({ pool, keepMonths: MONTHS, log }, WORKSPACE);
    // The first warms up.
    if (round > 0) timesMs.push(performance.now() - at);
  }
  const { rows: kept } = await client.query(
    `select sum(amounts[1])::int as calls from analytics_hourly where source = 'ai.calls' and hour >= date_trunc('hour', now(), 'UTC')`,
  );
  if (kept[0].calls !== NEW * (ROUNDS + 1)) throw new Error(`Counted ${kept[0].calls} calls`);
  return {
    timesMs,
    async stop() {
      await pool.end();
      await client.end();
      await database.drop();
    },
  };
}

print(`rollup of an hour with ${NEW} new calls, median of ${ROUNDS}`);
const medians: number[] = [];
for (const rows of [SMALL, LARGE]) {
  const { timesMs, stop } = await measure(rows);
  const median = percentile(timesMs, 0.5);
  medians.push(median);
  print(
    `  with ${rows} calls stored: ${median.toFixed(1)} ms (${Math.min(...timesMs).toFixed(1)} to ${Math.max(...timesMs).toFixed(1)})`,
  );
  await stop();
}
print(`  ratio: ${((medians[1] ?? NaN) / (medians[0] ?? NaN)).toFixed(2)}`);
