import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createInstallation, startRedis, type Installation, type Running } from '#test/processes.ts';

const PASSWORD = 'canario-senha-7Qx2';
const CPF = '529.982.247-25';
const PHONE = '+55 11 98765-0042';
const MAIL = 'canario.secreto@example.com';
const CANARIES = [PASSWORD, CPF, '52998224725', PHONE, '5511987650042', '98765-0042', MAIL];
const TEXT = `Meu CPF é ${CPF}, meu telefone é ${PHONE} e eu adorei o atendimento!`;

let redis: Awaited<ReturnType<typeof startRedis>>;
let installation: Installation;
let url: string;
let processes: Running[];
/** Every command that reached Redis, also those whose keys are gone by now. */
const commands: string[] = [];
let watcher: Redis;
beforeAll(async () => {
  redis = await startRedis();
  // The monitor is a connection of its own beside the one that is asked for it.
  const asked = new Redis(redis.url);
  watcher = await asked.monitor();
  asked.disconnect();
  watcher.on('monitor', (_time, args: string[]) => commands.push(args.join(' ')));
  installation = await createInstallation({ REDIS_URL: redis.url, LOG_LEVEL: 'trace', OPS_USER: 'ops' });
  const [api, ...rest] = await Promise.all([
    installation.startApi(),
    installation.startWorker(),
    installation.startControl(),
  ]);
  url = api.url;
  processes = [api, ...rest];
});
afterAll(async () => {
  watcher.disconnect();
  await installation.close();
  await redis.stop();
});

async function call(path: string, authorization: string, body?: unknown, headers: Record<string, string> = {}) {
  const answer = await fetch(`${url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, text: await answer.text() };
}

const found = (where: string, secrets: string[]) => secrets.filter((secret) => where.includes(secret));

it('shows no password, key, CPF, phone or address in a log, in Redis, on the board or in an error', async () => {
  const account = { email: MAIL, password: PASSWORD, name: 'Ana' };
  const bearer = `Bearer ${JSON.parse((await call('/api/auth/register', '', account)).text).token}`;
  const made = JSON.parse((await call('/api/api-keys', bearer, { name: 'k', scopes: ['*'] })).text);
  const key = `Bearer ${made.secret}`;
  const secrets = [...CANARIES, made.secret, bearer.slice(7)];
  const wait = { prefer: 'wait=20' };

  const answered = await call('/api/ai/sentiment', key, { text: TEXT }, wait);
  expect(JSON.parse(answered.text)).toMatchObject({ status: 'completed', result: { sentiment: 'positive' } });
  const spoken = { conversationHistory: [{ role: 'user', content: TEXT }] };
  const streamed = await call('/api/ai/copilot', bearer, spoken, { accept: 'text/event-stream' });
  expect(streamed.text).toContain('event: job.completed');
  const impossible = await call('/api/ai/chat', key, { messages: [{ role: 'user', content: TEXT }] }, wait);
  expect(impossible.status).toBeGreaterThanOrEqual(400);

  const errors = await Promise.all([
    call('/api/auth/login', '', { email: MAIL, password: `${PASSWORD}!` }),
    call('/api/auth/register', '', account),
    call('/api/auth/change-password', bearer, { currentPassword: CPF, newPassword: PASSWORD }),
    call('/api/ai/sentiment', key, { text: TEXT, [PHONE]: CPF }),
    call('/api/ai/sentiment', key, { text: [TEXT] }),
    call('/api/ai/sentiment', key, { text: TEXT, options: { model: CPF } }),
    call('/api/ai/copilot', `${key}x`, spoken),
    call(`/api/jobs/${encodeURIComponent(CPF)}`, key),
    call(`/api/nothing/${encodeURIComponent(PHONE)}?cpf=${encodeURIComponent(CPF)}`, key),
  ]);
  expect(errors.filter(({ status }) => status < 400 || status >= 500)).toEqual([]);

  const ops = `Basic ${Buffer.from('ops:only-for-this-test').toString('base64')}`;
  const board = await Promise.all(
    ['sentiment', 'ai-inference'].map(async (queue) => {
      const list = await call(`/ops/queues/api/queues?activeQueue=${queue}&status=completed&jobsPerPage=50`, ops);
      const { queues } = JSON.parse(list.text) as { queues: { name: string; jobs: { id: string }[] }[] };
      const [job] = queues.find(({ name }) => name === queue)?.jobs ?? [];
      const page = await call(`/ops/queues/api/queues/${queue}/${encodeURIComponent(job?.id ?? '')}`, ops);
      expect(page.status).toBe(200);
      return `${list.text}\n${page.text}`;
    }),
  );
  // What is buffered on its way to stdout, and to the monitor.
  await sleep(500);
  const lines = processes.flatMap((one) => one.lines().map((line) => JSON.stringify(line)));
  expect(commands.length).toBeGreaterThan(100);
  expect(lines.length).toBeGreaterThan(20);
  // An error may name a field or a model as its own client wrote it.
  const told = [PASSWORD, MAIL, made.secret, bearer.slice(7)];
  expect({
    logs: lines.filter((line) => found(line, secrets).length > 0),
    redis: commands.filter((command) => found(command, secrets).length > 0),
    board: board.flatMap((page) => found(page, secrets)),
    errors: errors.flatMap(({ text }) => found(text, told)),
  }).toEqual({ logs: [], redis: [], board: [], errors: [] });
});
