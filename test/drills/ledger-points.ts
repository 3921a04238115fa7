import { setTimeout as sleep } from 'node:timers/promises';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import type { Pool } from 'pg';
import { checkLedger } from '#test/drills/books.ts';
import { createInstallation, freePort, type Installation, type Running } from '#test/processes.ts';

const LEASE_MS = 1000;
/** Everything comes late where others have the processor: this is when never is. */
const WITHIN_MS = 240_000;

/** An installation whose processes are there to be killed. */
export interface Field {
  installation: Installation;
  simulator: Simulator;
  port: number;
  api: Running;
  worker: Running;
  control: Running;
  token: string;
  close(): Promise<void>;
}

export async function openField(): Promise<Field> {
  const simulator = await createSimulator();
  const installation = await createInstallation({
    OPENAI_API_KEY: 'sk-simulated',
    OPENAI_BASE_URL: `${simulator.url}/v1`,
    OPENAI_MODELS: 'gpt-4o-mini',
    JOB_LEASE_MS: `${LEASE_MS}`,
    STARTING_CREDITS: '1000000',
    MAX_EVENT_LOOP_DELAY_MS: '0',
  });
  const port = await freePort();
  const [api, worker, control] = await Promise.all([
    installation.startApi(port),
    installation.startWorker('ai-inference'),
    installation.startControl(),
  ]);
  const field: Field = {
    installation,
    simulator,
    port,
    api,
    worker,
    control,
    token: '',
    close: async () => {
      await installation.close();
      await simulator.close();
    },
  };
  const person = { email: 'drill@example.com', password: 'long enough for a drill', name: 'Drill' };
  field.token = String((await post(field, '/api/auth/register', person))['token']);
  // Sessions are short, the drill is long.
  field.token = String((await post(field, '/api/api-keys', { name: 'Drill', scopes: ['*'] }))['secret']);
  return field;
}

async function post({ port, token }: Field, path: string, body: object = {}): Promise<Record<string, unknown>> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token === '' ? {} : { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  });
  const said = await answer.text();
  if (!answer.ok) throw new Error(`${path} was answered ${answer.status}: ${said}`);
  return JSON.parse(said) as Record<string, unknown>;
}

const QUESTION = 'quanto custa a entrega?';
const ask = async (field: Field, content = QUESTION): Promise<string> =>
  String((await post(field, '/api/ai/chat', { messages: [{ role: 'user', content }] }))['jobId']);
const askMany = (field: Field) =>
  post(field, '/api/ai/batch', {
    engine: 'chat',
    items: Array.from({ length: 5 }, () => ({ messages: [{ role: 'user', content: QUESTION }] })),
  });

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const startedAt = performance.now();
  while (!(await holds())) {
    if (performance.now() - startedAt > WITHIN_MS) throw new Error(`It never came to this: ${what}`);
    await sleep(20);
  }
}

const exists = async (pool: Pool, sql: string, values: unknown[] = []): Promise<boolean> =>
  ((await pool.query(sql, values)).rowCount ?? 0) > 0;

const isJob = ({ installation }: Field, id: string, status: string) =>
  until(`a job that is ${status}`, () =>
    exists(installation.pool, 'select from job where id = $1 and status = $2', [id, status]),
  );

export interface Strike {
  /** What will run into the lock. Not waited for: whoever asks is cut off with the one who is killed. */
  start?: () => Promise<unknown>;
  /** Deals with who waits. */
  blow: () => Promise<unknown>;
  /** The statement that locks; without it, the ledger. */
  lock?: string;
}

/**
 * Keeps a lock while somebody runs into it and is dealt with.
 * @param statement a part of the one that will wait
 */
