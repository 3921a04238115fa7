// What one job costs on this machine, beside a baseline measured in the same run. Run: npm run bench -- spine
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import OpenAI from 'openai';
import { BackendClient } from '../../client/src/index.ts';
import { createInstallation, type Running } from '#test/processes.ts';
import { percentile, rate } from '#test/bench/load.ts';

const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 5);
const TOKENS_ROUNDS = 300;
const print = (text: string) => process.stdout.write(`${text}\n`);
const megabytes = async (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** A child of the bench, ready when it prints a JSON line with `url`. */
async function startScript(args: string[], env: Record<string, string>) {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
    if (url) return { url, stop: () => child.kill('SIGKILL') };
  }
  throw new Error(`${args.join(' ')} ended`);
}

const body = JSON.stringify({
  conversationHistory: [{ role: 'user', content: 'Oi, quanto custa a entrega para Campinas?' }],
  options: { model: 'gpt-4o-mini', provider: 'openai' },
});
const history = (JSON.parse(body) as { conversationHistory: { role: 'user'; content: string }[] }).conversationHistory;

const simulator = await startScript(['simulator/index.ts'], { SIMULATOR_PORT: '0' });
const bare = await startScript(['test/bench/bare.ts'], {});
const installation = await createInstallation({
  OPENAI_API_KEY: 'sk-simulated',
  OPENAI_BASE_URL: `${simulator.url}/v1`,
  OPENAI_MODELS: 'gpt-4o-mini',
  STARTING_CREDITS: '1000000',
  DATABASE_POOL: '10',
  LOG_LEVEL: 'info',
});
try {
  const api = await installation.startApi();
  const control = await installation.startControl();
  const client = new BackendClient({ baseUrl: api.url });
  const session = await client.register({
    email: 'bench@example.com',
    password: 'long enough for a bench',
    name: 'Bench',
  });
  const headers = { authorization: `Bearer ${session.token}` };

  print('accepted jobs per second (no worker running, one API process)');
  for (const connections of [1, 20]) {
    const baseline = await rate({ url: bare.url, path: '/jobs', headers: {}, body, expect: 202 }, connections, SECONDS);
    const ours = await rate(
      { url: api.url, path: '/api/ai/copilot', headers, body, expect: 202 },
      connections,
      SECONDS,
    );
    print(
      `  ${connections} clients: ${Math.round(ours)} ÷ bare Fastify + BullMQ add ${Math.round(baseline)} = ${(ours / baseline).toFixed(2)}`,
    );
  }

  const count = async (status: string) =>
    Number((await installation.pool.query(`select count(*) from job where status = '${status}'`)).rows[0].count);
  await installation.pool.query(`delete from job where id not in (select id from job order by id limit 10000)`);
  const queued = await count('queued');
  const worker: Running = await installation.startWorker('ai-inference');
  const started = performance.now();
  while ((await count('completed')) < queued) await new Promise((resolve) => setTimeout(resolve, 50));
  const finished = queued / ((performance.now() - started) / 1000);

  const direct = new OpenAI({ apiKey: 'sk-simulated', baseURL: `${simulator.url}/v1`, maxRetries: 0 });
  const ask = () => direct.chat.completions.create({ model: 'gpt-4o-mini', messages: history, stream: true });
  const sdkStarted = performance.now();
  let left = 2000;
  const askOn = async (): Promise<void> => {
    while (left-- > 0) for await (const _ of await ask());
  };
  await Promise.all(Array.from({ length: 100 }, askOn));
  const sdkRate = 2000 / ((performance.now() - sdkStarted) / 1000);
  print(
    `finished jobs: ${Math.round(finished)}/s (${queued} jobs, one worker process) ÷ the same SDK calls alone, in a loop ${Math.round(sdkRate)}/s = ${(finished / sdkRate).toFixed(2)}`,
  );

  const alone: number[] = [];
  const through: number[] = [];
  for (let round = 0; round < TOKENS_ROUNDS; round += 1) {
    let at = performance.now();
    let isSeen = false;
    for await (const chunk of await ask()) {
      if (!isSeen && chunk.choices[0]?.delta.content) alone.push(performance.now() - at);
      isSeen ||= Boolean(chunk.choices[0]?.delta.content);
    }
    at = performance.now();
    const run = client.jobs.run(
      'copilot',
      { conversationHistory: history },
      { options: { provider: 'openai', model: 'gpt-4o-mini' } },
    );
    let isFirst = true;
    for await (const _ of run) {
      if (isFirst) through.push(performance.now() - at);
      isFirst = false;
    }
    await run.result;
  }
  const [warmAlone, warmThrough] = [alone.slice(20), through.slice(20)];
  for (const share of [0.5, 0.99]) {
    const [a, b] = [percentile(warmAlone, share), percentile(warmThrough, share)];
    print(
      `first token p${share * 100}: socket ${b.toFixed(1)} ms − direct SDK call ${a.toFixed(1)} ms = ${(b - a).toFixed(1)} ms`,
    );
  }
  client.close();
  for (const running of [api, worker, control])
    print(`RSS after load, ${running.name}: ${Math.round(await megabytes(running.pid))} MB`);
  const [idleApi, idleWorker] = [await installation.startApi(), await installation.startWorker('ai-inference')];
  await new Promise((resolve) => setTimeout(resolve, 2000));
  for (const running of [idleApi, idleWorker])
    print(`RSS idle, ${running.name}: ${Math.round(await megabytes(running.pid))} MB`);
} finally {
  await installation.close();
  simulator.stop();
  bare.stop();
}
