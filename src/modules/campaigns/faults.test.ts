import { afterAll, beforeAll, expect, it } from 'vitest';
import { sendChannel, type SendResources } from '#src/modules/campaigns/send.ts';
import { openKey } from '#src/modules/channels/channel-keys.ts';
import { readTarget } from '#src/modules/channels/channels.query.ts';
import { aCampaigner, checkCounters, openCampaignTest, somePeople, type CampaignTest } from '#test/campaigns.ts';
import { booksOf } from '#test/drills/campaign-books.ts';
import { openGateway } from '#test/drills/campaign-gateway.ts';
import { createRandom, type Random } from '#test/fuzz/random.ts';

const SEED = 20_261_127;
const ITEMS = 300;
const WORKERS = 4;

let gateway: Awaited<ReturnType<typeof openGateway>>;
let test: CampaignTest;
beforeAll(async () => {
  const faults = { refused: 0.04, busy: 0.04, cut: 0.005, vague: 0.005 };
  gateway = await openGateway(createRandom(SEED), faults, async () => undefined);
  test = await openCampaignTest({ EGRESS_ALLOW: gateway.target, CAMPAIGN_LEASE_MS: '1000' });
});
afterAll(async () => {
  await test.close();
  await gateway.close();
});

type Point = 'claim' | 'begin' | 'call' | 'ack';

/** A worker that ends, as by SIGKILL, right behind one of its steps: what it has asked for is done, and it never hears of it. */
function mortal(worker: SendResources, random: Random, deaths: Record<Point, number>) {
  const death = Promise.withResolvers<void>();
  let isDead = false;
  const never = Promise.withResolvers<never>().promise;
  const step =
    <Args extends unknown[], Result>(point: Point, work: (...args: Args) => Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      if (isDead) return never;
      const result = await work(...args);
      if (!isDead && random.chance({ claim: 0.15, begin: 0.15, call: 0.02, ack: 0.1 }[point])) {
        isDead = true;
        deaths[point] += 1;
        death.resolve();
      }
      return isDead ? never : result;
    };
  const { items, egress } = worker;
  const dying: SendResources = {
    ...worker,
    items: {
      ...items,
      claim: step('claim', (...args: Parameters<typeof items.claim>) => items.claim(...args)),
      begin: step('begin', items.begin),
      ack: step('ack', (...args: Parameters<typeof items.ack>) => items.ack(...args)),
    },
    egress: { request: step('call', (...args: Parameters<typeof egress.request>) => egress.request(...args)) },
  };
  return { dying, death: death.promise };
}

it('writes to nobody twice and loses nobody, wherever four workers end', async () => {
  const random = createRandom(SEED);
  const me = await aCampaigner(test);
  await me.contacts(somePeople(ITEMS));
  const channel = await me.channel({ url: gateway.url });
  const id = await me.campaign(channel.id);
  await me.start(id);
  await test.run({ workspaceId: me.workspaceId, jobId: id });
  const target = await readTarget(test.rt.pool, me.workspaceId, channel.id);
  const key = await openKey(test.rt.vault, me.workspaceId, channel.id, target?.secrets ?? Buffer.alloc(0));
  const sending = { workspaceId: me.workspaceId, id: channel.id, url: gateway.url, key };
  const deaths = { claim: 0, begin: 0, call: 0, ack: 0 };
  let status = '';
  const work = async (): Promise<void> => {
    while (!status.startsWith('completed')) {
      const { dying, death } = mortal(test.worker, random, deaths);
      await Promise.race([sendChannel(dying, sending), death]);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const tend = async (): Promise<void> => {
    while (!status.startsWith('completed')) {
      await test.tend();
      await test.systemPool.query(
        `update campaign_item set next_attempt_at = now() where status = 'pending' and next_attempt_at > now()`,
      );
      ({ status } = await me.read(id));
      if (status === 'paused') await me.call('POST', `/api/campaigns/${id}/resume`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  await Promise.all([tend(), ...Array.from({ length: WORKERS }, work)]);
  const { rows } = await test.systemPool.query<{ id: string; status: string }>('select id, status from campaign_item');
  expect(rows).toHaveLength(ITEMS);
  expect(booksOf(rows, gateway.journal)).toEqual([]);
  expect(await checkCounters(test.systemPool)).toEqual([]);
  // What was sent stands in one message, and what was not in none.
  const written = await test.systemPool.query<{ id: string; status: string; messages: number }>(
    `select i.id, i.status, (select count(*)::int from message m where m.campaign_item_id = i.id) as messages from campaign_item i`,
  );
  const wrong = written.rows.filter(({ status: of, messages }) => messages !== (of === 'sent' ? 1 : 0));
  expect(wrong).toEqual([]);
  // Otherwise it would have proved little.
  for (const [point, count] of Object.entries(deaths)) expect(`${point} ${count > 0}`).toBe(`${point} true`);
}, 120_000);
