import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BackendClient, type Job, JobError } from './src/index.ts';

/** The part of `$DATA_DIR/runtime.json` that is used. */
interface Running {
  api: string;
  demo: { email: string; password: string; workspaceId: string };
}

const MESSAGE = 'Oi! Quanto custa a cafeteira de 1,2 litro e em quantos dias vocês entregam em Campinas?';
const START_TIMEOUT_MS = 300_000;
const STOP_TIMEOUT_MS = 30_000;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const runtimeFile = join(resolve(root, process.env['DATA_DIR'] || '.data'), 'runtime.json');
const say = (text: string) => process.stderr.write(`${text}\n`);

function isRunning(value: unknown): value is Running {
  if (typeof value !== 'object' || value === null || !('api' in value) || !('demo' in value)) return false;
  const { api, demo } = value;
  return typeof api === 'string' && typeof demo === 'object' && demo !== null && 'email' in demo && 'password' in demo;
}

/** The instance that answers as ready; `undefined` when none does. */
async function findRunning(signal?: AbortSignal): Promise<Running | undefined> {
  try {
    const running: unknown = JSON.parse(await readFile(runtimeFile, 'utf8'));
    if (!isRunning(running)) return undefined;
    const limit = AbortSignal.timeout(3000);
    const answer = await fetch(`${running.api}/api/health/ready`, {
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    return answer.ok ? running : undefined;
  } catch {
    return undefined;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address !== 'object' || address === null) throw new Error('No free port could be found.');
  return address.port;
}

/**
 * Starts an instance of its own on a free port and waits until it is ready.
 * @throws when it ends or is not ready in time, with the last it said.
 */
async function startInstance(signal: AbortSignal): Promise<{ running: Running; child: ChildProcess }> {
  say('No instance is running: starting one (the first time this takes a while) …');
  const port = await freePort();
  const child = spawn(process.execPath, [join(root, 'scripts', 'start.js')], {
    cwd: root,
    env: { ...process.env, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Of its own group: Ctrl-C reaches the demo only, which then stops it in order.
    detached: true,
  });
  let said = '';
  const keep = (piece: Buffer) => {
    said = (said + piece.toString('utf8')).slice(-2000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const ended = once(child, 'exit').then(
    ([code]) => new Error(`the instance ended (${String(code)}): ${lastLine(said)}`),
  );
  const until = Date.now() + START_TIMEOUT_MS;
  try {
    while (Date.now() < until) {
      const running = await findRunning(signal);
      if (running && new URL(running.api).port === String(port)) return { running, child };
      const failure = await Promise.race([ended, pause(300, undefined, { signal })]);
      if (failure) throw failure;
    }
    throw new Error(`the instance was not ready within ${START_TIMEOUT_MS / 1000} s: ${lastLine(said)}`);
  } catch (error) {
    await stopInstance(child);
    throw error;
  }
}

async function stopInstance(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGINT');
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await exited;
  clearTimeout(late);
}

const lastLine = (text: string) => text.trimEnd().split('\n').at(-1) ?? '';

function usageLine({ usage }: Job): string {
  if (!usage) return 'no usage was reported';
  const first =
    usage.timeToFirstTokenMs === null ? 'no token streamed' : `${usage.timeToFirstTokenMs} ms to first token`;
  return [
    usage.provider,
    usage.model,
    `${usage.inputTokens} + ${usage.outputTokens} tokens${usage.estimated ? ' (estimated)' : ''}`,
    `US$ ${usage.costUsd.toFixed(6)}`,
    first,
    usage.degraded ? 'degraded: answered without a model' : 'not degraded',
  ].join(' · ');
}

async function talk(running: Running, message: string, signal: AbortSignal): Promise<void> {
  const client = new BackendClient({ baseUrl: running.api, workspaceId: running.demo.workspaceId });
  try {
    await client.login({ email: running.demo.email, password: running.demo.password }, { signal });
    say(`${running.api}, signed in as ${running.demo.email}\n`);
    process.stdout.write(`Cliente: ${message}\nCopilot: `);
    const run = client.jobs.run(
      'copilot',
      { conversationHistory: [{ role: 'user', content: message }], language: 'pt-BR' },
      { transport: 'socket', signal },
    );
    let length = 0;
    for await (const update of run) {
      process.stdout.write(update.restarted && length > 0 ? `\n[recomeçou]\nCopilot: ${update.delta}` : update.delta);
      length = update.text.length;
    }
    process.stdout.write(`\n\n${usageLine(await run.result)}\n`);
  } finally {
    client.close();
  }
}

async function main(): Promise<void> {
  const stop = new AbortController();
  // Heard every time: a second one must not end the demo before the instance it has started, which would then run on for ever.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => stop.abort(new Error('stopped')));
  }
  const message = process.argv.slice(2).join(' ') || MESSAGE;
  const found = await findRunning(stop.signal);
  const started = found ? undefined : await startInstance(stop.signal);
  const running = found ?? started?.running;
  try {
    if (running) await talk(running, message, stop.signal);
  } finally {
    if (started) await stopInstance(started.child);
  }
}

try {
  await main();
} catch (error) {
  const code = error instanceof JobError ? ` (${error.code})` : '';
  say(`\ndemo: ${error instanceof Error ? error.message : String(error)}${code}`);
  process.exitCode = 1;
}
