// Whether the board and the list of deals cost what they show or what is stored. Run: npm run bench -- board
import { Client } from 'pg';
import { buildApp } from '#src/app.ts';
import { percentile } from '#test/bench/load.ts';
import { aContact, fillStages } from '#test/deals.ts';
import { aUser } from '#test/factories.ts';
import { openTestRuntime } from '#test/harness.ts';

const SMALL = Number(process.env['BOARD_SMALL'] ?? 2000);
const LARGE = Number(process.env['BOARD_LARGE'] ?? 200_000);
const ROUNDS = Number(process.env['BOARD_ROUNDS'] ?? 300);
const WARM_UP = 20;
const print = (text: string) => process.stdout.write(`${text}\n`);

/** A workspace whose deals are in two stages, half and half. */
async function open(deals: number) {
  const test = await openTestRuntime({ RATE_LIMIT_SCALE: '100000' });
  const app = await buildApp(test.rt);
  await app.ready();
  const user = await aUser(test.rt);
  const contactId = await aContact(test.rt, user);
  const workspaceId = user.workspace.id;
  const owner = new Client({ connectionString: test.config.DATABASE_URL });
  await owner.connect();
  const { rows } = await owner.query<{ id: string; pipeline_id: string }>(
    `select id, pipeline_id from pipeline_stage where workspace_id = $1 and kind = 'open' order by position limit 2`,
    [workspaceId],
  );
  await fillStages(
    owner,
    { workspaceId, contactId, owners: [user.user.id] },
    rows.map(({ id }) => [id, deals / 2]),
  );
  await owner.query('vacuum analyze');
  await owner.end();
  const [first, second] = rows;
  if (!first || !second) throw new Error('There are no stages');
  const call = (method: 'GET' | 'POST', url: string, payload?: object) =>
    app.inject({ method, url, headers: user.headers, ...(payload ? { payload } : {}) });
  const page = (await call('GET', '/api/deals?limit=100')).json();
  const moved = page.data[0].id;
  let turn = 0;
  const asks: Record<string, () => ReturnType<typeof call>> = {
    'board, 25 a stage': () => call('GET', `/api/pipelines/${first.pipeline_id}/board?limitPerStage=25`),
    'list, newest': () => call('GET', '/api/deals'),
    'list, a later page': () => call('GET', `/api/deals?cursor=${page.page.nextCursor}`),
    'list, by amount': () => call('GET', '/api/deals?sort=-amount'),
    'list, open by date': () => call('GET', '/api/deals?status=open&sort=expectedClose'),
    'list, of a stage': () => call('GET', `/api/deals?stageId=${first.id}&sort=position`),
    'move to the other stage': () =>
      call('POST', `/api/deals/${moved}/move`, { stageId: (turn++ % 2 === 0 ? first : second).id }),
  };
  return {
    asks,
    async close() {
      await app.close();
      await test.close();
    },
  };
}

const worlds = [await open(SMALL), await open(LARGE)];
print(
  `${ROUNDS} requests each in turns, one at a time; ${SMALL} deals and ${LARGE}, half of them in each of two stages`,
);
for (const name of Object.keys(worlds[0]?.asks ?? {})) {
  const timesMs: number[][] = worlds.map(() => []);
  for (let round = 0; round < ROUNDS + WARM_UP; round += 1) {
    // In turns: what else the machine does then meets both alike.
    for (const [at, world] of worlds.entries()) {
      const started = performance.now();
      const answer = await world.asks[name]?.();
      if (answer?.statusCode !== 200) throw new Error(`${name}: ${answer?.body}`);
      if (round >= WARM_UP) timesMs[at]?.push(performance.now() - started);
    }
  }
  const [small = NaN, large = NaN] = timesMs.map((times) => percentile(times, 0.95));
  const medians = timesMs.map((times) => percentile(times, 0.5).toFixed(1));
  print(
    `  ${name.padEnd(24)} p50 ${medians.join(' and ')} ms, p95 ${small.toFixed(1)} and ${large.toFixed(1)} ms, ratio ${(large / small).toFixed(2)}`,
  );
}
for (const world of worlds) await world.close();
