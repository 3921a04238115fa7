import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { compileFilter, dayBefore, type FilterFields } from '#src/modules/segments/compile-filter.query.ts';
import { loadFilterFields } from '#src/modules/segments/filter-fields.query.ts';
import type { FilterOp, FilterValue } from '#src/modules/segments/filter-values.ts';
import { searchContacts } from '#src/modules/segments/search.query.ts';
import { SegmentFilter } from '#src/modules/segments/segment-filter.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

const FILTERS = 2100;
const CONTACTS = 160;
const NOW = new Date('2026-03-10T02:30:00.000Z');
const DAY_MS = 86_400_000;
const ZONE = 'America/Sao_Paulo';

const at = (daysAgo: number, ms = 0) => new Date(NOW.getTime() - daysAgo * DAY_MS + ms).toISOString();
/** Moments on and beside the edges that filters ask for. */
const MOMENTS = [at(0), at(0, 1), at(1), at(1, -1), at(1, 1), at(7), at(7, -1), at(30), at(400), at(-2)] as const;
const DATES = [
  '2026-03-09',
  '2026-03-10',
  '2026-03-08',
  '2026-03-02',
  '2026-03-01',
  '2025-12-31',
  '2026-04-01',
] as const;
const WORDS = [
  'Ação',
  'acao',
  'AÇÃO',
  "d'água",
  '50%',
  'a_b',
  String.raw`c\d`,
  'Ümit',
  'José',
  'jose',
  'x',
  '?',
  'São Paulo',
] as const;
const PHONES = ['+5511987654321', '+5511987650000', '+5521987654321', '+12125552368', '+551134567890'] as const;
const NUMBERS = [0, -1, 1, 0.1, 50, 99.5, 1e21, 100] as const;

interface Person {
  id: string;
  name: string;
  phone: string | null;
  email: string | null;
  company: string | null;
  position: string | null;
  ownerId: string | null;
  consent: string;
  sentiment: string | null;
  leadScore: number | null;
  createdAt: string;
  lastInboundAt: string | null;
  lastOutboundAt: string | null;
  archived: boolean;
  custom: Record<string, unknown>;
  labels: string[];
  deals: { stage: number; isDeleted: boolean }[];
}

const fold = (text: string) => text.normalize('NFD').replaceAll(/\p{M}/gu, '').toLowerCase();

/** What a filter says of a person, by reading it and nothing else. */
function holds(filter: SegmentFilter, person: Person): boolean {
  if ('and' in filter) return filter.and.every((one) => holds(one, person));
  if ('or' in filter) return filter.or.some((one) => holds(one, person));
  if ('not' in filter) return !holds(filter.not, person);
  if ('hasLabel' in filter) return person.labels.includes(filter.hasLabel);
  if ('dealStage' in filter)
    return person.deals.some(({ stage, isDeleted }) => !isDeleted && stages[stage]?.id === filter.dealStage);
  if ('inPipeline' in filter)
    return person.deals.some(({ stage, isDeleted }) => {
      const { kind, pipeline_id: pipeline } = stages[stage] ?? {};
      return !isDeleted && pipeline === filter.inPipeline && (filter.status === undefined || filter.status === kind);
    });
  const { op, value } = filter;
  if ('custom' in filter) {
    const held = person.custom[filter.custom];
    const kind = KINDS[filter.custom] ?? 'text';
    return answer(kind, isOfKind(kind, held) ? held : null, op, value);
  }
  const kind = ['name', 'company', 'position'].includes(filter.field) ? 'text' : filter.field;
  return answer(kind, person[filter.field], op, value);
}

const KINDS: Record<string, string> = {
  note: 'text',
  size: 'number',
  since: 'date',
  vip: 'boolean',
  tier: 'choice',
  site: 'text',
};
const JS_TYPES: Record<string, string> = { number: 'number', boolean: 'boolean' };
const isOfKind = (kind: string, held: unknown): held is string | number | boolean =>
  typeof held === (JS_TYPES[kind] ?? 'string');

