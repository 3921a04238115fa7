import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CampaignCrew } from '#test/drills/campaign-crew.ts';
import type { Random } from '#test/fuzz/random.ts';
import type { Installation, startRedis } from '#test/processes.ts';

export type CampaignStrike =
  | 'kill a worker'
  | 'kill all workers when a message has arrived'
  | 'kill a control'
  | 'kill the api'
  | 'empty redis'
  | 'crash postgres';

const ARRIVAL_MS = 5000;

/**
 * Kills the server process of a connection: Postgres then ends all others, and recovers from its log as after a crash of the machine. The
 * server must be this machine's, and nobody else's.
 */
async function crashPostgres({ pool }: Installation): Promise<void> {
  const client = await pool.connect();
  const lost = new Promise((resolve) => client.once('error', resolve));
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  const pid = rows[0]?.pid ?? 0;
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  if (!command.startsWith('postgres:')) throw new Error('Postgres is not on this machine');
  process.kill(pid, 'SIGKILL');
  await lost;
  client.release(true);
  for (;;) {
    const isBack = await pool.query('select 1').then(
      () => true,
      () => false,
    );
    if (isBack) return;
    await sleep(100);
  }
}

export const nothing = async (): Promise<void> => undefined;

/** What is done to a platform while its campaigns run. @param arrival sets what happens when the gateway has a message and has not answered */
export function createStrikes(field: {
  installation: Installation;
  redis: Awaited<ReturnType<typeof startRedis>>;
  crew: CampaignCrew;
  random: Random;
  arrival: (then: () => Promise<void>) => void;
}): Record<CampaignStrike, () => Promise<void>> {
  const { installation, redis, crew, random, arrival } = field;
  const one = <Item>(items: readonly Item[]): Item[] => [random.pick(items)].flatMap((item) => item ?? []);
  return {
    'kill a worker': () => crew.replace(one(crew.workers)),
    async 'kill all workers when a message has arrived'() {
      const { promise, resolve } = Promise.withResolvers<void>();
      arrival(async () => {
        arrival(nothing);
        await Promise.all(crew.workers.map((slot) => slot.running.kill('SIGKILL')));
        resolve();
      });
      await Promise.race([promise, sleep(ARRIVAL_MS)]);
      arrival(nothing);
      await crew.replace(crew.workers);
    },
    'kill a control': () => crew.replace(one(crew.controls)),
    'kill the api': () => crew.replace([crew.api]),
    async 'empty redis'() {
      await redis.running.kill('SIGKILL');
      await redis.restart();
    },
    'crash postgres': () => crashPostgres(installation),
  };
}
