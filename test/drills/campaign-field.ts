import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '#src/config.ts';
import { openOrm } from '#src/db/orm.ts';
import { createLog } from '#src/lib/log.ts';
import type { SignedInView } from '#src/modules/auth/auth.schemas.ts';
import { entities } from '#src/modules/entities.ts';
import { addContacts, checkCounters, somePeople } from '#test/campaigns.ts';
import { booksOf, type ItemRow } from '#test/drills/campaign-books.ts';
import { openGateway, type GatewayFaults } from '#test/drills/campaign-gateway.ts';
import { openCrew, type Slot } from '#test/drills/webhook-crew.ts';
import { createRandom } from '#test/fuzz/random.ts';
import { createInstallation, freePort, startRedis } from '#test/processes.ts';
import { post } from '#test/drills/webhook-field.ts';

export type CampaignStrike =
  | 'kill a worker'
  | 'kill all workers when a message has arrived'
  | 'kill a control'
  | 'kill the api'
  | 'empty redis';

export interface CampaignPlan {
  seed: number;
  campaigns: number;
  /** Of each campaign. */
  people: number;
  workers: number;
  faults: GatewayFaults;
  strikes: readonly CampaignStrike[];
  /** Between two strikes. */
  everyMs: number;
}

const LEASE_MS = 4000;
const GIVE_UP_MS = 900_000;

/** Kills some, and starts others in their places. */
const replace = async (slots: Slot[]): Promise<void> => {
  await Promise.all(slots.map((slot) => slot.running.kill('SIGKILL')));
  await Promise.all(slots.map(async (slot) => void (slot.running = await slot.start())));
};

/**
 * Runs campaigns through every process of the platform while these are killed, and compares what the gateway sent with what the platform says.
 * Waits for tries again are moved forward in the database, and campaigns that pause by themselves are resumed; all else keeps its own time.
 * @returns what is wrong, and figures
 */
export async function runCampaignDrill(plan: CampaignPlan) {
  const random = createRandom(plan.seed);
  let onArrival: (() => Promise<void>) | null = null;
  const gateway = await openGateway(random, plan.faults, async () => {
    const act = onArrival;
    onArrival = null;
    await act?.();
  });
  const redis = await startRedis();
  const installation = await createInstallation({
    REDIS_URL: redis.url,
    JOB_LEASE_MS: '2000',
    CAMPAIGN_LEASE_MS: `${LEASE_MS}`,
    DATABASE_POOL: '6',
    EGRESS_ALLOW: gateway.target,
  });
  const orm = openOrm(readConfig(installation.env), entities, { role: 'wh_app', log: createLog('silent', 'drill') });
  try {
    const port = await freePort();
    let api = await installation.startApi(port);
    const crew = await openCrew(installation, plan.workers, 'campaigns');
    const campaigns: { id: string; token: string }[] = [];
    for (let at = 0; at < plan.campaigns; at += 1) {
      const account = { email: `drill-${at}@example.com`, password: 'long enough for a drill', name: `Drill ${at}` };
      const { token, workspace } = await post<SignedInView>(`${api.url}/api/auth/register`, account);
      await addContacts({ orm }, workspace.id, somePeople(plan.people));
      const channel = { name: 'Gateway', kind: 'webhook', url: gateway.url };
      const { id: channelId } = await post<{ id: string }>(`${api.url}/api/channels`, channel, token);
      const body = {
        name: 'Drill',
        channelId,
        content: { text: 'Oi {{contact.first_name|"amigo"}}' },
        audience: { all: true },
      };
      campaigns.push({ id: (await post<{ id: string }>(`${api.url}/api/campaigns`, body, token)).id, token });
    }
    const ask = async (verb: string, { id, token }: { id: string; token: string }): Promise<boolean> => {
      const headers = { authorization: `Bearer ${token}`, 'idempotency-key': `${id}-start` };
      const answer = await fetch(`http://127.0.0.1:${port}/api/campaigns/${id}/${verb}`, {
        method: 'POST',
        headers,
      }).catch(() => null);
      return answer?.ok === true;
    };
    const startedAt = performance.now();
    // Started twice each, at once.
    await Promise.all([...campaigns, ...campaigns].map((one) => ask('start', one)));
    const strike: Record<CampaignStrike, () => Promise<void>> = {
      'kill a worker': () => replace([random.pick(crew.workers)].flatMap((slot) => slot ?? [])),
      'kill all workers when a message has arrived': async () => {
        const { promise, resolve } = Promise.withResolvers<void>();
        onArrival = async () => {
          await Promise.all(crew.workers.map((slot) => slot.running.kill('SIGKILL')));
          resolve();
        };
        await Promise.race([promise, sleep(5000)]);
        onArrival = null;
        await replace(crew.workers);
      },
      'kill a control': () => replace([random.pick(crew.controls)].flatMap((slot) => slot ?? [])),
      async 'kill the api'() {
        await api.kill('SIGKILL');
        api = await installation.startApi(port);
      },
      async 'empty redis'() {
        await redis.running.kill('SIGKILL');
        await redis.restart();
      },
    };
    const { pool } = installation;
    let resumed = 0;
    let isOver = false;
    const tend = async (): Promise<void> => {
      const endsAt = performance.now() + GIVE_UP_MS;
      while (performance.now() < endsAt) {
        await sleep(500);
        await pool.query(
          `update campaign_item set next_attempt_at = now() where status = 'pending' and next_attempt_at > now()`,
        );
        const { rows } = await pool.query<{ id: string; status: string }>('select id, status from campaign');
        const paused = rows.filter(({ status }) => status === 'paused');
        for (const { id } of paused) {
          const one = campaigns.find((campaign) => campaign.id === id);
          if (one && (await ask('resume', one))) resumed += 1;
        }
        if (rows.every(({ status }) => status.startsWith('completed'))) return void (isOver = true);
      }
    };
    const storm = async (): Promise<number> => {
      let struck = 0;
      for (const name of plan.strikes) {
        await sleep(plan.everyMs * (0.5 + random.int(100) / 100));
        if (isOver) break;
        await strike[name]();
        struck += 1;
      }
      return struck;
    };
    const [struck] = await Promise.all([storm(), tend()]);
    const seconds = (performance.now() - startedAt) / 1000;
    const items = (await pool.query<ItemRow>('select id, status from campaign_item')).rows;
    const problems = [...booksOf(items, gateway.journal), ...(await checkCounters(pool))];
    if (!isOver) problems.push('Not all campaigns ended');
    if (items.length !== plan.campaigns * plan.people) problems.push(`${items.length} items`);
    for (const running of crew.everStarted) {
      const crash = running.crash();
      if (crash !== null) problems.push(crash);
    }
    const by = Object.groupBy(items, ({ status }) => status);
    const figures = {
      items: items.length,
      ...Object.fromEntries(Object.entries(by).map(([status, some]) => [status, some?.length ?? 0])),
      requests: gateway.journal.length,
      strikes: struck,
      resumed,
      seconds: Math.round(seconds),
    };
    return { problems, figures };
  } finally {
    await orm.close();
    await installation.close();
    await redis.stop();
    await gateway.close();
  }
}
