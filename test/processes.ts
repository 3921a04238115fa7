import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { Pool } from 'pg';
import { parseProcfile } from '../scripts/lib/procfile.js';
import { queues } from '#queues/index.ts';
import { createTestDatabase } from '#test/harness.ts';
import { INHERITED } from '#test/inherited.ts';
import { findPrograms } from '#test/programs.ts';

const PROCFILE = parseProcfile(readFileSync(`${import.meta.dirname}/../Procfile`, 'utf8'));

/** One process of the platform, as the Procfile would start it. */
export interface Running {
  readonly name: string;
  readonly pid: number;
  /** Resolves with the first log line for which `matches` is true, also one that was written before. */
  line(matches: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
  lines(): Record<string, unknown>[];
  /** What it wrote to stderr, where it ended without having been sent a signal; null otherwise. */
  crash(): string | null;
  /** Resolves when it has ended, however. */
  exited: Promise<unknown>;
  kill(signal: NodeJS.Signals): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

async function start(name: string, args: string[], env: Record<string, string>): Promise<Running> {
  const find = await findPrograms();
  const child: ChildProcess = spawn(
    process.execPath,
    args.map((arg) => find(arg)),
    {
      env: { ...INHERITED, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const lines: Record<string, unknown>[] = [];
  const waiting = new Set<() => void>();
  let errors = '';
  child.stderr?.on('data', (bytes: Buffer) => (errors += bytes.toString()));
  if (child.stdout) {
    createInterface(child.stdout).on('line', (text) => {
      lines.push(text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : { text });
      for (const check of waiting) check();
    });
  }
  const exited = once(child, 'exit');
  let isTold = false;
  return {
    name,
    pid: child.pid ?? 0,
    lines: () => lines,
    exited,
    crash: () => (isTold || (child.exitCode === null && child.signalCode === null) ? null : `${name} ended: ${errors}`),
    line: (matches) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const found = lines.find(matches);
          if (!found) return;
          waiting.delete(check);
          resolve(found);
        };
        waiting.add(check);
        check();
        child.once('exit', () => {
          if (waiting.delete(check)) reject(new Error(`${name} ended: ${errors || JSON.stringify(lines.at(-1))}`));
        });
      }),
    async kill(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      if (signal === 'SIGSTOP' || signal === 'SIGCONT') return;
      isTold = true;
      await exited;
    },
  };
}

/** A Redis of the test's own, to be killed and stopped at will. */
export async function startRedis(): Promise<{
  url: string;
  running: Running;
  restart(): Promise<void>;
  stop(): Promise<void>;
}> {
  const port = await freePort();
  const run = () => {
    const child = spawn(
      'redis-server',
      ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    const ready = new Promise<void>((resolve, reject) => {
      child.on('error', reject);
      child.stdout.on('data', (bytes: Buffer) => {
        if (bytes.toString().includes('Ready to accept connections')) resolve();
      });
    });
    const exited = once(child, 'exit');
    return { child, ready, exited };
  };
  let current = run();
  await current.ready;
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    current.child.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await current.exited;
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    running: {
      name: 'redis',
      pid: current.child.pid ?? 0,
      lines: () => [],
      line: async () => ({}),
      crash: () => null,
      exited: current.exited,
      kill,
    },
    async restart() {
      current = run();
      await current.ready;
    },
    stop: () => kill('SIGKILL'),
  };
}

/** A whole installation in processes of its own, over a fresh database. */
export interface Installation {
  pool: Pool;
  env: Record<string, string>;
  /** @param port any free one, unless a client shall find it again at the same place. */
  startApi(port?: number): Promise<Running & { url: string }>;
  startWorker(...pools: string[]): Promise<Running>;
  startControl(): Promise<Running>;
  /** A worker with an entry point of the test's own, and more in its environment. */
  startWorkerAs(file: string, pool: string, more: Record<string, string>): Promise<Running>;
  /** Ends everything with SIGKILL and drops the database. */
  close(): Promise<void>;
}

export async function createInstallation(overrides: Record<string, string> = {}): Promise<Installation> {
  const database = await createTestDatabase();
  const mailDir = await mkdtemp(`${tmpdir()}/wh-test-mail-`);
  const env: Record<string, string> = {
    DATABASE_URL: database.url,
    DATABASE_POOL: '5',
    REDIS_URL: process.env['REDIS_URL'] ?? '',
    REDIS_PREFIX: `t${randomUUID().slice(0, 8)}`,
    APP_SECRET: randomBytes(32).toString('base64'),
    OPS_PASSWORD: 'only-for-this-test',
    RATE_LIMIT_SCALE: '1000',
    DEFAULT_PLAN: 'enterprise',
    // A machine that stalls is no reason for a test to be answered 503.
    DATABASE_WAIT_MS: '120000',
    MAX_EVENT_LOOP_DELAY_MS: '0',
    MAIL_DIR: mailDir,
    ...overrides,
  };
  const pool = new Pool({ connectionString: database.url, max: 3 });
  // Dropping the database cuts idle connections.
  pool.on('error', () => undefined);
  const started: Running[] = [];
  const track = <T extends Running>(running: T): T => {
    started.push(running);
    return running;
  };
  return {
    pool,
    env,
    async startApi(given) {
      const port = given ?? (await freePort());
      const api = track(await start('api', ['src/server.ts'], { ...env, PORT: `${port}` }));
      await api.line((line) => line['msg'] === 'Listening');
      return Object.assign(api, { url: `http://127.0.0.1:${port}` });
    },
    async startWorker(...pools) {
      const [pool, ...more] = pools.length ? pools : queues.map(({ name }) => name);
      const [, ...args] = PROCFILE.get(pool ?? '') ?? [];
      const worker = track(await start('worker', [...args, ...more], env));
      await worker.line((line) => line['msg'] === 'Working');
      return worker;
    },
    async startWorkerAs(file, pool, more) {
      const worker = track(await start('worker', [file, pool], { ...env, ...more }));
      await worker.line((line) => line['msg'] === 'Working');
      return worker;
    },
    async startControl() {
      const control = track(await start('control', ['workers/control.ts'], env));
      await control.line((line) => line['msg'] === 'Leading' || line['msg'] === 'Standing by');
      return control;
    },
    async close() {
      await Promise.all(started.map((running) => running.kill('SIGKILL')));
      await pool.end();
      await database.drop();
      await rm(mailDir, { recursive: true });
    },
  };
}
