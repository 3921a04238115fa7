import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { findReferences } from '#src/modules/contacts/merge-tables.query.ts';
import { deleteMergesOf, purgeMerges } from '#src/modules/contacts/merge.query.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { onServer, openTestApp, type TestApp } from '#test/harness.ts';

const RUNS = 30;

/** Without a key to contacts, since they are kept by month or outlast them: found by the name of their column. */
const WITHOUT_KEY = new Set(['message', 'import_row', 'privacy_request', 'probe_line']);

let test: TestApp;
let ana: TestUser;
let labels: string[];
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
  // Tables that nothing knows of: one that a contact has one of per channel, and what hangs on that.
  await onServer(test.config.DATABASE_URL, (client) =>
    client.query(`create table probe_talk (workspace_id uuid not null, id uuid not null, channel text not null, contact_id uuid not null,
        primary key (workspace_id, id), unique (workspace_id, channel, contact_id),
        foreign key (workspace_id, contact_id) references contact (workspace_id, id) on delete cascade);
      create unique index on probe_talk (workspace_id, contact_id, lower(channel)) where channel like 'w%';
      create table probe_line (workspace_id uuid not null, id uuid not null, talk_id uuid not null, contact_id uuid not null,
        primary key (workspace_id, id), foreign key (workspace_id, talk_id) references probe_talk (workspace_id, id)) partition by range (id);
      create table probe_line_all partition of probe_line default;
      create table probe_note (workspace_id uuid not null, person uuid not null, text text not null, primary key (workspace_id, person),
        foreign key (workspace_id, person) references contact (workspace_id, id) on delete cascade)`),
  );
  labels = await Promise.all(['a', 'b', 'c'].map((name) => create('label', { name, color: '#000000' })));
});
afterAll(() => test.close());

const run = async (sql: string, params: unknown[] = []) => (await test.rt.systemPool.query(sql, params)).rows;
const ws = () => ana.workspace.id;

async function create(table: string, fields: Record<string, unknown>): Promise<string> {
  const row = { workspace_id: ws(), id: crypto.randomUUID(), ...fields };
  const columns = Object.keys(row).join(', ');
  await run(`insert into ${table} (${columns}) select ${columns} from json_populate_record(null::${table}, $1)`, [
    JSON.stringify(row),
  ]);
  return row.id;
}

interface Drawn {
  fields: Record<string, unknown>;
  identities: string[];
  labels: number[];
  activities: number;
  talks: string[];
  lines: number;
  hasNote: boolean;
}

const maybe = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary);
const someone: fc.Arbitrary<Drawn> = fc.record({
  fields: fc.record({
    email: maybe(fc.constantFrom('a@x.com', 'b@x.com')),
    company: maybe(fc.constantFrom('Padaria', 'Oficina')),
    position: maybe(fc.constantFrom('Dona', 'Sócio')),
    consent: fc.constantFrom('unknown', 'granted', 'denied'),
    sentiment: maybe(fc.constantFrom('positive', 'negative')),
    lead_score: maybe(fc.constantFrom(0, 80)),
    last_inbound_at: maybe(fc.constantFrom('2026-01-01T00:00:00.123456Z', '2026-03-01T00:00:00.654321Z')),
    custom_fields: fc.dictionary(
      fc.constantFrom('cpf', 'size', 'vip'),
      fc.constantFrom<unknown>('x', 'y', 7, false, null),
    ),
  }),
  identities: fc.uniqueArray(fc.constantFrom('phone', 'wa_id', 'lid', 'email', 'external')),
  labels: fc.subarray([0, 1, 2]),
  activities: fc.nat(3),
  talks: fc.uniqueArray(fc.constantFrom('wa', 'mail', 'sms')),
  lines: fc.nat(3),
  hasNote: fc.boolean(),
});

