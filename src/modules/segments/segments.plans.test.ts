import type { EntityManager } from '@mikro-orm/postgresql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { compileFilter } from '#src/modules/segments/compile-filter.query.ts';
import { loadFilterFields } from '#src/modules/segments/filter-fields.query.ts';
import { countContacts, CONTACT_SORTS, searchContacts } from '#src/modules/segments/search.query.ts';
import { SegmentFilter } from '#src/modules/segments/segment-filter.ts';
import { loadContacts, planOf } from '#test/contacts.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

const MANY = 20_000;
let test: TestApp;
let ana: TestUser;
const ids = { label: '', stage: '', pipeline: '' };
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
  // Others' rows, so that a scan of the table is never the workspace alone.
  const eve = await aUser(test.rt);
  for (const who of [ana, eve])
    await loadContacts(test.config.DATABASE_URL, { workspaceId: who.workspace.id, ownerId: who.user.id, count: MANY });
  const [row] = (
    await test.rt.systemPool.query(
      `select l.id as label, s.id as stage, s.pipeline_id as pipeline from label l
        join pipeline_stage s on s.workspace_id = l.workspace_id and s.kind = 'open' where l.workspace_id = $1 and l.name = 'rare' limit 1`,
      [ana.workspace.id],
    )
  ).rows;
  Object.assign(ids, row);
  await test.rt.systemPool.query(
    `insert into contact_field (workspace_id, id, key, name, kind) select $1, uuidv7(), key, key, kind
      from (values ('plan', 'text'), ('seats', 'number'), ('since', 'date'), ('vip', 'boolean')) f (key, kind)`,
    [ana.workspace.id],
  );
});
afterAll(() => test.close());

/** Runs work with what `em.execute` is asked for, and how Postgres would run it. */
async function plansOf(filter: unknown, ownerId?: string): Promise<string[]> {
  const plans: string[] = [];
  await inWorkspaceTx(test.rt.orm, { workspaceId: ana.workspace.id }, async (em: EntityManager) => {
    const parsed = SegmentFilter.parse(filter);
    const where = compileFilter(
      parsed,
      await loadFilterFields(em, parsed, ownerId === undefined ? 'all' : { userId: ownerId }),
    );
    const execute = em.execute.bind(em);
    const explained = Object.create(em, {
      execute: {
        value: async (sql: string, values: unknown[]) => {
          plans.push(await planOf(em, { sql, values }));
          return execute(sql, values);
        },
      },
    }) as EntityManager;
    await countContacts(explained, where, ownerId);
    for (const sort of CONTACT_SORTS) {
      const [last] = await searchContacts(explained, where, { sort, limit: 1, ownerId });
      if (last) await searchContacts(explained, where, { sort, limit: 1, ownerId, after: last });
    }
  });
  return plans;
}