function answer(kind: string, held: string | number | boolean | null, op: FilterOp, value: FilterValue): boolean {
  if (op === 'exists') return (held !== null) === value;
  if (op === 'neq') return !answer(kind, held, 'eq', value);
  if (held === null) return false;
  if (op === 'in') return Array.isArray(value) && value.some((one) => answer(kind, held, 'eq', one));
  if (op === 'withinDays' || op === 'olderThanDays') {
    const days = Number(value);
    const edge = kind === 'date' ? dayBefore(NOW, days, ZONE) : at(days);
    const today = kind === 'date' ? dayBefore(NOW, 0, ZONE) : at(0);
    return op === 'olderThanDays' ? held < edge : held >= edge && held <= today;
  }
  const as = kind === 'text' ? fold : kind === 'email' ? (text: string) => text.toLowerCase() : (text: string) => text;
  const read = (one: unknown) => (typeof one === 'string' ? as(one) : one);
  const digits = String(value).replaceAll(/\D/g, '');
  const text = String(read(held));
  if (op === 'contains') return text.includes(kind === 'phone' ? digits : String(read(value)));
  if (op === 'startsWith') return text.startsWith(kind === 'phone' ? `+${digits}` : String(read(value)));
  const [a, b] = [read(held), read(value)];
  if (op === 'eq') return a === b;
  if (typeof a === 'number' && typeof b === 'number') return { gt: a > b, gte: a >= b, lt: a < b, lte: a <= b }[op];
  return { gt: text > String(b), gte: text >= String(b), lt: text < String(b), lte: text <= String(b) }[op];
}

let test: TestRuntime;
let ana: TestUser;
let fields: FilterFields;
let stages: { id: string; pipeline_id: string; kind: string }[];
const people: Person[] = [];
const labels = Array.from({ length: 3 }, () => crypto.randomUUID());

const maybe = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { freq: 2 });
const words = fc.constantFrom(...WORDS);
const text = fc.oneof(
  words,
  fc.tuple(words, words).map((pair) => pair.join(' ')),
);
const email = fc.constantFrom('a@b.co', 'A@b.co', 'josé@x.com', 'a_b@x.com', 'jose@x.com');
const moment = fc.constantFrom(...MOMENTS);
const custom = fc.record(
  {
    note: fc.oneof(text, fc.constant(null), fc.constant(7)),
    size: fc.oneof(fc.constantFrom<unknown>(...NUMBERS), fc.constant('7')),
    since: fc.oneof(fc.constantFrom<unknown>(...DATES), fc.constant(true)),
    vip: fc.oneof(fc.boolean(), fc.constant('true')),
    tier: fc.constantFrom('gold', 'silver', 'none'),
    site: fc.constantFrom('https://x.com', 'https://X.com/a_b'),
  },
  { requiredKeys: [] },
);

const somebody = (owner: string) =>
  fc.record({
    name: text,
    email: maybe(email),
    company: maybe(text),
    position: maybe(text),
    ownerId: maybe(fc.constant(owner)),
    consent: fc.constantFrom('unknown', 'granted', 'denied'),
    sentiment: maybe(fc.constantFrom('positive', 'neutral', 'negative')),
    leadScore: maybe(fc.constantFrom(0, 1, 50, 100)),
    createdAt: moment,
    lastInboundAt: maybe(moment),
    lastOutboundAt: maybe(moment),
    archived: fc.boolean(),
    custom,
    labels: fc.subarray(labels),
    deals: fc.array(fc.record({ stage: fc.nat(5), isDeleted: fc.boolean() }), { maxLength: 2 }),
  });

const leaf = (where: object, op: string, value: unknown) => SegmentFilter.parse({ ...where, op, value });
const among = <Value>(value: fc.Arbitrary<Value>) => fc.array(value, { minLength: 1, maxLength: 4 });
const days = fc.constantFrom(0, 1, 7, 8, 30, 36_500);
const questions = (where: object, scalar: fc.Arbitrary<unknown>, ops: readonly string[]) =>
  fc.constantFrom(...ops).chain((op) => {
    if (op === 'exists') return fc.boolean().map((value) => leaf(where, op, value));
    if (op.endsWith('Days')) return days.map((value) => leaf(where, op, value));
    return (op === 'in' ? among(scalar) : scalar).map((value) => leaf(where, op, value));
  });
