import type { EntityManager } from '@mikro-orm/postgresql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { newId } from '#src/lib/ids.ts';
import { identifyContacts } from '#src/modules/contacts/identify.query.ts';
import { readGround, insertDeal } from '#src/modules/deals/deal.query.ts';
import { findPeople } from '#src/modules/imports/people.query.ts';
import { openConversations } from '#src/modules/messages/sync.query.ts';
import { findMissing, insertTask } from '#src/modules/tasks/tasks.query.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

const run = async (sql: string, params: unknown[] = []) => (await test.rt.systemPool.query(sql, params)).rows;
const ws = () => ana.workspace.id;
const tx = <Result>(work: (em: EntityManager) => Promise<Result>) => inWorkspaceTx(test.rt.orm, ana.auth, work);

let counter = 0;
async function aContact(): Promise<{ id: string; lid: string }> {
  counter += 1;
  const [id, lid] = [newId(), `lid-${counter}`];
  await run(`insert into contact (workspace_id, id, name) values ($1, $2, 'Bia')`, [ws(), id]);
  await run(
    `insert into contact_identity (workspace_id, id, contact_id, kind, value) values ($1, uuidv7(), $2, 'lid', $3)`,
    [ws(), id, lid],
  );
  return { id, lid };
}
const merge = (winnerId: string, loserId: string) =>
  test.app.inject({
    method: 'POST',
    url: '/api/contacts/merge',
    headers: ana.headers,
    payload: { winnerId, loserIds: [loserId] },
  });

/** Whether something is over soon. */
const isOver = (work: Promise<unknown>): Promise<boolean> =>
  Promise.race([work.then(() => true), new Promise<false>((resolve) => void setTimeout(() => resolve(false), 400))]);

const aChannel = async () => {
  const id = newId();
  await run(`insert into channel (workspace_id, id, kind, external_id, name) values ($1, $2, 'extension', $3, 'x')`, [
    ws(),
    id,
    id,
  ]);
  return id;
};

/** What hangs things on a contact: first it looks whether the contact is there, then it writes. */
interface Writer {
  look: (em: EntityManager, one: { id: string; lid: string }) => Promise<string>;
  write: (em: EntityManager, contactId: string) => Promise<unknown>;
  table: string;
}
const nobody = () => ({
  actorId: null,
  source: 'message' as const,
  listKey: { appSecret: test.rt.config.APP_SECRET, workspaceId: ws() },
});
const nothing = { description: null, due_at: null, recurrence: null, series_start: null, turn_at: null };
const WRITERS: [string, Writer][] = [
  [
    'a conversation',
    {
      look: async (em, { lid }) => (await identifyContacts(em, [{ lid }], nobody()))[0]?.contactId ?? '',
      write: async (em, contactId) =>
        openConversations(em, await aChannel(), [{ contactId, messageId: newId(), sentAt: new Date() }]),
      table: 'conversation',
    },
  ],
  [
    'a deal',
    {
      look: async (em, { id }) => {
        const ground = await readGround(em, { contactId: id, contactOwner: null, ownerId: null });
        return ground.hasContact ? id : 'gone';
      },
      write: async (em, contactId) => {
        const [stage] = await run('select id, pipeline_id from pipeline_stage where workspace_id = $1 limit 1', [ws()]);
        const place = { pipelineId: stage.pipeline_id, stageId: stage.id, position: `p${newId()}` };
        const worth = { amountMinor: 0, currency: 'BRL', probability: null, expectedCloseDate: null };
        return insertDeal(em, { id: newId(), title: 'Plano', contactId, ownerId: null, ...place, ...worth });
      },
      table: 'deal',
    },
  ],
  [
    'a task',
    {
      look: async (em, { id }) => {
        const links = { assigneeId: null, dealId: null, contactOf: undefined, dealOf: undefined };
        return (await findMissing(em, { ...links, contactId: id })).contact ? 'gone' : id;
      },
      write: (em, contactId) => {
        const links = { assignee_id: null, deal_id: null, contact_id: contactId };
        return insertTask(em, newId(), { title: 'Ligar', priority: 'normal', ...nothing, ...links }, null);
      },
      table: 'task',
    },
  ],
];

/** Does something while a merge has locked its contacts and is not over yet. */
async function duringMerge<Result>(winnerId: string, loserId: string, work: () => Promise<Result>): Promise<Result> {
  const client = await test.rt.systemPool.connect();
  try {
    await client.query('begin; lock table contact_merge in share mode');
    const merged = merge(winnerId, loserId);
    expect(await isOver(merged.then(({ statusCode }) => statusCode))).toBe(false);
    const working = work();
    expect(await isOver(working)).toBe(false);
    await client.query('commit');
    expect((await merged).statusCode).toBe(200);
    return await working;
  } finally {
    await client.query('rollback');
    client.release();
  }
}