let counter = 0;
async function make({ fields, ...rest }: Drawn): Promise<string> {
  counter += 1;
  const phone = counter % 2 ? `+55119${String(counter).padStart(8, '0')}` : null;
  const defaults = { created_at: new Date(), updated_at: new Date(), version: 1, source: 'manual' };
  const id = await create('contact', { ...defaults, name: `Pessoa ${counter}`, phone, custom_fields: {}, ...fields });
  const created_at = new Date();
  for (const kind of rest.identities)
    await create('contact_identity', { contact_id: id, kind, value: `${counter}-${kind}`, created_at });
  for (const at of rest.labels)
    await run('insert into contact_label (workspace_id, contact_id, label_id) values ($1, $2, $3)', [
      ws(),
      id,
      labels[at],
    ]);
  for (let n = 0; n < rest.activities; n += 1)
    await create('activity', { type: 'note.added', contact_id: id, payload: { n }, occurred_at: created_at });
  for (const channel of rest.talks) {
    const talk_id = await create('probe_talk', { channel, contact_id: id });
    for (let n = 0; n < rest.lines; n += 1) await create('probe_line', { talk_id, contact_id: id });
  }
  if (rest.hasNote) await run('insert into probe_note values ($1, $2, $3)', [ws(), id, `note ${counter}`]);
  return id;
}

const post = (url: string, payload: object = {}, who = ana) =>
  test.app.inject({ method: 'POST', url, headers: who.headers, payload });

const TABLES = ['contact_identity', 'contact_label', 'probe_talk', 'probe_line', 'probe_note'];
/** Everything there is of these people, but for when they were last written. */
async function everything(): Promise<Record<string, unknown[]>> {
  const all: Record<string, unknown[]> = {};
  for (const table of TABLES)
    all[table] = await run(`select to_jsonb(t) as row from ${table} t where workspace_id = $1 order by t::text`, [
      ws(),
    ]);
  all['contact'] = await run(
    `select to_jsonb(t) - 'version' - 'updated_at' as row from contact t where workspace_id = $1 order by id`,
    [ws()],
  );
  all['activity'] = await run(
    `select to_jsonb(t) as row from activity t where workspace_id = $1 and type not in ('contact.merged', 'contact.restored') order by id`,
    [ws()],
  );
  return all;
}

/** What is known of some people together, whoever of them it hangs on. */
async function known(ids: string[]): Promise<Record<string, unknown>> {
  const list = async (sql: string) => (await run(sql, [ws(), ids])).map(({ it: one }) => one);
  return {
    identities: await list(
      `select kind || value as it from contact_identity where workspace_id = $1 and contact_id = any($2) and released_at is null order by 1`,
    ),
    labels: await list(
      `select distinct label_id as it from contact_label where workspace_id = $1 and contact_id = any($2) order by 1`,
    ),
    keys: await list(
      `select distinct k.key as it from contact c, jsonb_each(custom_fields) k
        where workspace_id = $1 and id = any($2) and k.value <> 'null' order by 1`,
    ),
    activities: await list(
      `select id as it from activity where workspace_id = $1 and contact_id = any($2) and type = 'note.added' order by 1`,
    ),
    channels: await list(
      `select distinct channel as it from probe_talk where workspace_id = $1 and contact_id = any($2) order by 1`,
    ),
    lines: await list(`select id as it from probe_line where workspace_id = $1 and contact_id = any($2) order by 1`),
    linesOfTalks: await list(
      `select l.id as it from probe_line l join probe_talk t using (workspace_id)
        where workspace_id = $1 and t.id = l.talk_id and t.contact_id = any($2) order by 1`,
    ),
    notes: await list(`select count(*) > 0 as it from probe_note where workspace_id = $1 and person = any($2)`),
  };
}

const of = async (id: string) =>
  (await run('select * from contact where workspace_id = $1 and id = $2', [ws(), id]))[0];

