// Deliveries per second through the product (outbox, relay, queue, worker, receiver, and the end noted) beside a bare loop that signs the same
// bodies and posts them to the same receiver with as many under way at once. Run: npm run bench -- webhooks
// BENCH_DELIVERIES (6000) of a round, BENCH_ROUNDS (5), BENCH_WORKERS (1).
import { createHmac } from 'node:crypto';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { newId } from '#src/lib/ids.ts';
import type { SignedInView } from '#src/modules/auth/auth.schemas.ts';
import type { NewWebhookView } from '#src/modules/webhooks/webhooks.schemas.ts';
import type { HookRequest } from '../../simulator/hook-journal.ts';
import { post } from '#test/drills/webhook-field.ts';
import { percentile } from '#test/bench/load.ts';
import { createInstallation, type Installation } from '#test/processes.ts';

const DELIVERIES = Number(process.env['BENCH_DELIVERIES'] ?? 6000);
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5);
const WORKERS = Number(process.env['BENCH_WORKERS'] ?? 1);
const WORKSPACES = 4;
/** As many as the free plan has room for in each. */
const ENDPOINTS = 5 * WORKSPACES;
/** What the product has under way at once: four for each endpoint. */
const CONCURRENCY = 4 * ENDPOINTS;
const print = (text: string) => process.stdout.write(`${text}\n`);

async function startReceiver(): Promise<{ url: string; stop: () => void }> {
  const child = spawn(process.execPath, ['simulator/index.ts'], {
    env: { ...process.env, SIMULATOR_PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
    if (url) return { url, stop: () => child.kill('SIGKILL') };
  }
  throw new Error('The receiver ended');
}

async function journalOf(url: string, query: string) {
  const response = await fetch(`${url}/__simulator/hooks?${query}`);
  return (await response.json()) as { counts: { requests: number }; requests: HookRequest[] };
}

/** Posts the bodies, signed, `CONCURRENCY` at once. @returns per second */
async function bareLoop(url: string, bodies: string[]): Promise<number> {
  const agent = new Agent({ connections: CONCURRENCY, pipelining: 1 });
  const key = Buffer.alloc(32, 7);
  let next = 0;
  const post = async (): Promise<void> => {
    for (let at = next++; at < DELIVERIES; at = next++) {
      const body = bodies[at % bodies.length] ?? '';
      const [id, timestamp] = [newId(), String(Math.floor(Date.now() / 1000))];
      const signature = `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
      const answer = await request(`${url}/hooks/bare-${at % ENDPOINTS}`, {
        dispatcher: agent,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': timestamp,
          'webhook-signature': signature,
        },
        body,
      });
      await answer.body.text();
      if (answer.statusCode !== 200) throw new Error(`The receiver answered ${answer.statusCode}`);
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: CONCURRENCY }, post));
  const perSecond = DELIVERIES / ((performance.now() - startedAt) / 1000);
  await agent.close();
  return perSecond;
}

/** Has events happen, all in one transaction, and waits until each delivery of them is noted. @returns deliveries per second */
async function product({ pool }: Installation, workspaceIds: string[]): Promise<number> {
  const startedAt = performance.now();
  await pool.query(
    `insert into outbox_event (workspace_id, id, type, data)
     select w.id, uuidv7(), 'workspace.changed', '{"changed":["name"]}' from generate_series(1, $2::int), unnest($1::uuid[]) as w (id)`,
    [workspaceIds, DELIVERIES / ENDPOINTS],
  );
  for (;;) {
    const { rows } = await pool.query<{ done: boolean }>(
      `select (select last from outbox_head) = (select position from event_consumer where name = 'webhooks')
         and not exists (select from outbox_event where position is null)
         and not exists (select from webhook_delivery where next_attempt_at is not null) as done`,
    );
    if (rows[0]?.done) return DELIVERIES / ((performance.now() - startedAt) / 1000);
    await sleep(10);
  }
}

const receiver = await startReceiver();
const installation = await createInstallation({ EGRESS_ALLOW: new URL(receiver.url).host, DATABASE_POOL: '10' });
try {
  const api = await installation.startApi();
  await installation.startControl();
  await Promise.all(Array.from({ length: WORKERS }, () => installation.startWorker('webhooks')));
  const workspaceIds: string[] = [];
  let token = '';
  for (let at = 0; at < ENDPOINTS; at += 1) {
    if (at % (ENDPOINTS / WORKSPACES) === 0) {
      const account = { email: `bench-${at}@example.com`, password: 'long enough for a bench', name: 'Bench' };
      const signedIn = await post<SignedInView>(`${api.url}/api/auth/register`, account);
      workspaceIds.push(signedIn.workspace.id);
      token = signedIn.token;
    }
    const body = { name: `${at}`, url: `${receiver.url}/hooks/product-${at}`, events: ['workspace.changed'] };
    await post<NewWebhookView>(`${api.url}/api/webhooks`, body, token);
  }
  await product(installation, workspaceIds);
  const { counts, requests } = await journalOf(receiver.url, 'limit=1000');
  if (counts.requests !== DELIVERIES) throw new Error(`${counts.requests} requests for ${DELIVERIES} deliveries`);
  const bodies = requests.map(({ body }) => JSON.stringify(body));
  await bareLoop(receiver.url, bodies);
  const [ours, bare, ratios]: number[][] = [[], [], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    const a = await product(installation, workspaceIds);
    const b = await bareLoop(receiver.url, bodies);
    ours?.push(a);
    bare?.push(b);
    ratios?.push(a / b);
    print(`  round ${round + 1}: ${Math.round(a)} ÷ ${Math.round(b)} = ${(a / b).toFixed(2)}`);
  }
  const [a, b, ratio] = [ours, bare, ratios].map((list) => percentile(list ?? [], 0.5));
  print(
    `deliveries per second, ${WORKERS} worker, ${CONCURRENCY} under way at most: ${Math.round(a ?? 0)} ÷ undici and HMAC in a loop ${Math.round(b ?? 0)} = ${ratio?.toFixed(2)}`,
  );
} finally {
  await installation.close();
  receiver.stop();
}
