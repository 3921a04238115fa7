import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp({ DEFAULT_PLAN: 'enterprise' });
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

const run = async (sql: string, params: unknown[] = []) => (await test.rt.systemPool.query(sql, params)).rows;
async function post(path: string, payload: object = {}) {
  const answer = await test.app.inject({ method: 'POST', url: `/api/${path}`, headers: ana.headers, payload });
  return { status: answer.statusCode, body: answer.json() };
}
const merge = async (winnerId: string, ...loserIds: string[]): Promise<string> =>
  (await post('contacts/merge', { winnerId, loserIds })).body.id;
const undo = async (mergeId: string) => {
  const { status, body } = await post(`contacts/merges/${mergeId}/undo`);
  return [status, body.errors];
};

let counter = 0;
/** Has somebody write on a channel, so many minutes ago each. */
async function talk(channel: string, lid: string, minutesAgo: readonly number[], direction = 'inbound') {
  const messages = minutesAgo.map((minutes) => ({
    clientId: `m${(counter += 1)}`,
    chat: { lid },
    direction,
    body: 'Oi',
    sentAt: new Date(Date.now() - minutes * 60_000).toISOString(),
  }));
  const { body } = await post('messages/sync', { channel: { externalId: channel }, messages });
  const [message] = await run('select contact_id from message where id = $1', [body.results[0].messageId]);
  return String(message.contact_id);
}
const conversations = (ids: string[]) =>
  run(
    `select contact_id, unread_count, last_message_id, last_message_at, last_inbound_at, last_outbound_at, status from conversation
      where workspace_id = $1 and contact_id = any($2) order by contact_id`,
    [ana.workspace.id, ids],
  );

const consentOf = async (...ids: string[]) =>
  (await run('select consent from contact where id = any($1) order by array_position($1::uuid[], id)', [ids])).map(
    ({ consent }) => consent,
  );