describe('merging', () => {
  it('loses nothing, and undone, leaves nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(someone, { minLength: 2, maxLength: 4 }), async (drawn) => {
        const ids: string[] = [];
        for (const one of drawn) ids.push(await make(one));
        const [winnerId = '', ...loserIds] = ids;
        const [before, had] = [await everything(), await known(ids)];
        const merged = await post('/api/contacts/merge', { winnerId, loserIds });
        expect(merged.statusCode).toBe(200);
        expect(await known([winnerId])).toEqual(had);
        const [winner] = await run('select * from contact where workspace_id = $1 and id = $2', [ws(), winnerId]);
        const consents = new Set(drawn.map(({ fields }) => fields['consent']));
        const careful = ['denied', 'unknown', 'granted'].find((consent) => consents.has(consent));
        expect(winner).toMatchObject({ consent: careful, deleted_at: null, version: 2 });
        const losers = await run(
          'select merged_into, deleted_at from contact where workspace_id = $1 and id = any($2)',
          [ws(), loserIds],
        );
        for (const loser of losers) expect(loser).toEqual({ merged_into: winnerId, deleted_at: expect.any(Date) });
        const undone = await post(`/api/contacts/merges/${merged.json().id}/undo`);
        expect([undone.statusCode, undone.json().detail]).toEqual([200, undefined]);
        expect(await everything()).toEqual(before);
        expect((await post(`/api/contacts/merges/${merged.json().id}/undo`)).json().code).toBe('merge_undone');
      }),
      { numRuns: RUNS, seed: 11 },
    );
    process.stdout.write(`Merges: ${RUNS} done and undone\n`);
  }, 300_000);

  const plain: Drawn = {
    fields: {},
    identities: ['phone'],
    labels: [],
    activities: 0,
    talks: [],
    lines: 0,
    hasNote: false,
  };
  const pair = async (a: object, b: object): Promise<[string, string]> => [
    await make({ ...plain, fields: { consent: 'unknown', custom_fields: {}, ...a } }),
    await make({ ...plain, fields: { consent: 'unknown', custom_fields: {}, ...b } }),
  ];

  it('takes what the winner does not know, and what was chosen', async () => {
    const [winnerId, loserId] = await pair(
      { company: 'Padaria', email: null, custom_fields: { cpf: '1' } },
      { company: 'Oficina', email: 'b@x.com', position: 'Dona', custom_fields: { cpf: '2', size: 3 } },
    );
    const body = {
      winnerId,
      loserIds: [loserId],
      fields: { company: loserId, name: 'winner' },
      customFields: { cpf: loserId },
    };
    expect((await post('/api/contacts/merge', body)).statusCode).toBe(200);
    expect(await of(winnerId)).toMatchObject({
      company: 'Oficina',
      email: 'b@x.com',
      position: 'Dona',
      custom_fields: { cpf: '2', size: 3 },
    });
    const events = await run(`select type, data from outbox_event where workspace_id = $1 and subject_id = $2`, [
      ws(),
      winnerId,
    ]);
    expect(events).toEqual([
      { type: 'contact.merged', data: { contactId: winnerId, ownerId: null, mergedId: loserId } },
    ]);
    const audit = await test.app.inject({ method: 'GET', url: '/api/audit?limit=1', headers: ana.headers });
    expect(audit.json().data[0]).toMatchObject({ action: 'contact.merged', target: { id: winnerId } });
  });

  it('is not undone over what somebody changed since, and says what that is', async () => {
    const [winnerId, loserId] = await pair(
      { company: null },
      { company: 'Oficina', last_inbound_at: '2026-01-01T00:00:00Z' },
    );
    const { id } = (await post('/api/contacts/merge', { winnerId, loserIds: [loserId] })).json();
    await run(`update contact set company = 'Outra', last_inbound_at = now() where id = $1`, [winnerId]);
    await run(`delete from contact_identity where contact_id = $1`, [winnerId]);
    const refused = await post(`/api/contacts/merges/${id}/undo`);
    expect(refused.json()).toMatchObject({ status: 409, code: 'merge_changed' });
    expect(refused.json().errors.map(({ path }: { path: string }) => path)).toEqual([
      'winner.company',
      'contact_identity',
    ]);
    expect(await of(loserId)).toMatchObject({ merged_into: winnerId });
  });

  it('keeps what came to the winner since, and undoes a chain from its end', async () => {
    const [a, b] = await pair({}, { last_inbound_at: '2026-01-01T00:00:00Z' });
    const [c] = await pair({}, {});
    const first = (await post('/api/contacts/merge', { winnerId: a, loserIds: [b] })).json();
    const second = (await post('/api/contacts/merge', { winnerId: c, loserIds: [a] })).json();
    // Whoever was merged before leads to the last one too.
    expect(await of(b)).toMatchObject({ merged_into: c });
    const early = await post(`/api/contacts/merges/${first.id}/undo`);
    expect(early.json()).toMatchObject({ code: 'merge_changed', errors: [{ path: 'winner' }] });
    await run(`update contact set last_inbound_at = '2026-05-01' where id = $1`, [c]);
    expect((await post(`/api/contacts/merges/${second.id}/undo`)).statusCode).toBe(200);
    expect((await of(c))?.last_inbound_at.toISOString().slice(0, 10)).toBe('2026-05-01');
    expect(await of(b)).toMatchObject({ merged_into: a });
    expect((await post(`/api/contacts/merges/${first.id}/undo`)).statusCode).toBe(200);
    expect(await of(b)).toMatchObject({ merged_into: null, deleted_at: null });
  });

  it('refuses what names no contact, or one twice', async () => {
    const [winnerId, loserId] = await pair({}, {});
    const stranger = crypto.randomUUID();
    for (const [body, status] of [
      [{ winnerId, loserIds: [winnerId] }, 400],
      [{ winnerId, loserIds: [loserId, loserId] }, 400],
      [{ winnerId, loserIds: [loserId], fields: { name: stranger } }, 400],
      [{ winnerId, loserIds: [] }, 400],
      [{ winnerId, loserIds: [stranger] }, 404],
    ] as const)
      expect((await post('/api/contacts/merge', body)).statusCode).toBe(status);
    expect((await post(`/api/contacts/merges/${stranger}/undo`)).statusCode).toBe(404);
  });

  it('lets a member who sees their own alone merge their own alone', async () => {
    const person = await aUser(test.rt);
    await aMember(test.rt, ws(), person.user.id, 'member');
    await run(`update member set denies = '{contacts:all}' where workspace_id = $1 and user_id = $2`, [
      ws(),
      person.user.id,
    ]);
    const own = { owner_id: person.user.id };
    const [a, b] = await pair(own, own);
    const [other] = await pair({}, {});
    const headers = { ...person.headers, 'x-workspace-id': ws() } as TestUser['headers'];
    const asked = (winnerId: string, loserId: string) =>
      post('/api/contacts/merge', { winnerId, loserIds: [loserId] }, { ...person, headers });
    expect((await asked(a, other)).statusCode).toBe(404);
    expect((await asked(other, a)).statusCode).toBe(404);
    expect((await asked(a, b)).statusCode).toBe(200);
  });

  it('is forgotten after 30 days, or when one of them is', async () => {
    const [winnerId, loserId] = await pair({}, {});
    const { id } = (await post('/api/contacts/merge', { winnerId, loserIds: [loserId] })).json();
    await run(`update contact_merge set created_at = now() - interval '31 days' where id = $1`, [id]);
    expect((await post(`/api/contacts/merges/${id}/undo`)).statusCode).toBe(404);
    expect(await purgeMerges(test.rt.systemPool)).toBe(1);
    const [c, d] = await pair({}, {});
    await post('/api/contacts/merge', { winnerId: c, loserIds: [d] });
    expect(await inWorkspaceTx(test.rt.orm, ana.auth, (em) => deleteMergesOf(em, d))).toBe(1);
  });

  it('knows every table that hangs on a contact', async () => {
    const found = await inWorkspaceTx(test.rt.orm, ana.auth, (em) => findReferences(em, 'contact'));
    const tables = found.map(({ table }) => table);
    for (const table of [
      'contact',
      'contact_identity',
      'contact_label',
      'activity',
      'probe_talk',
      'probe_line',
      'probe_note',
    ])
      expect(tables).toContain(table);
    // Rows can be moved back only by a key.
    for (const { table, column, key, uniques } of found)
      expect([table, column, key.length + uniques.length]).not.toContain(0);
    const loose = await run(`select c.relname as name from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attname = 'contact_id' and not a.attisdropped
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
        and not exists (select from pg_constraint f where f.conrelid = c.oid and f.contype = 'f' and f.confrelid = 'contact'::regclass
          and cardinality(f.conkey) = 2 and a.attnum = any(f.conkey))`);
    expect(loose.map(({ name }) => name).filter((name) => !WITHOUT_KEY.has(name))).toEqual([]);
  });
});
