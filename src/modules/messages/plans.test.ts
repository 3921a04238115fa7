import type { EntityManager } from '@mikro-orm/postgresql';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { listConversations } from '#src/modules/messages/conversations.query.ts';
import { findMessage, listMessages, searchMessages, wordsOf } from '#src/modules/messages/messages.query.ts';
import { purgeMessages } from '#src/modules/messages/purge.query.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

const MESSAGES = 20_000;
const CONTACTS = 2000;
const MINUTES = 3;

let test: TestRuntime;
let ana: TestUser;
let id: string;
beforeAll(async () => {
  test = await openTestRuntime();
  ana = await aUser(test.rt);
  const pool = test.rt.systemPool;
  const of = [ana.workspace.id];
  id = crypto.randomUUID();
  await pool.query(
    `insert into contact (workspace_id, id, name) select $1, uuidv7(), 'Contato ' || n from generate_series(1, ${CONTACTS}) n`,
    of,
  );
  await pool.query(
    `insert into channel (workspace_id, id, kind, external_id, name) values ($1, $2, 'extension', '55', 'x')`,
    [...of, id],
  );
  await pool.query(
    `insert into conversation (workspace_id, id, channel_id, contact_id, last_message_id, last_message_at, unread_count)
      select $1, uuidv7(), $2, c.id, uuidv7(), now() - c.at * interval '1 minute', case when c.at % 50 = 0 then 1 else 0 end
      from (select id, row_number() over (order by id) as at from contact where workspace_id = $1) c`,
    [...of, id],
  );
  await pool.query(
    `insert into message (workspace_id, id, conversation_id, contact_id, channel_id, direction, type, body, status, sent_at)
      select $1, uuidv7(n * interval '-${MINUTES} minutes'), c.id, c.contact_id, c.channel_id, 'inbound', 'text',
        'palavra comum ' || case when n % 5000 = 7 then 'raríssima' else 'numero' || n end, 'delivered',
        now() - n * interval '${MINUTES} minutes'
      from generate_series(1, ${MESSAGES}) n
      join (select c.*, row_number() over (order by id) as at from conversation c where workspace_id = $1) c on c.at = 1 + n % ${CONTACTS}`,
    of,
  );
  await pool.query('delete from analytics_mark');
  // Only the owner of a table may have it analysed.
  const owner = new Client({ connectionString: test.config.DATABASE_URL });
  await owner.connect();
  await owner.query('analyze contact, conversation, message');
  await owner.end();
});
afterAll(() => test.close());

interface Explained {
  plan: string;
  rows: unknown[];
  ms: number;
}

/** Does the work as a request would, and tells how Postgres went about its one statement. */
async function explain(work: (em: EntityManager) => Promise<unknown>): Promise<Explained> {
  return inWorkspaceTx(test.rt.orm, { workspaceId: ana.workspace.id }, async (em) => {
    let plan = '';
    const explaining = new Proxy(em, {
      get: (target, key) =>
        key === 'execute'
          ? async (sql: string, values: unknown[]) => {
              const lines = await target.execute<{ 'QUERY PLAN': string }[]>(`explain ${sql}`, values);
              plan += lines.map((line) => line['QUERY PLAN']).join('\n');
              return target.execute(sql, values);
            }
          : Reflect.get(target, key),
    });
    // Tables as small as these are read from end to end for good reason; what has no index still is.
    await em.execute('set local enable_seqscan = off');
    const began = performance.now();
    const rows = await work(explaining);
    return { plan, rows: Array.isArray(rows) ? rows : [rows], ms: performance.now() - began };
  });
}

const SEARCH = { contactId: null, channelId: null, ownerId: null, from: null, to: null, before: null, limit: 26 };
const search = (q: string, more: object = {}) =>
  explain((em) => searchMessages(em, { ...SEARCH, words: wordsOf(q), ...more }));

describe('no table is read from end to end', () => {
  it.each([
    ['all', {}],
    ['unread', { isUnread: true }],
    ['somebody’s', { ownerId: crypto.randomUUID() }],
    ['given to somebody', { assigneeId: crypto.randomUUID() }],
    ['a later page', { after: { at: new Date(Date.now() - 86_400_000).toISOString(), id: crypto.randomUUID() } }],
    ['one by a name', { q: 'Contato 1999' }],
  ])('for conversations: %s', async (_, filter) => {
    const { plan } = await explain((em) => listConversations(em, { ...filter, limit: 26 }));
    expect(plan).toContain('Index');
    expect(plan).not.toContain('Seq Scan');
  });

  it('for the messages of a conversation or a contact, and for one', async () => {
    for (const of of ['conversation', 'contact'] as const) {
      const { plan } = await explain((em) => listMessages(em, { of, id, before: crypto.randomUUID(), limit: 26 }));
      expect(plan).not.toContain('Seq Scan');
      expect(plan).not.toContain('Sort Key: m.sent_at');
    }
    expect((await explain((em) => findMessage(em, id, undefined))).plan).not.toContain('Seq Scan');
  });

  it('for a search, whether its words are rare or in every message', async () => {
    const rare = await search('rarissima palavra');
    const common = await search('palavra');
    const none = await search('nenhures');
    for (const { plan } of [rare, common, none]) {
      expect(plan).toContain('_words_idx');
      expect(plan).not.toContain('Seq Scan on message');
    }
    expect([rare.rows.length, common.rows.length, none.rows.length]).toEqual([MESSAGES / 5000, 26, 0]);
    process.stdout.write(
      `Searched ${MESSAGES} messages: rare ${rare.ms.toFixed()} ms, common ${common.ms.toFixed()} ms, none ${none.ms.toFixed()} ms\n`,
    );
  });
});

it('what is past its time goes, with the keys it was known by', async () => {
  const pool = test.rt.systemPool;
  const count = async (table: string) =>
    Number(
      (await pool.query(`select count(*) from ${table} where workspace_id = $1`, [ana.workspace.id])).rows[0].count,
    );
  await pool.query(
    `insert into message_key (workspace_id, channel_id, kind, value, message_id)
      select workspace_id, channel_id, 'client', id::text, id from message where workspace_id = $1`,
    [ana.workspace.id],
  );
  expect(await purgeMessages(pool, 730)).toBe(0);
  await pool.query(
    `insert into workspace_setting (workspace_id, key, value, updated_at) values ($1, 'privacy.retentionDays', '30', now())`,
    [ana.workspace.id],
  );
  let purged = 0;
  for (let some = await purgeMessages(pool, 730); some > 0; some = await purgeMessages(pool, 730)) purged += some;
  const kept = Math.floor((30 * 24 * 60) / MINUTES);
  expect(await count('message')).toBe(MESSAGES - purged);
  expect(Math.abs(MESSAGES - purged - kept)).toBeLessThan(3);
  expect(await count('message_key')).toBe(MESSAGES - purged);
});