export async function whileLocked(
  pool: Pool,
  statement: string,
  { start, blow, lock = 'select from credit_account for update' }: Strike,
): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    await client.query(lock);
    void start?.().catch(() => undefined);
    const waits = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like $1`;
    await until(`a ${statement} that waits`, () => exists(pool, waits, [`%${statement}%`]));
    await blow();
  } finally {
    await client.query('rollback');
    client.release();
  }
  // What waited goes on though nobody listens any more.
  const runs = `select from pg_stat_activity where datname = current_database() and state = 'active' and pid <> pg_backend_pid()
    and query like $1`;
  await until(`no ${statement}`, async () => !(await exists(pool, runs, [`%${statement}%`])));
}

async function killApi(field: Field): Promise<void> {
  await field.api.kill('SIGKILL');
  field.api = await field.installation.startApi(field.port);
}

async function killWorker(field: Field): Promise<void> {
  await field.worker.kill('SIGKILL');
  field.worker = await field.installation.startWorker('ai-inference');
}

async function killControl(field: Field): Promise<void> {
  await field.control.kill('SIGKILL');
  field.control = await field.installation.startControl();
}

/** Where somebody dies, by name. Each brings it about and starts again who was killed. */
export const POINTS: Record<string, (field: Field) => Promise<void>> = {
  'control right after the 202': async (field) => {
    await ask(field);
    await killControl(field);
  },
  'the worker in its claim': async (field) => {
    // It stands still until the job is locked.
    await field.worker.kill('SIGSTOP');
    await ask(field);
    await whileLocked(field.installation.pool, 'job_claim', {
      lock: 'select from job where finished_at is null for update',
      start: () => field.worker.kill('SIGCONT'),
      blow: () => killWorker(field),
    });
  },
  'the worker before the first text': async (field) => {
    field.simulator.script({ firstMs: 2000 });
    await isJob(field, await ask(field), 'active');
    await killWorker(field);
  },
  'the worker in the middle of the text': async (field) => {
    field.simulator.script({ chunkMs: 100 });
    await isJob(field, await ask(field), 'active');
    await sleep(300);
    await killWorker(field);
  },
  'the worker when a job is to be tried again': async (field) => {
    // One attempt asks three times.
    await isJob(field, await ask(field, `${QUESTION}\n#sim {"fault":"server_error","times":3}`), 'retrying');
    await killWorker(field);
  },
  'the worker in its finish': async (field) => {
    field.simulator.script({ firstMs: 1000 });
    await isJob(field, await ask(field), 'active');
    await whileLocked(field.installation.pool, 'job_finish', { blow: () => killWorker(field) });
  },
  'the worker right after its finish': async (field) => {
    await isJob(field, await ask(field), 'completed');
    await killWorker(field);
  },
  'the API in its accept': (field) =>
    whileLocked(field.installation.pool, 'job_accept', { start: () => ask(field), blow: () => killApi(field) }),
  'the API in the accept of a batch': (field) =>
    whileLocked(field.installation.pool, 'batch_accept', { start: () => askMany(field), blow: () => killApi(field) }),
  'the API right after its 202': async (field) => {
    await ask(field);
    await killApi(field);
  },
  'the API in a cancel': async (field) => {
    await field.worker.kill('SIGSTOP');
    const id = await ask(field);
    await whileLocked(field.installation.pool, 'credit_resolve', {
      start: () => post(field, `/api/jobs/${id}/cancel`),
      blow: () => killApi(field),
    });
    await field.worker.kill('SIGCONT');
  },
};

/** Waits for quiet and reads the books. @returns what is wrong with them, one line each, and how many jobs there were */
export async function checkField(field: Field): Promise<{ problems: string[]; jobs: number }> {
  const { pool } = field.installation;
  field.simulator.clear();
  await until('quiet', async () => !(await exists(pool, 'select from job where finished_at is null')));
  const problems = await checkLedger(pool);
  const { rows } = await pool.query<{ jobs: number; held: string }>(
    'select (select count(*)::int from job) as jobs, (select sum(held) from credit_account) as held',
  );
  if (rows[0]?.held !== '0') problems.push(`${rows[0]?.held} are held though every job is over`);
  return { problems, jobs: rows[0]?.jobs ?? 0 };
}
