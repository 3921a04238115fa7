import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createRandom } from '#test/fuzz/random.ts';
import { aContact, totalsOf } from '#test/deals.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

const MOVES = 1000;
const AT_ONCE = 8;
const DEALS = 40;

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

const call = (method: 'GET' | 'POST' | 'PATCH', url: string, payload?: object) =>
  test.app.inject({ method, url, headers: ana.headers, ...(payload ? { payload } : {}) });

/** Notes down each new place in the order in which the changes of the pipeline were let in, and with it the version a client was told. */
const LOG = `create table place_log (seq bigserial, deal_id uuid, version int, is_move boolean, stage_id uuid);
  create function log_place() returns trigger language plpgsql security definer as $$
  begin
    insert into place_log (deal_id, version, is_move, stage_id) values (new.id, new.version, new.version <> old.version, new.stage_id);
    return null;
  end $$;
  create trigger place_logged after update on deal for each row
    when (old.position is distinct from new.position or old.stage_id <> new.stage_id) execute function log_place()`;

interface Asked {
  stageId: string;
  afterId?: string | null;
}

it('keeps the order of the board through a thousand moves, many at once', async () => {
  const owner = new Client({ connectionString: test.config.DATABASE_URL });
  await owner.connect();
  await owner.query(LOG);
  const random = createRandom(20_261_127);
  const contactId = await aContact(test.rt, ana);
  const [pipeline] = (await call('GET', '/api/pipelines')).json().data;
  const stages: string[] = pipeline.stages
    .filter(({ kind }: { kind: string }) => kind === 'open')
    .map(({ id }: { id: string }) => id);
  const model = new Map(stages.map((id) => [id, [] as string[]]));
  const deals: string[] = [];
  for (let at = 0; at < DEALS; at += 1) {
    const stageId = stages[at % stages.length] ?? '';
    const { id } = (await call('POST', '/api/deals', { title: `d${at}`, contactId, stageId, amountMinor: at })).json();
    deals.push(id);
    model.get(stageId)?.push(id);
  }

  // Half of them between the same two, where keys grow the fastest.
  const anchor = deals[0] ?? '';
  const anchorStage = stages[0] ?? '';
  const asked = new Map<string, Asked>();
  const statuses = new Map<number, number>();
  let left = MOVES;
  const mover = async (): Promise<void> => {
    while (left-- > 0) {
      const id = random.pick(deals.slice(1)) ?? '';
      const behind = random.pick(deals.filter((one) => one !== id)) ?? '';
      const afterId = random.pick([null, undefined, behind, behind]);
      const move: Asked = random.chance(0.5)
        ? { stageId: anchorStage, afterId: anchor }
        : { stageId: random.pick(stages) ?? '', ...(afterId === undefined ? {} : { afterId }) };
      if (random.chance(0.05)) await call('PATCH', `/api/deals/${id}`, { amountMinor: random.int(1000) });
      const answer = await call('POST', `/api/deals/${id}/move`, move);
      statuses.set(answer.statusCode, (statuses.get(answer.statusCode) ?? 0) + 1);
      if (answer.statusCode === 200) asked.set(`${id} ${answer.json().version}`, move);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, mover));
  // 400: the deal to go behind had left the stage meanwhile. Nothing else is said.
  expect([...statuses.keys()].filter((status) => ![200, 400].includes(status))).toEqual([]);
  expect(statuses.get(200)).toBeGreaterThan(MOVES / 2);

  const { rows: log } = await owner.query<{ deal_id: string; version: number; is_move: boolean }>(
    'select deal_id, version, is_move from place_log order by seq',
  );
  let spaced = 0;
  for (const { deal_id: id, version, is_move: isMove } of log) {
    if (!isMove) {
      spaced += 1;
      continue;
    }
    const move = asked.get(`${id} ${version}`);
    if (!move) throw new Error(`Nobody asked for ${id} ${version}`);
    for (const [stage, list] of model)
      model.set(
        stage,
        list.filter((one) => one !== id),
      );
    const list = model.get(move.stageId) ?? [];
    if (move.afterId === undefined) list.push(id);
    else if (move.afterId === null) list.unshift(id);
    else {
      const at = list.indexOf(move.afterId);
      expect(at).toBeGreaterThanOrEqual(0);
      list.splice(at + 1, 0, id);
    }
  }
  expect(spaced).toBeGreaterThan(0);
  const board = (await call('GET', `/api/pipelines/${pipeline.id}/board?limitPerStage=100`)).json();
  for (const stage of board.stages) {
    const ids = stage.deals.map(({ id }: { id: string }) => id);
    expect(ids).toEqual(model.get(stage.id) ?? []);
    const keys: string[] = stage.deals.map(({ position }: { position: string }) => position);
    expect(new Set(keys).size).toBe(keys.length);
    expect(Math.max(0, ...keys.map(({ length }) => length))).toBeLessThanOrEqual(50);
  }
  expect([...model.values()].flat().toSorted()).toEqual(deals.toSorted());
  const { kept, counted } = await totalsOf(owner, ana.workspace.id);
  expect(kept).toEqual(counted);
  await owner.end();
});