/** What an index finds by itself: the columns of each with every question it can answer. */
const indexed: [string, () => object, RegExp][] = [
  ['name eq', () => ({ field: 'name', op: 'eq', value: 'Contato 7 Sobrenome7' }), /Index Cond: .*\bsort_name = /],
  [
    'name in',
    () => ({ field: 'name', op: 'in', value: ['Contato 7 Sobrenome7', 'Contato 8 Sobrenome8'] }),
    /Index Cond: .*\bsort_name = /,
  ],
  ['name contains', () => ({ field: 'name', op: 'contains', value: 'nome777' }), /Index Cond: .*search ~~/],
  [
    'name startsWith',
    () => ({ field: 'name', op: 'startsWith', value: 'Contato 777' }),
    /Index Cond: .*\b(sort_name >=|search ~~)/,
  ],
  ['phone eq', () => ({ field: 'phone', op: 'eq', value: '+55 11 900000007' }), /Index Cond: .*\bphone = /],
  [
    'phone in',
    () => ({ field: 'phone', op: 'in', value: ['+5511900144813', '+5511900000008'] }),
    /Index Cond: .*\bphone = /,
  ],
  ['phone contains', () => ({ field: 'phone', op: 'contains', value: '900000007' }), /Index Cond: .*search ~~/],
  [
    'phone startsWith',
    () => ({ field: 'phone', op: 'startsWith', value: '+5511900144813' }),
    /Index Cond: .*(search ~~|phone >=)/,
  ],
  ['email eq', () => ({ field: 'email', op: 'eq', value: 'P7@example.com' }), /Index Cond: .*\bemail_key = /],
  [
    'email in',
    () => ({ field: 'email', op: 'in', value: ['p7@example.com', 'p8@example.com'] }),
    /Index Cond: .*\bemail_key = /,
  ],
  ['email contains', () => ({ field: 'email', op: 'contains', value: 'p7777@' }), /Index Cond: .*search ~~/],
  [
    'email startsWith',
    () => ({ field: 'email', op: 'startsWith', value: 'p7777@' }),
    /Index Cond: .*\b(email_key >=|search ~~)/,
  ],
  ['company eq', () => ({ field: 'company', op: 'eq', value: 'Empresa 7' }), /Index Cond: .*\bcompany_key = /],
  [
    'company in',
    () => ({ field: 'company', op: 'in', value: ['Empresa 7', 'Empresa 8'] }),
    /Index Cond: .*\bcompany_key = /,
  ],
  ['company contains', () => ({ field: 'company', op: 'contains', value: 'presa 4777' }), /Index Cond: .*search ~~/],
  [
    'company startsWith',
    () => ({ field: 'company', op: 'startsWith', value: 'Empresa 4777' }),
    /Index Cond: .*\b(company_key >=|search ~~)/,
  ],
  ['ownerId eq', () => ({ field: 'ownerId', op: 'eq', value: ana.user.id }), /Index Cond: .*\bowner_id = /],
  [
    'ownerId in',
    () => ({ field: 'ownerId', op: 'in', value: [ana.user.id, ana.workspace.id] }),
    /Index Cond: .*\bowner_id = /,
  ],
  ...(['gt', 'gte', 'lt', 'lte'] as const).map((op): [string, () => object, RegExp] => [
    `createdAt ${op}`,
    () => ({ field: 'createdAt', op, value: op.startsWith('g') ? daysAgo(2) : daysAgo(728) }),
    /Index Cond: .*created_at [<>]/,
  ]),
  ['createdAt withinDays', () => ({ field: 'createdAt', op: 'withinDays', value: 2 }), /Index Cond: .*created_at >=/],
  [
    'createdAt olderThanDays',
    () => ({ field: 'createdAt', op: 'olderThanDays', value: 728 }),
    /Index Cond: .*created_at </,
  ],
  ['hasLabel', () => ({ hasLabel: ids.label }), /Index Only Scan using contact_label/],
  ['dealStage', () => ({ dealStage: ids.stage }), /Index Scan using deal_/],
  ['inPipeline', () => ({ inPipeline: ids.pipeline, status: 'won' }), /Index Scan using deal_/],
];
/** What no index knows: it is walked for along the workspace's own. */
const walked: [string, () => object][] = [
  ['name neq', () => ({ field: 'name', op: 'neq', value: 'Ana' })],
  ['position eq', () => ({ field: 'position', op: 'eq', value: 'CEO' })],
  ['consent eq', () => ({ field: 'consent', op: 'eq', value: 'denied' })],
  ['sentiment in', () => ({ field: 'sentiment', op: 'in', value: ['positive'] })],
  ['leadScore gte', () => ({ field: 'leadScore', op: 'gte', value: 90 })],
  ['leadScore eq', () => ({ field: 'leadScore', op: 'eq', value: 100 })],
  ['lastInboundAt withinDays', () => ({ field: 'lastInboundAt', op: 'withinDays', value: 3 })],
  ['lastInboundAt lt', () => ({ field: 'lastInboundAt', op: 'lt', value: daysAgo(700) })],
  ['lastOutboundAt exists', () => ({ field: 'lastOutboundAt', op: 'exists', value: true })],
  ['archived eq', () => ({ field: 'archived', op: 'eq', value: true })],
  ['custom text', () => ({ custom: 'plan', op: 'eq', value: 'pro' })],
  ['custom number', () => ({ custom: 'seats', op: 'gt', value: 3 })],
  ['custom date', () => ({ custom: 'since', op: 'withinDays', value: 3 })],
  ['custom boolean', () => ({ custom: 'vip', op: 'eq', value: true })],
  ['not', () => ({ not: { hasLabel: ids.label } })],
  ['everybody', () => ({ and: [] })],
];
function daysAgo(days: number): string {
  return new Date(Date.now() - days * 86_400_000).toISOString();
}

describe('the plans of a segment', () => {
  it.each(indexed)('%s: counts by its own index', async (_name, filter, condition) => {
    const [count, ...pages] = await plansOf(filter());
    for (const plan of [count, ...pages]) expect(plan).not.toMatch(/Seq Scan on contact\b/);
    expect(count).toMatch(condition);
  });

  it.each(walked)('%s: reads no other workspace', async (_name, filter) => {
    for (const plan of await plansOf(filter())) expect(plan).not.toMatch(/Seq Scan on contact\b/);
  });

  it('of who sees their own contacts alone are found by these', async () => {
    const plans = await plansOf({ field: 'consent', op: 'eq', value: 'denied' }, ana.user.id);
    for (const plan of plans) expect(plan).not.toMatch(/Seq Scan on contact\b/);
    expect(plans[0]).toMatch(/contact_owner/);
  });
});