const texts = ['eq', 'neq', 'in', 'contains', 'startsWith', 'exists'];
const order = ['gt', 'gte', 'lt', 'lte'];
const simple = ['eq', 'neq', 'in', 'exists'];
const someDays = ['withinDays', 'olderThanDays'];

const leaves = (owner: string) =>
  fc.oneof(
    ...['name', 'company', 'position'].map((field) => questions({ field }, text, texts)),
    questions({ field: 'phone' }, fc.constantFrom(...PHONES), texts),
    questions({ field: 'phone' }, fc.constantFrom('(11) 98765', '4321', '+55 11', '0000'), ['contains', 'startsWith']),
    questions({ field: 'email' }, fc.oneof(email, words), texts),
    questions({ field: 'ownerId' }, fc.constantFrom(owner, crypto.randomUUID()), simple),
    questions({ field: 'consent' }, fc.constantFrom('unknown', 'granted', 'denied'), simple),
    questions({ field: 'sentiment' }, fc.constantFrom('positive', 'neutral', 'negative'), simple),
    questions({ field: 'leadScore' }, fc.constantFrom(0, 0.5, 50, 100, 1e300), [...simple, ...order]),
    ...['createdAt', 'lastInboundAt', 'lastOutboundAt'].map((field) =>
      questions({ field }, moment, [...order, ...someDays, 'exists']),
    ),
    questions({ field: 'archived' }, fc.boolean(), ['eq', 'neq', 'exists']),
    questions({ custom: 'note' }, text, texts),
    questions({ custom: 'site' }, fc.constantFrom('https://x.com', 'HTTPS', '/A_B'), texts),
    questions({ custom: 'size' }, fc.constantFrom(...NUMBERS), [...simple, ...order]),
    questions({ custom: 'since' }, fc.constantFrom(...DATES), [...simple, ...order, ...someDays]),
    questions({ custom: 'vip' }, fc.boolean(), ['eq', 'neq', 'exists']),
    questions({ custom: 'tier' }, fc.constantFrom('gold', 'silver'), simple),
    fc.constantFrom(...labels).map((hasLabel): SegmentFilter => ({ hasLabel })),
    fc.constantFrom(...stages).map(({ id }): SegmentFilter => ({ dealStage: id })),
    fc
      .tuple(fc.constantFrom(...stages), fc.constantFrom('open', 'won', 'lost', undefined))
      .map(([stage, status]) => SegmentFilter.parse({ inPipeline: stage.pipeline_id, ...(status && { status }) })),
  );

const filters = (owner: string): fc.Arbitrary<SegmentFilter> => {
  const { node } = fc.letrec<{ node: SegmentFilter }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      leaves(owner),
      fc.array(tie('node'), { maxLength: 3 }).map((and) => ({ and })),
      fc.array(tie('node'), { minLength: 1, maxLength: 3 }).map((or) => ({ or })),
      tie('node').map((not) => ({ not })),
    ),
  }));
  return node;
};

const inTx = <Result>(work: Parameters<typeof inWorkspaceTx<Result>>[2]) => inWorkspaceTx(test.rt.orm, ana.auth, work);

