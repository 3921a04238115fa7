import { afterAll, beforeAll, expect, it } from 'vitest';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { findCredits } from '#src/modules/jobs/jobs.query.ts';

let test: TestApp;
let owner: TestUser;
beforeAll(async () => {
  test = await openTestApp({ OPENAI_API_KEY: 'sk-none' });
  owner = await aUser(test.rt);
});
afterAll(() => test.close());

const post = (url: string, headers: Record<string, string>, payload: object) =>
  test.app.inject({ method: 'POST', url, headers, payload });

it('replays a job to who made it, and to no colleague who happens on the same key and body', async () => {
  const colleague = await aUser(test.rt);
  await aMember(test.rt, owner.workspace.id, colleague.user.id, 'member');
  for (const [url, payload] of [
    ['/api/ai/sentiment', { text: 'Adorei!' }],
    ['/api/ai/batch', { engine: 'sentiment', items: [{ text: 'Adorei!' }] }],
  ] as const) {
    const key = { 'idempotency-key': `same${url}`, 'x-workspace-id': owner.workspace.id };
    const first = await post(url, { ...owner.headers, ...key }, payload);
    const again = await post(url, { ...owner.headers, ...key }, payload);
    expect([first.statusCode, again.json().jobId]).toEqual([202, first.json().jobId]);
    const other = await post(url, { ...colleague.headers, ...key }, payload);
    expect(other.json()).toMatchObject({ status: 422, code: 'idempotency_mismatch' });
    expect(other.body).not.toContain(first.json().jobId);
  }
});

it('cancels what a workspace has asked for when it is closed, and gives back all that was held', async () => {
  const { headers, workspace } = await aUser(test.rt);
  const before = await findCredits(test.rt.pool, workspace.id);
  const items = ['um', 'dois', 'três'].map((text) => ({ text }));
  expect((await post('/api/ai/batch', headers, { engine: 'sentiment', items })).statusCode).toBe(202);
  expect((await post('/api/ai/sentiment', headers, { text: 'Adorei!' })).statusCode).toBe(202);
  const other = (await post('/api/ai/sentiment', owner.headers, { text: 'Fica.' })).json().jobId;
  expect((await findCredits(test.rt.pool, workspace.id))?.held).toBeGreaterThan(0);
  const url = `/api/workspaces/${workspace.id}`;
  expect((await test.app.inject({ method: 'DELETE', url, headers })).statusCode).toBe(200);
  const sql = `select engine, status, cancel_requested_at is not null as asked from job where workspace_id = $1 order by engine`;
  const { rows } = await test.rt.systemPool.query(sql, [workspace.id]);
  expect(rows).toEqual([
    // A batch ends with its items, by whoever sweeps.
    { engine: 'batch', status: 'active', asked: true },
    ...Array.from({ length: 4 }, () => ({ engine: 'sentiment', status: 'cancelled', asked: true })),
  ]);
  expect(await findCredits(test.rt.pool, workspace.id)).toEqual(before);
  const spared = await test.app.inject({ url: `/api/jobs/${other}`, headers: owner.headers });
  expect(spared.json()).toMatchObject({ status: 'queued' });
});