describe('a merge in the same moment', () => {
  it.each(WRITERS)('waits for %s that is being made, and takes it along', async (_name, { look, write, table }) => {
    const [winner, loser] = [await aContact(), await aContact()];
    let merged: ReturnType<typeof merge> | undefined;
    await tx(async (em) => {
      const contactId = await look(em, loser);
      merged = merge(winner.id, loser.id);
      expect(await isOver(merged.then(({ statusCode }) => statusCode))).toBe(false);
      await write(em, contactId);
    });
    expect((await merged)?.statusCode).toBe(200);
    const made = await run(`select contact_id from ${table} where workspace_id = $1 and contact_id = any($2)`, [
      ws(),
      [winner.id, loser.id],
    ]);
    expect(made).toEqual([{ contact_id: winner.id }]);
  });

  it('is waited for by who looks for the contact, who is then the one it went into', async () => {
    const [winner, loser] = [await aContact(), await aContact()];
    const email = { lid: loser.lid, email: 'nova@exemplo.com.br' };
    const found = await duringMerge(winner.id, loser.id, () => tx((em) => identifyContacts(em, [email], nobody())));
    expect(found).toEqual([{ contactId: winner.id, isNew: false }]);
    expect(await run('select id from contact where workspace_id = $1 and email = $2', [ws(), email.email])).toEqual([
      { id: winner.id },
    ]);
  });

  it('is waited for by an import', async () => {
    const [winner, loser] = [await aContact(), await aContact()];
    const identity = { kind: 'lid', value: loser.lid } as const;
    const people = await duringMerge(winner.id, loser.id, () => tx((em) => findPeople(em, [identity], [])));
    expect([...people.values()].map(({ id }) => id)).toEqual([winner.id]);
  });

  it('leaves nothing to a deal or a task that come too late', async () => {
    const [winner, loser] = [await aContact(), await aContact()];
    for (const [url, payload] of [
      ['/api/deals', { title: 'Plano', contactId: loser.id }],
      ['/api/tasks', { title: 'Ligar', contactId: loser.id }],
    ] as const) {
      const [other] = [await aContact()];
      const asked = { ...payload, contactId: other.id };
      const post = async () => test.app.inject({ method: 'POST', url, headers: ana.headers, payload: asked });
      expect((await duringMerge(winner.id, other.id, post)).statusCode).toBe(404);
    }
  });

  it('has a note of the moment stand with the contact it went into', async () => {
    const [winner, loser] = [await aContact(), await aContact()];
    const payload = { type: 'note', contactId: loser.id, text: 'Quer o plano anual' };
    const post = async () => test.app.inject({ method: 'POST', url: '/api/activities', headers: ana.headers, payload });
    const noted = await duringMerge(winner.id, loser.id, post);
    expect(noted.json()).toMatchObject({ contactId: winner.id });
  });

  it.each(['erasure', 'opt-out'])('has an %s of the moment be that of the contact it went into', async (asked) => {
    const [winner, loser] = [await aContact(), await aContact()];
    const url = `/api/contacts/${loser.id}/${asked}`;
    const payload = asked === 'erasure' ? {} : { payload: {} };
    const post = async () => test.app.inject({ method: 'POST', url, headers: ana.headers, ...payload });
    expect((await duringMerge(winner.id, loser.id, post)).statusCode).toBe(asked === 'erasure' ? 202 : 200);
    const table = asked === 'erasure' ? 'privacy_request' : 'consent_event';
    expect(await run(`select contact_id from ${table} where contact_id = any($1)`, [[winner.id, loser.id]])).toEqual([
      { contact_id: winner.id },
    ]);
    const exported = await test.app.inject({ url: `/api/contacts/${loser.id}/export`, headers: ana.headers });
    expect(exported.json().contact.id).toBe(winner.id);
  });

  it('of many in both directions blocks nobody', async () => {
    const pairs = await Promise.all(
      Array.from({ length: 6 }, async () => [await aContact(), await aContact()] as const),
    );
    const all = pairs.flat().map(({ lid }) => ({ lid }));
    const works = pairs.flatMap(([a, b]) => [
      merge(a.id, b.id).then(({ statusCode }) => statusCode),
      tx((em) => identifyContacts(em, all, nobody())).then((found) => found.length),
      tx((em) => identifyContacts(em, all.toReversed(), nobody())).then((found) => found.length),
    ]);
    const ended = await Promise.all(works);
    expect(new Set(ended)).toEqual(new Set([200, all.length]));
    expect(await run(`select id from contact where workspace_id = $1 and source = 'message'`, [ws()])).toEqual([]);
  });
});