beforeAll(async () => {
  test = await openTestRuntime();
  ana = await aUser(test.rt);
  const drawn = fc.sample(somebody(ana.user.id), { numRuns: CONTACTS, seed: 7 });
  for (const [index, one] of drawn.entries())
    people.push({ ...one, id: crypto.randomUUID(), phone: PHONES[index] ?? null });
  const { workspaceId } = ana.auth;
  const { systemPool } = test.rt;
  await systemPool.query(
    `insert into contact (workspace_id, id, name, phone, email, company, position, owner_id, custom_fields, lead_score, sentiment, consent,
        created_at, last_inbound_at, last_outbound_at, archived_at)
      select $1, p.id, p.name, p.phone, p.email, p.company, p.position, p."ownerId", p.custom, p."leadScore", p.sentiment, p.consent,
        p."createdAt", p."lastInboundAt", p."lastOutboundAt", case when p.archived then now() end
      from json_to_recordset($2) as p (id uuid, name text, phone text, email text, company text, position text, "ownerId" uuid, custom jsonb,
        "leadScore" int, sentiment text, consent text, "createdAt" timestamptz, "lastInboundAt" timestamptz, "lastOutboundAt" timestamptz,
        archived boolean)`,
    [workspaceId, JSON.stringify(people)],
  );
  for (const id of labels)
    await systemPool.query(`insert into label (workspace_id, id, name, color) values ($1, $2, $3, '#000000')`, [
      workspaceId,
      id,
      id,
    ]);
  for (const person of people)
    for (const label of person.labels)
      await systemPool.query(`insert into contact_label (workspace_id, contact_id, label_id) values ($1, $2, $3)`, [
        workspaceId,
        person.id,
        label,
      ]);
  stages = (
    await systemPool.query(
      `select id, pipeline_id, kind from pipeline_stage where workspace_id = $1 order by position`,
      [workspaceId],
    )
  ).rows;
  for (const person of people)
    for (const { stage, isDeleted } of person.deals)
      await systemPool.query(
        `insert into deal (workspace_id, id, contact_id, pipeline_id, stage_id, status, title, currency, closed_at, lost_reason, deleted_at, position)
          select workspace_id, uuidv7(), $3, pipeline_id, id, kind, 'x', 'BRL', case when kind <> 'open' then now() end,
            case when kind = 'lost' then 'x' end, case when $4 then now() end, case when not $4 then gen_random_uuid()::text end
          from pipeline_stage where workspace_id = $1 and id = $2`,
        [workspaceId, stages[stage]?.id, person.id, isDeleted],
      );
  const kinds = { note: 'text', site: 'url', size: 'number', since: 'date', vip: 'boolean', tier: 'select' };
  for (const [key, kind] of Object.entries(kinds))
    await systemPool.query(
      `insert into contact_field (workspace_id, id, key, name, kind, options) values ($1, uuidv7(), $2, $2, $3, '{gold,silver}')`,
      [workspaceId, key, kind],
    );
  const every: SegmentFilter[] = [
    ...labels.map((hasLabel) => ({ hasLabel })),
    ...stages.flatMap((stage) => [{ dealStage: stage.id }, { inPipeline: stage.pipeline_id }]),
  ];
  fields = await inTx((em) => loadFilterFields(em, { or: every }, 'all', NOW));
});
afterAll(() => test.close());

describe('a filter', () => {
  it('finds in the database whom it is true of, whatever it asks', async () => {
    let asked = 0;
    let found = 0;
    await inTx(async (em) => {
      await fc.assert(
        fc.asyncProperty(filters(ana.user.id), async (filter) => {
          const rows = await searchContacts(em, compileFilter(SegmentFilter.parse(filter), fields), {
            sort: '-createdAt',
            limit: CONTACTS,
          });
          asked += 1;
          found += rows.length;
          const expected = people.filter((person) => holds(filter, person)).map(({ id }) => id);
          expect(rows.map(({ id }) => id).toSorted()).toEqual(expected.toSorted());
        }),
        { numRuns: FILTERS, seed: 2026 },
      );
    });
    process.stdout.write(`Filters: ${asked} asked of ${CONTACTS} contacts, ${found} answers, all as read by hand\n`);
    expect(found).toBeGreaterThan(asked * 10);
  }, 300_000);

  it('has the exact opposite under not, also where there is no value', async () => {
    await inTx(async (em) => {
      const idsOf = async (filter: SegmentFilter) =>
        (await searchContacts(em, compileFilter(filter, fields), { sort: 'name', limit: CONTACTS })).map(
          ({ id }) => id,
        );
      for (const filter of fc.sample(filters(ana.user.id), { numRuns: 100, seed: 3 })) {
        const [yes, no] = [await idsOf(filter), await idsOf({ not: filter })];
        expect([...yes, ...no].toSorted()).toEqual(people.map(({ id }) => id).toSorted());
      }
    });
  });
});
