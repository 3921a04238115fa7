import { ConfigError, readConfig } from '#src/config.ts';
import { runMain, runUntilSignal } from '#src/lib/process.ts';
import { startPool } from '#workers/pool.ts';
import { openWorkerRuntime } from '#workers/runtime.ts';

/** The pools there are; a process loads only those it is asked for. */
const pools = {
  'ai-inference': () => import('#workers/ai-inference.ts'),
  sentiment: () => import('#workers/sentiment.ts'),
  'lead-scoring': () => import('#workers/lead-scoring.ts'),
  notifications: () => import('#workers/notifications.ts'),
  analytics: () => import('#workers/analytics.ts'),
  'bulk-operations': () => import('#workers/bulk-operations.ts'),
  campaigns: () => import('#workers/campaigns.ts'),
  webhooks: () => import('#workers/webhooks.ts'),
};

const isPool = (name: string): name is keyof typeof pools => Object.hasOwn(pools, name);

async function main(): Promise<void> {
  const names = process.argv.slice(2);
  if (names.length === 0 || !names.every(isPool)) {
    throw new ConfigError(`Name the pools to run, of these: ${Object.keys(pools).join(', ')}.`);
  }
  const config = readConfig();
  const rt = await openWorkerRuntime(config, `worker-${names.join('+')}`);
  const modules = await Promise.all(names.map((name) => pools[name]()));
  const started = await Promise.all(
    modules.map(async ({ contract, createRun }) => startPool(contract, await createRun(rt), rt)),
  );
  rt.log.info({ pools: names }, 'Working');
  await runUntilSignal(rt.log, async () => {
    await Promise.all(started.map((pool) => pool.pause()));
    await rt.drain(() => started.reduce((sum, pool) => sum + pool.running(), 0));
    await Promise.all(started.map((pool) => pool.close()));
    await rt.close();
  });
}

runMain(main, (error) => error instanceof ConfigError);
