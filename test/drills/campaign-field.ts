import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '#src/config.ts';
import { openOrm, type Orm } from '#src/db/orm.ts';
import { createLog } from '#src/lib/log.ts';
import type { SignedInView } from '#src/modules/auth/auth.schemas.ts';
import { entities } from '#src/modules/entities.ts';
import { addContacts, checkCounters, somePeople } from '#test/campaigns.ts';
import { booksOf, type ItemRow } from '#test/drills/campaign-books.ts';
import { openCampaignCrew } from '#test/drills/campaign-crew.ts';
import { openGateway, type GatewayFaults } from '#test/drills/campaign-gateway.ts';
import { createStrikes, nothing, type CampaignStrike } from '#test/drills/campaign-strikes.ts';
import { post } from '#test/drills/webhook-field.ts';
import { createRandom } from '#test/fuzz/random.ts';
import { createInstallation, freePort, startRedis, type Installation } from '#test/processes.ts';

export interface CampaignPlan {
  seed: number;
  campaigns: number;
  /** Of each campaign. */
  people: number;
  workers: number;
  controls: number;
  /** So many times does a worker end by itself behind one of its steps, by turns behind each. */
  deaths: number;
  faults: GatewayFaults;
  strikes: readonly CampaignStrike[];
  /** How long the gateway takes for an answer at most. */
  slowestMs?: number;
  /** Between two strikes. */
  everyMs: number;
  /** How long the platform may take to end what it began, when it is no longer disturbed. */
  giveUpMs: number;
}

const LEASE_MS = 4000;

interface Campaign {
  id: string;
  token: string;
}

/** Each campaign in a workspace of its own, with its channel and people; not started. */
export async function makeCampaigns(
  url: string,
  orm: Orm,
  gatewayUrl: string,
  plan: Pick<CampaignPlan, 'campaigns' | 'people'>,
): Promise<Campaign[]> {
  const campaigns: Campaign[] = [];
  for (let at = 0; at < plan.campaigns; at += 1) {
    const account = { email: `drill-${at}@example.com`, password: 'long enough for a drill', name: `Drill ${at}` };
    const { token, workspace } = await post<SignedInView>(`${url}/api/auth/register`, account);
    await addContacts({ orm }, workspace.id, somePeople(plan.people));
    const channel = { name: 'Gateway', kind: 'webhook', url: gatewayUrl };
    const { id: channelId } = await post<{ id: string }>(`${url}/api/channels`, channel, token);
    const content = { text: 'Oi {{contact.first_name|"amigo"}}' };
    const body = { name: 'Drill', channelId, content, audience: { all: true } };
    campaigns.push({ id: (await post<{ id: string }>(`${url}/api/campaigns`, body, token)).id, token });
  }
  return campaigns;
}

/** Says a verb to a campaign as its owner would; an API that is being killed gives no answer. */
export async function ask(url: string, verb: string, { id, token }: Campaign): Promise<boolean> {
  const headers = { authorization: `Bearer ${token}`, 'idempotency-key': `${id}-start` };
  const answer = await fetch(`${url}/api/campaigns/${id}/${verb}`, { method: 'POST', headers }).catch(() => null);
  return answer?.ok === true;
}

/** Until all have ended: moves waits forward, and resumes what paused by itself. @returns how often, or null where time is up */
async function seeThrough(
  { pool }: Installation,
  campaigns: readonly Campaign[],
  { url, endsAt }: { url: string; endsAt: () => number },
): Promise<number | null> {
  let resumed = 0;
  while (performance.now() < endsAt()) {
    await sleep(300);
    try {
      await pool.query(
        `update campaign_item set next_attempt_at = now() where status = 'pending' and next_attempt_at > now()`,
      );
      const { rows } = await pool.query<{ id: string; status: string }>('select id, status from campaign');
      const paused = rows.flatMap(({ id, status }) =>
        status === 'paused' ? campaigns.filter((one) => one.id === id) : [],
      );
      for (const one of paused) if (await ask(url, 'resume', one)) resumed += 1;
      // What was asked of an API that died is asked again, as a client would.
      const drafts = rows.flatMap(({ id, status }) =>
        status === 'draft' ? campaigns.filter((one) => one.id === id) : [],
      );
      for (const one of drafts) await ask(url, 'start', one);
      if (rows.every(({ status }) => status.startsWith('completed'))) return resumed;
    } catch {
      // The database is away.
    }
  }
  return null;
}

