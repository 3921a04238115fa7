// What routing costs: a decision among 60 targets, and a thousand streams through one router. Run: npm run bench -- router
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Access } from '#src/ai/access.ts';
import { readApiKeys } from '#src/ai/api-keys.ts';
import { openCandidates } from '#src/ai/candidates.ts';
import { decide, type DecisionContext } from '#src/ai/decide.ts';
import { Estimates } from '#src/ai/estimates.ts';
import { echo } from '#src/ai/__fixtures__/market.ts';
import { seeded } from '#src/ai/__fixtures__/seeded.ts';
import { MemoryHealth } from '#src/ai/health.ts';
import { type Chunk, type Provider, type ProviderName, STRATEGIES } from '#src/ai/model.ts';
import { createOpenai } from '#src/ai/providers/openai.ts';
import { createRouter } from '#src/ai/router.ts';
import { withTimers } from '#src/ai/timers.ts';

const print = (text: string) => process.stdout.write(`${text}\n`);
const usage = {
  inputTokens: 100,
  cachedInputTokens: 0,
  cacheWriteTokens: 0,
  outputTokens: 50,
  reasoningTokens: 0,
  estimated: false,
};

/** A company that sends `chunks` words, one each `chunkMs`. */
function talking(name: ProviderName, models: string[], chunks: number, chunkMs: number): Provider {
  return {
    name,
    models,
    needsKey: false,
    keys: [],
    supports: () => true,
    complete: () => Promise.reject(new Error('nobody asks for whole answers here')),
    async *stream(_, signal): AsyncGenerator<Chunk> {
      for (let at = 0; at < chunks; at++) {
        if (chunkMs > 0) await sleep(chunkMs, undefined, { signal });
        yield { type: 'text', text: 'palavra ' };
      }
      yield { type: 'end', finishReason: 'stop', usage };
    },
  };
}

const cpuUs = (since: NodeJS.CpuUsage) => {
  const { user, system } = process.cpuUsage(since);
  return user + system;
};

/** CPU of one decision in microseconds, beside sorting as many numbers. */
function decisionCost(): void {
  const names = ['openai', 'anthropic', 'google', 'groq', 'mistral', 'cohere'] as const;
  const providers = names.map((name) =>
    talking(
      name,
      Array.from({ length: 10 }, (_, at) => `${name}-${at}`),
      1,
      0,
    ),
  );
  const random = seeded(1);
  const estimates = new Estimates();
  const health = new MemoryHealth(() => performance.timeOrigin + performance.now(), random);
  const current = openCandidates(providers, estimates);
  const models = current();
  for (const { id } of models) {
    for (let at = 0; at < 20; at++) {
      const firstMs = 200 + random() * 1000;
      const tokens = { inputTokens: 500, outputTokens: 200, maxOutputTokens: 800 };
      const sample = { id, engine: 'chat' as const, isStreamed: true, ...tokens, firstMs, totalMs: firstMs * 3 };
      estimates.add({ ...sample, outcome: 'success' }, health.now());
    }
  }
  const ask = {
    engine: 'chat' as const,
    inputTokens: 500,
    maxInputTokens: 900,
    maxOutputTokens: 800,
    needsTools: false,
    needsSchema: false,
    toolChoice: undefined,
    stop: [],
    isStreamed: true,
    remainingMs: 120_000,
    options: {},
    isLowPriority: false,
  };
  const rounds = 20_000;
  const numbers = Float64Array.from({ length: models.length }, random);
  let since = process.cpuUsage();
  for (let at = 0; at < rounds; at++) numbers.slice().sort();
  const baseline = cpuUs(since) / rounds;
  for (const strategy of STRATEGIES) {
    const context: DecisionContext = { health, estimates, access: new Access(health, undefined), random, strategy };
    for (let at = 0; at < 2000; at++) decide({ models: current() }, ask, context);
    since = process.cpuUsage();
    for (let at = 0; at < rounds; at++) decide({ models: current() }, ask, context);
    const ours = cpuUs(since) / rounds;
    print(
      `decision among ${models.length}, ${strategy}: ${ours.toFixed(1)} µs CPU (goal: 50) ÷ sorting ${models.length} numbers ${baseline.toFixed(1)} µs = ${(ours / baseline).toFixed(1)}`,
    );
  }
}

/** The simulator in a process of its own, so that its work is not counted as ours. */
async function startSimulator(): Promise<{ url: string; stop: () => void }> {
  const child = spawn(process.execPath, ['simulator/index.ts'], {
    env: { ...process.env, SIMULATOR_PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
    if (url) return { url, stop: () => child.kill('SIGKILL') };
  }
  throw new Error('The simulator ended.');
}

/** Streams at once through one router and the real adapter: processor time per chunk and memory over time, beside the adapter read alone. */
async function relay(streams: number): Promise<void> {
  const chunks = 60;
  const simulator = await startSimulator();
  const script = { text: 'palavra '.repeat(chunks), chunks, chunkMs: 100 };
  await fetch(`${simulator.url}/__simulator/script`, { method: 'PUT', body: JSON.stringify(script) });
  const keys = readApiKeys(['sk-simulated'], 'installation');
  const provider = createOpenai({ keys, baseUrl: `${simulator.url}/v1`, models: ['gpt-4o-mini'] });
  await provider.warm?.();
  const router = createRouter({ providers: [provider], withTimers });
  const { signal } = new AbortController();
  const request = {
    model: 'gpt-4o-mini',
    messages: [{ role: 'user' as const, content: 'Oi' }],
    maxOutputTokens: 250,
    task: { engine: 'chat' as const, input: {} },
  };
  const measure = async (one: () => Promise<unknown>) => {
    const rssMb: number[] = [];
    const since = process.cpuUsage();
    const started = performance.now();
    const watch = setInterval(() => rssMb.push(Math.round(process.memoryUsage().rss / 2 ** 20)), 1000);
    // They come within three seconds, as jobs do: a thousand connections at one moment would measure the simulator.
    await Promise.all(
      Array.from({ length: streams }, async (_, at) => {
        await sleep((3000 * at) / streams);
        await one();
      }),
    );
    clearInterval(watch);
    const perChunkUs = cpuUs(since) / (streams * chunks);
    return { perChunkUs, seconds: (performance.now() - started) / 1000, rssMb };
  };
  try {
    const bare = await measure(async () => {
      for await (const _ of provider.stream(request, signal));
    });
    const timeouts = { firstContentMs: 30_000, idleMs: 30_000, totalMs: 120_000 };
    for (const round of [1, 2, 3]) {
      const ours = await measure(() => router.run(echo, {}, {}, { signal, timeouts, finalAttempt: true }));
      print(
        `${streams} streams at once, round ${round}: ${ours.perChunkUs.toFixed(1)} µs CPU per chunk ÷ adapter alone ${bare.perChunkUs.toFixed(1)} = ${(ours.perChunkUs / bare.perChunkUs).toFixed(2)}; ${ours.seconds.toFixed(1)} s ÷ ${bare.seconds.toFixed(1)} s; RSS each second, MB: ${ours.rssMb.join(' ')}`,
      );
    }
  } finally {
    simulator.stop();
  }
}

decisionCost();
await relay(Number(process.env['BENCH_STREAMS'] ?? 1000));
