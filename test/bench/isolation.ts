// What the wall between workspaces and the rate limits cost a list. Run: npm run bench -- isolation
import type { AddressInfo } from 'node:net';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Pool, Query } from 'pg';
import { buildApp } from '#src/app.ts';
import { listJobs } from '#src/modules/jobs/jobs.query.ts';
import { aUser } from '#test/factories.ts';
import { openTestRuntime } from '#test/harness.ts';
import { percentile, rate, type Shot } from '#test/bench/load.ts';

// Short and many, in turns: what else the machine does then meets both alike.
const ROUNDS = 31;
const SECONDS = 0.5;
const CONNECTIONS = 10;
const print = (text: string) => process.stdout.write(`${text}\n`);

/** Asks from a thread of its own, so that the server has its core to itself. */
function load(shot: Shot): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  new Worker(import.meta.filename, { workerData: shot }).on('message', resolve).on('error', reject);
  return promise;
}

/** Connections of a login that is above every policy, which send a statement alone, without the one that sets its scope. */
function openBarePool(walled: Pool, connectionString: string): Pool {
  const options = '-c plan_cache_mode=force_generic_plan -c jit=off';
  const pool = new Pool({ ...walled.options, connectionString, options });
  pool.on('error', () => undefined);
  pool.on('connect', (client) => {
    const query = client.query.bind(client);
    // What is set on the statement itself is the scope; without it, the class's own way of sending is left.
    const bare = (statement: unknown) => {
      if (statement instanceof Query) Reflect.deleteProperty(statement, 'submit');
      return Reflect.apply(query, client, [statement]);
    };
    Object.assign(client, { query: bare });
  });
  return pool;
}

async function main(): Promise<void> {
  const test = await openTestRuntime({ RATE_LIMIT_SCALE: '100000' });
  const { rt, config } = test;
  const user = await aUser(rt);
  const { workspaceId, userId } = user.auth;
  for (let at = 0; at < 60; at += 1) {
    const fixed = { engine: 'sentiment', queue: 'sentiment', band: 'normal', options: {}, hold: 0 } as const;
    const input = { text: `Adorei o produto ${at}!` };
    await rt.jobs.accept({ ...fixed, workspaceId, userId, requestId: 'bench', input, idempotencyKey: null });
  }
  const bare = openBarePool(rt.pool, config.DATABASE_URL);
  const headers = { 'ratelimit-policy': 'none', ratelimit: 'none' };
  const servers = {
    walled: await buildApp(rt),
    bare: await buildApp({ ...rt, pool: bare, limiter: { take: async () => headers } }),
  };
  const rates: Record<keyof typeof servers, number[]> = { walled: [], bare: [] };
  for (const app of Object.values(servers)) await app.listen({ host: '127.0.0.1', port: 0 });
  if ((await listJobs(bare, { workspaceId, limit: 5 })).length !== 5) throw new Error('The baseline lists nothing');
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const name of round % 2 === 0 ? (['bare', 'walled'] as const) : (['walled', 'bare'] as const)) {
      const { port } = servers[name].server.address() as AddressInfo;
      const url = `http://127.0.0.1:${port}`;
      const path = '/api/jobs?limit=25';
      const answered = await load({ method: 'GET', url, path, headers: user.headers, body: '', expect: 200 });
      // The first round warms up.
      if (round > 0) rates[name].push(answered);
    }
  }
  const ratios = rates.walled.map((one, at) => one / (rates.bare[at] ?? NaN)).toSorted((a, b) => a - b);
  print(`GET /api/jobs?limit=25, ${CONNECTIONS} connections, ${ROUNDS} rounds of ${SECONDS} s, one process`);
  print(`  with the wall and the limits  ${percentile(rates.walled, 0.5).toFixed(0)}/s`);
  print(`  without                       ${percentile(rates.bare, 0.5).toFixed(0)}/s`);
  print(
    `  ratio                         ${percentile(ratios, 0.5).toFixed(3)} (${ratios[0]?.toFixed(3)} to ${ratios.at(-1)?.toFixed(3)})`,
  );
  for (const app of Object.values(servers)) await app.close();
  await bare.end();
  await test.close();
}

if (isMainThread) await main();
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has none
else parentPort?.postMessage(await rate(workerData as Shot, CONNECTIONS, SECONDS));
