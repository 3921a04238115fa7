import { Client, type PoolClient } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { timelineStatement } from '#src/modules/activities/activities.query.ts';
import { listStatement, readSort } from '#src/modules/deals/deals-list.query.ts';
import type { DealQuery } from '#src/modules/deals/deals.schemas.ts';
import { forecastStatement } from '#src/modules/deals/forecast.query.ts';
import { boardStatement } from '#src/modules/pipelines/board.query.ts';
import { aContact, fillStages } from '#test/deals.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

const DEALS = 10_000;

let test: TestRuntime;
let ana: TestUser;
let client: PoolClient;
let id: string;
beforeAll(async () => {
  test = await openTestRuntime();
  // Others have rows too: what is asked for is a part of the table.
  const users = [await aUser(test.rt), await aUser(test.rt)];
  for (const user of users) {
    const workspaceId = user.workspace.id;
    const contactId = await aContact(test.rt, user);
    const { rows } = await test.rt.systemPool.query<{ id: string }>(
      `select id from pipeline_stage where workspace_id = $1 and kind = 'open' order by position`,
      [workspaceId],
    );
    const stages = rows.map((row) => [row.id, DEALS / rows.length] as const);
    await fillStages(test.rt.systemPool, { workspaceId, contactId, owners: [user.user.id] }, stages);
  }
  [ana] = users as [TestUser];
  id = ana.workspace.id;
  const owner = new Client({ connectionString: test.config.DATABASE_URL });
  await owner.connect();
  await owner.query('vacuum analyze deal, deal_total, pipeline_stage, activity');
  await owner.end();
  client = await test.rt.pool.connect();
});
afterAll(async () => {
  client.release();
  await test.close();
});

interface Node {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  Plans?: Node[];
}

/** The nodes of the plan that every connection of a process would use, whatever the parameters are. */
async function planOf({ text }: { text: string }): Promise<Node[]> {
  const { rows } = await client.query(`explain (generic_plan, format json) ${text}`);
  const walk = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(walk)];
  return walk(rows[0]['QUERY PLAN'][0].Plan);
}
const readsAll = (nodes: readonly Node[], tables = ['deal', 'activity']): string[] =>
  nodes
    .filter((node) => node['Node Type'] === 'Seq Scan' && tables.includes(node['Relation Name'] ?? ''))
    .map((node) => node['Relation Name'] ?? '');
const indexes = (nodes: readonly Node[]): string[] => [
  ...new Set(nodes.flatMap((node) => (node['Index Name']?.startsWith('deal_') ? [node['Index Name']] : []))),
];

describe('no sequential scan', () => {
  it('shows the board, everybody’s or one’s own, by an index in the order of the places', async () => {
    for (const [ownerId, index] of [
      [undefined, 'deal_position'],
      [id, 'deal_owner_board'],
    ] as const) {
      const nodes = await planOf(boardStatement(id, { pipelineId: id, ownerId, perStage: 26 }));
      expect(readsAll(nodes, ['deal'])).toEqual([]);
      expect(indexes(nodes)).toContain(index);
    }
  });

  it.each([
    ['-createdAt', {}, 'deal_created'],
    ['createdAt', {}, 'deal_created'],
    ['-amount', {}, 'deal_amount'],
    ['amount', {}, 'deal_amount'],
    ['expectedClose', {}, 'deal_close'],
    ['-expectedClose', {}, 'deal_close'],
    ['position', { stageId: 'x' }, 'deal_position'],
    ['-createdAt', { contactId: 'x' }, 'deal_contact'],
  ] as const)('lists by %s with %j in the order of an index', async (sort, filters, index) => {
    const shape = readSort(sort satisfies DealQuery['sort']);
    for (const after of [undefined, ['x', 'y'] as const]) {
      const nodes = await planOf(listStatement(id, filters, { sort: shape, after, limit: 26 }));
      expect(readsAll(nodes)).toEqual([]);
      expect(indexes(nodes)).toEqual([index]);
      expect(
        nodes.map((node) => node['Node Type']).filter((type) => type.endsWith('Sort') && type !== 'Incremental Sort'),
      ).toEqual([]);
    }
  });

  it.each([
    { status: 'open' as const },
    { ownerId: 'x' },
    { q: 'Negócio' },
    { expectedCloseFrom: 'x', expectedCloseTo: 'y' },
  ])('filters by %j with an index', async (filters) => {
    const after = undefined;
    const nodes = await planOf(listStatement(id, filters, { sort: readSort('-createdAt'), after, limit: 26 }));
    expect(readsAll(nodes)).toEqual([]);
  });

  it('forecasts and shows timelines by index', async () => {
    const forecast = await planOf(
      forecastStatement(id, { pipelineId: undefined, ownerId: undefined, from: '2026-01', to: '2026-02' }),
    );
    expect(readsAll(forecast)).toEqual([]);
    expect(indexes(forecast)).toContain('deal_open_close');
    await client.query('set enable_seqscan = off');
    for (const whom of [
      { contactId: id, dealId: undefined },
      { contactId: undefined, dealId: id },
    ]) {
      const nodes = await planOf(timelineStatement(id, { ...whom, dealsOf: 'all', after: ['x', 'y'], limit: 26 }));
      expect(readsAll(nodes)).toEqual([]);
    }
    await client.query('reset enable_seqscan');
  });
});
