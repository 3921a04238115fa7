// Every process of the platform is killed, paused and told to go at random while thousands of jobs run; then the books are checked.
// Run: node test/drills/kill-loop.ts, with DATABASE_URL (a server where it may make databases) and redis-server on the PATH.
// DRILL_SEED repeats a run's choices, DRILL_SECONDS (60) and DRILL_RATE (60 jobs per second) set its size.
import { setTimeout as sleep } from 'node:timers/promises';
import { BackendClient } from '../../client/src/index.ts';
import { createSimulator } from '../../simulator/server.ts';
import { checkBooks, checkHolds, watchEnds } from '#test/drills/books.ts';
import { isDatabaseOutage } from '#src/db/outage.ts';
import { createInstallation, freePort, startRedis, type Running } from '#test/processes.ts';

const SECONDS = Number(process.env['DRILL_SECONDS'] ?? 60);
const RATE = Number(process.env['DRILL_RATE'] ?? 60);
const SEED = Number(process.env['DRILL_SEED'] ?? Date.now() % 1_000_000);
const LEASE_MS = 2000;
const CREDITS = 1_000_000;
const print = (text: string) => process.stdout.write(`${text}\n`);

/** mulberry32: the same choices for the same seed. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
const killing = createRandom(SEED);
const asking = createRandom(SEED + 1);
const pick = <T>(from: readonly T[], random: () => number): T => from[Math.floor(random() * from.length)] as T;

const tally = new Map<string, number>();
const count = (what: string): void => void tally.set(what, (tally.get(what) ?? 0) + 1);

print(`seed ${SEED}, ${SECONDS} s, ${RATE} jobs/s, lease ${LEASE_MS} ms`);
const simulator = await createSimulator();
simulator.script({ chunkMs: 15 });
const redis = await startRedis();
const installation = await createInstallation({
  REDIS_URL: redis.url,
  OPENAI_API_KEY: 'sk-simulated',
  OPENAI_BASE_URL: `${simulator.url}/v1`,
  OPENAI_MODELS: 'gpt-4o-mini',
  STARTING_CREDITS: `${CREDITS}`,
  JOB_LEASE_MS: `${LEASE_MS}`,
});
const { pool } = installation;
const everStarted: Running[] = [];

/** A place where one process stands, and another after it has gone. */
interface Slot {
  name: string;
  start: () => Promise<Running>;
  running: Running | null;
}
const ports = [await freePort(), await freePort()];
const slots: Slot[] = [
  ...ports.map((port) => ({ name: 'api', start: () => installation.startApi(port), running: null })),
  ...[1, 2].map(() => ({ name: 'worker', start: () => installation.startWorker(), running: null })),
  { name: 'control', start: () => installation.startControl(), running: null },
];
async function fill(slot: Slot): Promise<void> {
  slot.running = null;
  const running = await slot.start();
  everStarted.push(running);
  slot.running = running;
}

async function strike(slot: Slot): Promise<void> {
  const { running } = slot;
  if (!running) return;
  const how = pick(['SIGKILL', 'SIGKILL', 'SIGSTOP', 'SIGTERM', 'twice'], killing);
  count(`${slot.name} ${how}`);
  if (how === 'SIGSTOP') {
    slot.running = null;
    await running.kill('SIGSTOP');
    await sleep(killing() * 3 * LEASE_MS);
    await running.kill('SIGCONT');
    slot.running = running;
    return;
  }
  if (how === 'twice') void running.kill('SIGTERM').catch(() => undefined);
  if (how === 'twice') await sleep(killing() * 50);
  slot.running = null;
  await running.kill(how === 'SIGKILL' ? 'SIGKILL' : 'SIGTERM');
  await fill(slot);
}

async function strikeServices(): Promise<void> {
  const how = pick(['redis paused', 'redis emptied', 'database connections cut', 'database connections cut'], killing);
  count(how);
  if (how === 'redis paused') {
    await redis.running.kill('SIGSTOP');
    await sleep(killing() * 5000);
    await redis.running.kill('SIGCONT');
  } else if (how === 'redis emptied') {
    await redis.stop();
    await sleep(killing() * 2000);
    await redis.restart();
  } else {
    await pool
      .query(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
      )
      .catch(() => undefined);
  }
}

const FAULTS = [
  { fault: 'server_error', times: 1 },
  { fault: 'reset', after: 3, times: 1 },
  { fault: 'truncated', after: 5 },
  { fault: 'rate_limit_ms', retryAfterMs: 200, times: 2 },
  { fault: 'rate_limit_ms', retryAfterMs: 0, times: 5 },
  { fault: 'bad_request' },
];
const accepted = new Set<string>();
let token = '';

async function call(path: string, body?: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${pick(ports, asking)}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    ...(body ? { body: JSON.stringify(body) } : { body: '{}' }),
    signal: AbortSignal.timeout(15_000),
  });
}

/** Mostly chats; now and then what other pools and engines do, and batches. */
function question(at: number): { path: string; body: object } {
  const kind = asking();
  if (kind < 0.08) return { path: '/api/ai/sentiment', body: { text: `gostei muito, pedido ${at}` } };
  // The same few: followers of one answer, and answers that were kept.
  if (kind < 0.16) return { path: '/api/ai/intent', body: { text: `quero comprar ${at % 20}` } };
  if (kind < 0.2) {
    const items = Array.from({ length: 5 }, (_, item) => ({ features: { pedido: at, item } }));
    return { path: '/api/ai/batch', body: { engine: 'score-lead', items } };
  }
  const fault = asking() < 0.15 ? `\n#sim ${JSON.stringify(pick(FAULTS, asking))}` : '';
  return { path: '/api/ai/chat', body: { messages: [{ role: 'user', content: `pergunta ${at}${fault}` }] } };
}

