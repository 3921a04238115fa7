import { afterAll, beforeAll, expect, it } from 'vitest';
import { newId } from '#src/lib/ids.ts';
import { kinds } from '#src/modules/bulk/kinds.ts';
import { runOperation } from '#src/modules/bulk/run.ts';
import { STORES } from '#src/modules/privacy/stores.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

const run = async (sql: string, values: unknown[] = []) => (await test.rt.systemPool.query(sql, values)).rows;
const post = async (path: string, payload?: object) =>
  (
    await test.app.inject({ method: 'POST', url: `/api/${path}`, headers: ana.headers, ...(payload && { payload }) })
  ).json();

it('what is written of a person while they are being forgotten is forgotten with them', async () => {
  const ws = ana.workspace.id;
  const contactId = String((await post('contacts', { name: 'Quitéria' })).id);
  const channelId = newId();
  await run(`insert into channel (workspace_id, id, kind, external_id, name) values ($1, $2, 'extension', 'x', 'x')`, [
    ws,
    channelId,
  ]);
  const { operationId } = await post(`contacts/${contactId}/erasure`);
  // Every store before the contact itself was passed and had nothing in it.
  const state = { at: STORES.findIndex(({ name }) => name === 'contact'), place: null, receipt: [] };
  await run('update bulk_operation set state = $2, due_at = now() where id = $1', [operationId, state]);

  const late = await test.rt.systemPool.connect();
  try {
    await late.query('begin');
    const [conversationId, messageId] = [newId(), newId()];
    await late.query(
      `insert into conversation (workspace_id, id, channel_id, contact_id, last_message_id, last_message_at) values ($1, $2, $3, $4, $5, now())`,
      [ws, conversationId, channelId, contactId, messageId],
    );
    await late.query(
      `insert into message (workspace_id, id, conversation_id, contact_id, channel_id, direction, type, body, status, sent_at)
        values ($1, $2, $3, $4, $5, 'inbound', 'text', 'Sou a Quitéria', 'sent', now())`,
      [ws, messageId, conversationId, contactId, channelId],
    );
    await late.query(
      `insert into lead_score (workspace_id, id, contact_id, score, grade, version, components, recommendation, job_id)
        values ($1, uuidv7(), $2, 50, 'C', 'rules', '[]', '', uuidv7())`,
      [ws, contactId],
    );
    await late.query(
      `insert into contact_ai (workspace_id, contact_id, kind, due_at) values ($1, $2, 'score', now() + interval '1 day')`,
      [ws, contactId],
    );
    const stopping = new AbortController().signal;
    const erased = runOperation(
      { orm: test.rt.orm, kinds, appSecret: test.config.APP_SECRET, log: test.rt.log, stopping },
      ws,
      operationId,
    );
    const soon = new Promise<string>((resolve) => void setTimeout(() => resolve('waits'), 500));
    expect(await Promise.race([erased.then(() => 'over'), soon])).toBe('waits');
    await late.query('commit');
    await erased;
  } finally {
    await late.query('rollback');
    late.release();
  }
  expect(await run('select status, problem from bulk_operation where id = $1', [operationId])).toEqual([
    { status: 'completed', problem: null },
  ]);
  for (const table of ['message', 'conversation', 'lead_score', 'contact_ai'])
    expect([table, await run(`select 1 from ${table} where contact_id = $1`, [contactId])]).toEqual([table, []]);
  const [{ receipt }] = await run('select receipt from privacy_request where id = $1', [operationId]);
  expect(receipt).toEqual([
    { store: 'contact', count: 5, ok: true },
    { store: 'idempotent_request', count: 0, ok: true },
  ]);
});
