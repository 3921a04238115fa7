// Messages a second through a gateway's channel without any pacing (claim, begin, post, ack), beside a bare loop that signs the same bodies and
// posts them to the same gateway with as many under way at once; and what bounds it. Run: npm run bench -- campaign-dispatch
// BENCH_ITEMS (5000), BENCH_CHANNELS (4), BENCH_WORKERS (1).
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { Agent, request } from 'undici';
import { readConfig } from '#src/config.ts';
import { openOrm } from '#src/db/orm.ts';
import { newId } from '#src/lib/ids.ts';
import { createLog } from '#src/lib/log.ts';
import { entities } from '#src/modules/entities.ts';
import { makeSecret, readSecret, signatureHeaders } from '#src/modules/webhooks/signature.ts';
import { makeCampaigns, ask } from '#test/drills/campaign-field.ts';
import { openGateway } from '#test/drills/campaign-gateway.ts';
import { createRandom } from '#test/fuzz/random.ts';
import { createInstallation } from '#test/processes.ts';

const ITEMS = Number(process.env['BENCH_ITEMS'] ?? 5000);
const CHANNELS = Number(process.env['BENCH_CHANNELS'] ?? 4);
const WORKERS = Number(process.env['BENCH_WORKERS'] ?? 1);
/** What a worker has under way for one channel. */
const LANES = 16;
const CLOCK_TICKS = 100;
const print = (text: string) => process.stdout.write(`${text}\n`);
const pause = () => new Promise((resolve) => setTimeout(resolve, 50));

/** What the machine's processors have done, and could have. */
function processorTimes(): { busy: number; all: number } {
  const times = cpus().map(({ times: { user, nice, sys, irq, idle } }) => ({ busy: user + nice + sys + irq, idle }));
  const busy = times.reduce((sum, one) => sum + one.busy, 0);
  return { busy, all: times.reduce((sum, one) => sum + one.idle, busy) };
}

/** Seconds of processor that a process has used. */
async function processorSeconds(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS;
}

const gateway = await openGateway(createRandom(1), { refused: 0, busy: 0, cut: 0, vague: 0 }, async () => undefined);
const installation = await createInstallation({ EGRESS_ALLOW: gateway.target, DATABASE_POOL: '10' });
const orm = openOrm(readConfig(installation.env), entities, { role: 'wh_app', log: createLog('silent', 'bench') });

/** @returns messages a second */
async function bareLoop(): Promise<number> {
  const agent = new Agent({ connections: LANES * CHANNELS, pipelining: 1 });
  const key = readSecret({ secret: makeSecret(false).secret, privateKey: null });
  let left = ITEMS;
  const startedAt = performance.now();
  const lane = async (): Promise<void> => {
    for (; left > 0; left -= 1) {
      const attemptId = newId();
      const data = { itemId: newId(), attemptId, to: '+5511980000000', text: 'Oi Pessoa' };
      const body = JSON.stringify({ type: 'campaign.item', timestamp: new Date().toISOString(), data });
      const signed = signatureHeaders([key], attemptId, Math.floor(Date.now() / 1000), body);
      const headers = { 'content-type': 'application/json', ...signed };
      await (await request(gateway.url, { dispatcher: agent, method: 'POST', headers, body })).body.json();
    }
  };
  await Promise.all(Array.from({ length: LANES * CHANNELS }, lane));
  const perSecond = (ITEMS / (performance.now() - startedAt)) * 1000;
  await agent.close();
  return perSecond;
}

try {
  const { pool } = installation;
  const api = await installation.startApi();
  await installation.startControl();
  const workers = await Promise.all(Array.from({ length: WORKERS }, () => installation.startWorker('campaigns')));
  const plan = { campaigns: CHANNELS, people: Math.ceil(ITEMS / CHANNELS) };
  const campaigns = await makeCampaigns(api.url, orm, gateway.url, plan);
  const bare = await bareLoop();
  gateway.journal.length = 0;
  const commits = async () =>
    Number(
      (await pool.query('select xact_commit as n from pg_stat_database where datname = current_database()')).rows[0]?.n,
    );
  const usedOf = async () =>
    (await Promise.all(workers.map(({ pid }) => processorSeconds(pid)))).reduce((a, b) => a + b, 0);
  const [commitsBefore, usedBefore] = [await commits(), await usedOf()];
  await Promise.all(campaigns.map((one) => ask(api.url, 'start', one)));
  while (gateway.journal.length === 0) await pause();
  // As autovacuum does within a minute of the first campaign of an installation.
  await pool.query('analyze campaign_item, campaign_item_attempt, contact, contact_identity');
  const [startedAt, before, timesBefore] = [performance.now(), gateway.journal.length, processorTimes()];
  while (gateway.journal.length < plan.people * plan.campaigns) await pause();
  const seconds = (performance.now() - startedAt) / 1000;
  const times = processorTimes();
  const used = (await usedOf()) - usedBefore;
  // What a backend has done is told within a second.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const perItem = ((await commits()) - commitsBefore) / gateway.journal.length;
  const perSecond = (gateway.journal.length - before) / seconds;
  print(`${ITEMS} messages of ${CHANNELS} channels, ${WORKERS} workers: ${Math.round(perSecond)} a second`);
  print(`a bare loop: ${Math.round(bare)} a second; ratio ${(perSecond / bare).toFixed(2)}`);
  const busy = (times.busy - timesBefore.busy) / (times.all - timesBefore.all);
  print(`${perItem.toFixed(2)} commits a message; the workers used ${(used / seconds).toFixed(2)} processors`);
  print(
    busy > 0.85
      ? `Bound by the machine: its processors were ${Math.round(100 * busy)} % busy, most of it Postgres.`
      : `Bound by the round trips of claim, begin and ack: the processors were ${Math.round(100 * busy)} % busy.`,
  );
} finally {
  await orm.close();
  await installation.close();
  await gateway.close();
}