/** One client: asks, again under the same key where no answer came, and sometimes cancels. */
async function ask(at: number): Promise<void> {
  const { path, body } = question(at);
  const key = `drill-${at}`;
  const cancelAfterMs = asking() < 0.1 ? asking() * 600 : null;
  let jobId: string | null = null;
  for (let round = 0; round < 8; round += 1) {
    try {
      const response = await call(path, body, { 'idempotency-key': key });
      count(`POST ${response.status}`);
      if (response.status === 202) {
        const answer = (await response.json()) as { jobId: string };
        if (jobId !== null && jobId !== answer.jobId) count('WRONG: two jobs for one key');
        ({ jobId } = answer);
        accepted.add(jobId);
        // Once more now and then: the key must lead to the same job.
        if (asking() > 0.05) break;
      } else await response.body?.cancel();
    } catch {
      count('POST without an answer');
    }
    await sleep(300);
  }
  if (jobId === null || cancelAfterMs === null) return;
  await sleep(cancelAfterMs);
  const response = await call(`/api/jobs/${jobId}/cancel`).catch(() => null);
  count(`cancel ${response?.status ?? 'without an answer'}`);
  await response?.body?.cancel();
}

/** A client that reads along, through every crash, and must end with exactly the job's text. */
async function readAlong(client: BackendClient, isOver: () => boolean): Promise<void> {
  for (let at = 0; !isOver(); at += 1) {
    try {
      const run = client.jobs.run('chat', { messages: [{ role: 'user', content: `leio ${at}` }] });
      let text = '';
      for await (const update of run) text = update.restarted ? update.delta : text + update.delta;
      const job = await run.result;
      accepted.add(job.id);
      const shown = (job.result as { text?: string } | null)?.text;
      count(text === shown ? 'streams read' : 'WRONG: a stream differs from its result');
      if (text !== shown) print(`  ${job.id}: read ${JSON.stringify(text)}, result ${JSON.stringify(shown)}`);
    } catch (error) {
      count(`stream refused: ${error instanceof Error ? error.message.slice(0, 60) : String(error)}`);
      await sleep(200);
    }
  }
}

try {
  await Promise.all(slots.map(fill));
  // The second control stands by for the first.
  const standby: Slot = { name: 'control', start: () => installation.startControl(), running: null };
  await fill(standby);
  slots.push(standby);
  const clients = ports.map((port) => new BackendClient({ baseUrl: `http://127.0.0.1:${port}` }));
  const session = await clients[0]!.register({
    email: 'drill@example.com',
    password: 'long enough for a drill',
    name: 'Drill',
  });
  await clients[1]!.login({ email: 'drill@example.com', password: 'long enough for a drill' });
  ({ token } = session);
  await watchEnds(pool);

  const endsAt = performance.now() + SECONDS * 1000;
  const isOver = () => performance.now() > endsAt;
  const open = new Set<Promise<void>>();
  const track = (work: Promise<void>) => {
    open.add(work);
    void work.finally(() => open.delete(work));
  };
  const readers = clients.map((client) => readAlong(client, isOver));
  const kills = (async () => {
    while (!isOver()) {
      await sleep(200 + killing() * 1200);
      track(strike(pick(slots, killing)));
    }
  })();
  const problems: string[] = [];
  const services = (async () => {
    while (!isOver()) {
      try {
        problems.push(...(await checkHolds(pool)));
        count('holds looked at');
      } catch (error) {
        // A connection that was just cut is no wrong book; a question that cannot be asked is.
        if (isDatabaseOutage(error)) count('holds not looked at: the connection was cut');
        else problems.push(`the holds cannot be read: ${String(error)}`);
      }
      await sleep(4000 + killing() * 8000);
      if (!isOver()) await strikeServices();
    }
  })();
  for (let at = 0; !isOver(); at += 1) {
    if (open.size < 500) track(ask(at));
    await sleep(1000 / RATE);
  }
  await Promise.all([kills, services]);
  await Promise.all(open);
  if (!tally.has('holds looked at')) problems.push('the holds were never looked at while jobs ran');
  print('quiet; waiting for every job to end');
  problems.push(...(await checkBooks(pool, [...accepted], CREDITS)));
  await Promise.race([Promise.all(readers), sleep(30_000)]);
  for (const client of clients) client.close();
  for (const running of everStarted) {
    const crash = running.crash();
    if (crash !== null) problems.push(crash);
    for (const line of running.lines()) {
      const text = String(line['msg']);
      if (/refused|dropped|could not be claimed|attempt threw|Deadlock/i.test(text)) count(`log: ${text}`);
      const code = (line['err'] as { code?: string } | undefined)?.code;
      if (code === '40P01') problems.push(`a deadlock: ${JSON.stringify(line)}`);
    }
  }
  for (const [what, times] of [...tally].toSorted(([a], [b]) => a.localeCompare(b))) print(`  ${what}: ${times}`);
  problems.push(...[...tally.keys()].filter((what) => what.startsWith('WRONG')));
  for (const problem of problems) print(`PROBLEM ${problem}`);
  print(problems.length === 0 ? 'All books are right.' : `seed ${SEED}: ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  await installation.close();
  await redis.stop();
  await simulator.close();
}