const sums = (name: string, all: readonly string[]) =>
  Object.entries(Object.groupBy(all, (one) => one)).map(([what, some]) => [`${name} ${what}`, some?.length ?? 0]);

/**
 * Runs campaigns through every process of the platform while these are killed, and compares what the gateway sent with what the platform says.
 * Waits for tries again are moved forward in the database, and campaigns that pause by themselves are resumed; all else keeps its own time.
 * @returns what is wrong, and figures
 */
export async function runCampaignDrill(plan: CampaignPlan) {
  const random = createRandom(plan.seed);
  let onArrival = nothing;
  const gateway = await openGateway(random, plan.faults, () => onArrival(), plan.slowestMs);
  const redis = await startRedis();
  const installation = await createInstallation({
    REDIS_URL: redis.url,
    JOB_LEASE_MS: '2000',
    CAMPAIGN_LEASE_MS: `${LEASE_MS}`,
    DATABASE_POOL: '6',
    EGRESS_ALLOW: gateway.target,
    // A machine that stalls is no reason to be answered 503.
    MAX_EVENT_LOOP_DELAY_MS: '0',
  });
  const orm = openOrm(readConfig(installation.env), entities, { role: 'wh_app', log: createLog('silent', 'drill') });
  const beganAt = performance.now();
  try {
    const port = await freePort();
    const crew = await openCampaignCrew(installation, plan, random, port);
    const url = `http://127.0.0.1:${port}`;
    const campaigns = await makeCampaigns(url, orm, gateway.url, plan);
    const startedAt = performance.now();
    // Started twice each, at once.
    await Promise.all([...campaigns, ...campaigns].map((one) => ask(url, 'start', one)));
    const strikes = createStrikes({ installation, redis, crew, random, arrival: (then) => (onArrival = then) });
    let quietSince = Infinity;
    const endsAt = () => quietSince + plan.giveUpMs;
    let isOver = false;
    const storm = async (): Promise<number> => {
      let struck = 0;
      for (const name of plan.strikes) {
        await sleep(plan.everyMs * (0.5 + random.int(100) / 100));
        if (isOver) break;
        await strikes[name]();
        struck += 1;
      }
      quietSince = performance.now();
      return struck;
    };
    const through = seeThrough(installation, campaigns, { url, endsAt }).finally(() => (isOver = true));
    const [struck, resumed] = await Promise.all([storm(), through]);
    await crew.rest();
    const items = (await installation.pool.query<ItemRow>('select id, status from campaign_item')).rows;
    const problems = [...booksOf(items, gateway.journal), ...(await checkCounters(installation.pool))];
    if (resumed === null) problems.push('Not all campaigns ended');
    if (items.length !== plan.campaigns * plan.people) problems.push(`${items.length} items`);
    const deaths = (await readFile(crew.deathsFile, 'utf8').catch(() => '')).split('\n').filter(Boolean);
    problems.push(...crew.crashes(new Set(deaths.map((line) => Number(line.split(' ')[0])))));
    const figures: Record<string, number> = {
      items: items.length,
      ...Object.fromEntries(
        sums(
          'items',
          items.map(({ status }) => status),
        ),
      ),
      requests: gateway.journal.length,
      ...Object.fromEntries(
        sums(
          'died behind',
          deaths.map((line) => line.split(' ')[1] ?? ''),
        ),
      ),
      deaths: deaths.length,
      strikes: struck,
      resumed: resumed ?? 0,
      'seconds before': Math.round((startedAt - beganAt) / 1000),
      seconds: Math.round((performance.now() - startedAt) / 1000),
    };
    return { problems, figures };
  } finally {
    await orm.close();
    await installation.close();
    await redis.stop();
    await gateway.close();
  }
}
