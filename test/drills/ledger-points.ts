import { setTimeout as sleep } from 'node:timers/promises';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { findBroken } from '#src/modules/billing/reconcile.query.ts';
import { createInstallation, freePort, type Installation, type Running } from '#test/processes.ts';

const LEASE_MS = 1000;
const WITHIN_MS = 60_000;
const WHOLE_LIFE_SECONDS = 86_400;

/** An installation whose processes are there to be killed. */
export interface Field {
  installation: Installation;
  simulator: Simulator;
  port: number;
  api: Running;
  worker: Running;
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
    MAX_EVENT_LOOP_DELAY_MS: '0',
  });
  const port = await freePort();
  const [api, worker] = await Promise.all([
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
    token: '',
    close: async () => {
      await installation.close();
      await simulator.close();
    },
  };
  const person = { email: 'drill@example.com', password: 'long enough for a drill', name: 'Drill' };
  field.token = String((await post(field, '/api/auth/register', person))['token']);
  return field;
}

async function post({ port, token }: Field, path: string, body: object = {}): Promise<Record<string, unknown>> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token === '' ? {} : { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  });
  return (await answer.json()) as Record<string, unknown>;
}

const ask = async (field: Field): Promise<string> =>
  String(
    (await post(field, '/api/ai/chat', { messages: [{ role: 'user', content: 'quanto custa a entrega?' }] }))['jobId'],
  );

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const startedAt = performance.now();
  while (!(await holds())) {
    if (performance.now() - startedAt > WITHIN_MS) throw new Error(`It never came to this: ${what}`);
    await sleep(20);
  }
}

const exists = async ({ installation }: Field, sql: string, values: unknown[] = []): Promise<boolean> =>
  ((await installation.pool.query(sql, values)).rowCount ?? 0) > 0;

const isJob = (field: Field, id: string, status: string) =>
  until(`a job that is ${status}`, () => exists(field, 'select from job where id = $1 and status = $2', [id, status]));

/** Keeps the ledger's lock while somebody runs into it and is dealt with. @param start what will run into it, not waited for */
async function whileLocked(
  field: Field,
  statement: string,
  start: () => Promise<unknown>,
  blow: () => Promise<void>,
): Promise<void> {
  const client = await field.installation.pool.connect();
  try {
    await client.query('begin');
    await client.query('select from credit_account for update');
    // Whoever asks is cut off with the one who is killed.
    void start().catch(() => undefined);
    const waits = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like $1`;
    await until(`a ${statement} that waits`, () => exists(field, waits, [`%${statement}%`]));
    await blow();
  } finally {
    await client.query('rollback');
    client.release();
  }
}

async function killApi(field: Field): Promise<void> {
  await field.api.kill('SIGKILL');
  field.api = await field.installation.startApi(field.port);
}

async function killWorker(field: Field): Promise<void> {
  await field.worker.kill('SIGKILL');
  field.worker = await field.installation.startWorker('ai-inference');
}

/** Where somebody dies, by name. Each brings it about and starts again who was killed. */
export const POINTS: Record<string, (field: Field) => Promise<void>> = {
  'the API in its accept': (field) =>
    whileLocked(
      field,
      'job_accept',
      () => ask(field),
      () => killApi(field),
    ),
  'the API right after its 202': async (field) => {
    await ask(field);
    await killApi(field);
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
  'the worker in its finish': async (field) => {
    field.simulator.script({ firstMs: 2000 });
    await isJob(field, await ask(field), 'active');
    await whileLocked(
      field,
      'job_finish',
      async () => undefined,
      () => killWorker(field),
    );
  },
  'the worker right after its finish': async (field) => {
    await isJob(field, await ask(field), 'completed');
    await killWorker(field);
  },
  'the API in a cancel': async (field) => {
    await field.worker.kill('SIGKILL');
    const id = await ask(field);
    await whileLocked(
      field,
      'credit_resolve',
      () => post(field, `/api/jobs/${id}/cancel`),
      () => killApi(field),
    );
    field.worker = await field.installation.startWorker('ai-inference');
  },
};

/** Waits for quiet and reads the books. @returns what is wrong with them, one line each, and how many jobs there were */
export async function checkLedger(field: Field): Promise<{ problems: string[]; jobs: number }> {
  const { pool } = field.installation;
  field.simulator.clear();
  // What waited for the lock goes on though nobody listens any more.
  const busy = `select from job where finished_at is null union all
    select from pg_stat_activity where datname = current_database() and state = 'active' and query ~ 'from job_(accept|finish)\\(|credit_resolve'  and pid <> pg_backend_pid()`;
  await until('quiet', async () => !(await exists(field, busy)));
  const broken = await findBroken(pool, WHOLE_LIFE_SECONDS);
  const problems = broken.map((one) => JSON.stringify(one));
  const { rows } = await pool.query<{ jobs: number; even: boolean; open: number; once: boolean }>(
    `select (select count(*)::int from job) as jobs, (select count(*)::int from credit_reservation) as open,
       (select sum(case when to_account = 'credits' then amount else -amount end) from credit_entry)
         = (select sum(balance + held) from credit_account)
       and (select coalesce(sum(amount), 0) from credit_entry where kind = 'capture') = (select coalesce(sum(credit_charged), 0) from job) as even,
       (select count(*) from credit_resolution) = (select count(*) from job where credit_held > 0) as once`,
  );
  const books = rows[0];
  if (!books?.even) problems.push('The entries are not what accounts have and jobs were charged');
  if (!books?.once) problems.push('Not every job with a hold has one resolution');
  if (books?.open !== 0) problems.push(`${books?.open} reservations are open though every job is over`);
  return { problems, jobs: books?.jobs ?? 0 };
}
