// What it costs to choose the recipients of a campaign (consent, list of who is not written to, addresses, doubles, variants, counters), beside
// a bare `insert … select` of as many rows into the same table; and whether it holds them in memory. Run: npm run bench -- campaign-prepare
// BENCH_RECIPIENTS (1000000), BENCH_ROUNDS (3).
import { Pool } from 'pg';
import { MAX_RECIPIENTS } from '#src/modules/campaigns/audience.query.ts';
import { aCampaigner, checkCounters, openCampaignTest } from '#test/campaigns.ts';

const RECIPIENTS = Number(process.env['BENCH_RECIPIENTS'] ?? MAX_RECIPIENTS);
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3);
const GOAL_RATIO = 0.5;
const GOAL_RSS_MB = 64;
const SAMPLE_MS = 20;
const MIB = 1024 * 1024;
const print = (text: string) => process.stdout.write(`${text}\n`);
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

const test = await openCampaignTest();
try {
  const me = await aCampaigner(test);
  // Without the time-outs of the platform's own connections.
  const systemPool = new Pool({ connectionString: test.config.DATABASE_URL, max: 2 });
  await systemPool.query(
    `insert into contact (workspace_id, id, name, phone, consent)
      select $1, uuidv7(), 'Pessoa ' || n, '+55119' || (60000000 + n)::text, 'granted' from generate_series(1, $2::int) n`,
    [me.workspaceId, RECIPIENTS],
  );
  // One in a hundred is on the list, so that looking there finds something.
  await systemPool.query(
    `insert into suppression (workspace_id, id, address_hash, reason, source)
      select $1, uuidv7(), sha256(convert_to(n::text, 'UTF8')), 'opt_out', 'contact' from generate_series(1, $2::int / 100) n`,
    [me.workspaceId, RECIPIENTS],
  );
  await systemPool.query('analyze contact, suppression');
  const { id: channelId } = await me.channel();
  const times: { bare: number[]; prepared: number[] } = { bare: [], prepared: [] };
  let grownMb = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const id = await me.campaign(channelId);
    await me.start(id);
    const before = process.memoryUsage().rss;
    let peak = before;
    const sampler = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), SAMPLE_MS);
    const prepared = await timed(() => test.run({ workspaceId: me.workspaceId, jobId: id }));
    clearInterval(sampler);
    grownMb = Math.max(grownMb, (Math.max(peak, process.memoryUsage().rss) - before) / MIB);
    const { counters, status } = await me.read(id);
    if (status !== 'running' || counters.total !== RECIPIENTS)
      throw new Error(`${status}, ${counters.total} recipients`);
    const bareId = await me.campaign(channelId);
    const bare = await timed(() =>
      systemPool.query(
        `insert into campaign_item (workspace_id, id, campaign_id, channel_id, contact_id, address_hash, variant)
          select c.workspace_id, uuidv7(), $2, $3, c.id, sha256(uuid_send(c.id)), 0 from contact c where c.workspace_id = $1 order by c.id`,
        [me.workspaceId, bareId, channelId],
      ),
    );
    times.prepared.push(prepared);
    times.bare.push(bare);
    print(`  round ${round + 1}: prepared in ${Math.round(prepared)} ms, bare insert in ${Math.round(bare)} ms`);
    await systemPool.query('delete from campaign where workspace_id = $1', [me.workspaceId]);
  }
  const [bare, prepared] = [median(times.bare), median(times.prepared)];
  const ratio = bare / prepared;
  print(`${RECIPIENTS} recipients: ${Math.round((RECIPIENTS / prepared) * 1000)} a second`);
  print(`ratio to a bare insert: ${ratio.toFixed(2)} (goal: at least ${GOAL_RATIO})`);
  print(`memory of the process grew by ${grownMb.toFixed(1)} MB at most (goal: at most ${GOAL_RSS_MB})`);
  const problems = await checkCounters(systemPool);
  for (const problem of problems) print(`PROBLEM ${problem}`);
  await systemPool.end();
  process.exitCode = ratio >= GOAL_RATIO && grownMb <= GOAL_RSS_MB && problems.length === 0 ? 0 : 1;
} finally {
  await test.close();
}