describe('a merge that is undone', () => {
  it('leaves conversations as they were, but for what came since', async () => {
    const winner = await talk('a', '70001', [50, 40]);
    await talk('a', '70001', [45], 'outbound');
    const loser = await talk('a', '70002', [30, 20, 10]);
    await talk('a', '70002', [5], 'outbound');
    await run(`update conversation set status = 'closed' where contact_id = $1`, [winner]);
    const before = await conversations([winner, loser]);
    expect(before.map(({ unread_count }) => unread_count)).toEqual([2, 3]);
    const first = await merge(winner, loser);
    expect(await conversations([winner])).toMatchObject([
      { unread_count: 5, status: 'open', last_message_at: before[1]?.last_message_at },
    ]);
    expect(await undo(first)).toEqual([200, undefined]);
    expect(await conversations([winner, loser])).toEqual(before);

    const second = await merge(winner, loser);
    await talk('a', '70001', [0]);
    expect(await undo(second)).toEqual([200, undefined]);
    const [mine, theirs] = await conversations([winner, loser]);
    expect(theirs).toEqual(before[1]);
    expect(mine).toMatchObject({ unread_count: 3, status: 'open', last_outbound_at: before[0]?.last_outbound_at });
    expect(mine?.last_inbound_at).toEqual(mine?.last_message_at);
    expect(mine?.last_message_at.getTime()).toBeGreaterThan(before[0]?.last_message_at.getTime());
    const of = 'select id from message where conversation_id in (select id from conversation where contact_id = $1)';
    expect(await run(`${of} and id = $2`, [winner, mine?.last_message_id])).toHaveLength(1);
  });

  it('gives what was read meanwhile back as read', async () => {
    const [winner, loser] = [await talk('b', '70003', [50]), await talk('b', '70004', [30])];
    const id = await merge(winner, loser);
    const [conversation] = await run('select id from conversation where contact_id = $1', [winner]);
    const url = `/api/conversations/${conversation.id}`;
    await test.app.inject({ method: 'PATCH', url, headers: ana.headers, payload: { read: true } });
    expect(await undo(id)).toEqual([200, undefined]);
    expect(await conversations([winner])).toMatchObject([{ unread_count: 0 }]);
  });

  it('joins the conversations of two who were merged into one that had none, and parts them', async () => {
    const [one, other] = [await talk('c', '70005', [30]), await talk('c', '70006', [20, 10])];
    const winner = String((await post('contacts', { name: 'Bia' })).body.id);
    const before = await conversations([one, other]);
    const id = await merge(winner, one, other);
    expect(await conversations([winner])).toMatchObject([
      { unread_count: 3, last_message_at: before[1]?.last_message_at },
    ]);
    expect(await undo(id)).toEqual([200, undefined]);
    expect(await conversations([one, other])).toEqual(before);
  });

  it('has what came into a conversation go with it', async () => {
    const loser = await talk('d', '70007', [30]);
    const winner = String((await post('contacts', { name: 'Bia' })).body.id);
    const id = await merge(winner, loser);
    expect(await talk('d', '70007', [0])).toBe(winner);
    expect(await undo(id)).toEqual([200, undefined]);
    const astray = `select m.id from message m join conversation c on c.workspace_id = m.workspace_id and c.id = m.conversation_id
      where m.workspace_id = $1 and m.contact_id <> c.contact_id`;
    expect(await run(astray, [ana.workspace.id])).toEqual([]);
    expect(await conversations([loser])).toMatchObject([{ unread_count: 2 }]);
  });

  it('is undone also where messages and scores are past their time', async () => {
    const [winner, loser] = [await talk('e', '70008', [50]), await talk('e', '70009', [30, 20])];
    await run(
      `insert into lead_score (workspace_id, id, contact_id, score, grade, version, components, recommendation, job_id)
        values ($1, uuidv7(), $2, 50, 'C', 'rules', '[]', '', uuidv7())`,
      [ana.workspace.id, loser],
    );
    const before = await conversations([winner]);
    const id = await merge(winner, loser);
    await run('delete from message where contact_id = $1', [winner]);
    await run('delete from lead_score where contact_id = $1', [winner]);
    await run('delete from contact_ai where contact_id = $1', [winner]);
    expect(await undo(id)).toEqual([200, undefined]);
    expect(await conversations([winner])).toEqual(before.map((one) => ({ ...one, unread_count: 0 })));
  });

  const proof = 'Mensagem de 26/11';

  it.each([
    ['opt-out', ['denied', 'denied']],
    ['opt-in', ['granted', 'denied']],
  ])('keeps an %s that was made since', async (decision, after) => {
    const winner = String((await post('contacts', { name: 'Bia', consent: 'granted' })).body.id);
    const loser = String((await post('contacts', { name: 'Bia', consent: 'denied' })).body.id);
    await post(`contacts/${loser}/opt-out`, { proof });
    const first = await merge(winner, loser);
    expect(await consentOf(winner)).toEqual(['denied']);
    expect(await undo(first)).toEqual([200, undefined]);
    expect(await consentOf(winner, loser)).toEqual(['granted', 'denied']);

    const second = await merge(winner, loser);
    expect((await post(`contacts/${winner}/${decision}`, { proof })).status).toBe(200);
    expect(await undo(second)).toEqual([200, undefined]);
    expect(await consentOf(winner, loser)).toEqual(after);
  });

  it('has nobody of them agree who said no as one', async () => {
    const winner = String((await post('contacts', { name: 'Bia', consent: 'granted' })).body.id);
    const loser = String((await post('contacts', { name: 'Bia', consent: 'granted' })).body.id);
    const id = await merge(winner, loser);
    await post(`contacts/${winner}/opt-out`);
    expect(await undo(id)).toEqual([200, undefined]);
    expect(await consentOf(winner, loser)).toEqual(['denied', 'denied']);
  });
});
