import { afterAll, beforeAll, expect, it } from 'vitest';
import { inTransaction } from '#src/db/transaction.query.ts';
import { newId } from '#src/lib/ids.ts';
import { askForAi, settleStarts, takeDue } from '#src/modules/contact-ai/contact-ai.query.ts';
import { writeScore } from '#src/modules/contact-ai/results.query.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

const query = async (sql: string, values: unknown[] = []) => (await test.rt.systemPool.query(sql, values)).rows;
async function aContact(): Promise<string> {
  const id = newId();
  await query(`insert into contact (workspace_id, id, name) values ($1, $2, 'Bia')`, [ana.workspace.id, id]);
  return id;
}

it('a score that changed is told, and kept with what it is made of; the same again is not', async () => {
  const contactId = await aContact();
  const write = (score: number) =>
    inTransaction(test.rt.systemPool, (tx) =>
      writeScore(tx, {
        workspaceId: ana.workspace.id,
        jobId: newId(),
        contactId,
        score,
        grade: 'C',
        version: 'rules',
        recommendation: 'Fale hoje.',
        components: [{ feature: 'company', value: true, points: score }],
      }),
    );
  for (const score of [40, 40, 55]) await write(score);
  const url = `/api/contacts/${contactId}/score`;
  const { history, ...now } = (await test.app.inject({ url, headers: ana.headers })).json();
  expect(now).toMatchObject({ score: 55, grade: 'C', components: [{ feature: 'company', value: true, points: 55 }] });
  expect(history).toMatchObject([
    { score: 55, before: 40 },
    { score: 40, before: null },
  ]);
  const told = await query(
    `select data from outbox_event where subject_id = $1 and type = 'contact.scored' order by id`,
    [contactId],
  );
  expect(told.map(({ data }) => [data.before, data.score])).toEqual([
    [null, 40],
    [40, 55],
  ]);
  expect(await query('select type from activity where contact_id = $1', [contactId])).toHaveLength(2);
  await query('update contact set erased_at = now(), deleted_at = now() where id = $1', [contactId]);
  await write(70);
  expect(await query('select lead_score from contact where id = $1', [contactId])).toEqual([{ lead_score: 55 }]);
  expect((await test.app.inject({ url, headers: ana.headers })).statusCode).toBe(404);
});

it('of what is asked for again and again one look waits, and the next one only after its job', async () => {
  const contactId = await aContact();
  const ask = (quietMs: number) =>
    inTransaction(test.rt.systemPool, (tx) =>
      askForAi(tx, [{ workspaceId: ana.workspace.id, contactId, kind: 'score' }], quietMs),
    );
  const take = () => takeDue(test.rt.systemPool, 10);
  await ask(60_000);
  expect(await take()).toEqual([]);
  for (let times = 0; times < 5; times += 1) await ask(0);
  const [start, ...others] = await take();
  expect(others).toEqual([]);
  expect(start).toMatchObject({ contactId, kind: 'score', mode: null, userId: ana.user.id });
  await ask(0);
  expect(await take()).toEqual([]);
  if (start) await settleStarts(test.rt.systemPool, [{ ...start, isAccepted: true }]);
  expect(await take()).toEqual([]);
  await query('update contact_ai set job_id = null where contact_id = $1', [contactId]);
  const [next] = await take();
  expect(next?.jobId).not.toBe(start?.jobId);
  if (next) await settleStarts(test.rt.systemPool, [{ ...next, isAccepted: false }]);
  expect(await query('select due_at, job_id from contact_ai where contact_id = $1', [contactId])).toEqual([
    { due_at: null, job_id: null },
  ]);
});
