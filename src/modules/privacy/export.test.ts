import { afterAll, beforeAll, expect, it } from 'vitest';
import { newId } from '#src/lib/ids.ts';
import { aContact } from '#test/deals.ts';
import { aDeniedMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

const make = async (path: string, payload: object): Promise<string> => {
  const { headers } = ana;
  const made = await test.app.inject({ method: 'POST', url: `/api/${path}`, payload, headers });
  expect(made.statusCode).toBe(201);
  return made.json().id;
};
const exported = async (contactId: string, { headers }: TestUser) =>
  (await test.app.inject({ method: 'GET', url: `/api/contacts/${contactId}/export`, headers })).json();

it('leaves out deals that who asks may not see, and what tells of them, and says so', async () => {
  const { workspace, user } = ana;
  const [blind, own] = [
    await aDeniedMember(test.rt, workspace.id, ['deals:read']),
    await aDeniedMember(test.rt, workspace.id, ['deals:all']),
  ];
  const contactId = await aContact(test.rt, ana);
  const secret = await make('deals', { title: 'SEGREDO', contactId, ownerId: user.id, amountMinor: 987_654 });
  const theirs = await make('deals', { title: 'DELE', contactId, ownerId: own.user.id });
  await make('tasks', { title: 'TAREFA-DO-SEGREDO', contactId, dealId: secret });
  await make('tasks', { title: 'LIVRE', contactId });
  await test.rt.systemPool.query(
    `insert into lead_score (workspace_id, id, contact_id, score, grade, version, components, recommendation, job_id)
      values ($1, $2, $3, 50, 'B', '1', '[{"feature": "deal_value", "value": 9876.54, "points": 5}]', 'x', $2)`,
    [workspace.id, newId(), contactId],
  );

  const whole = await exported(contactId, ana);
  expect([whole.omitted, whole.deal.length, whole.task.length]).toEqual([[], 2, 2]);
  expect(whole.lead_score).toMatchObject([{ components: [{ value: 9876.54 }] }]);

  const without = await exported(contactId, blind);
  expect(without.omitted).toEqual([{ what: 'deals', permission: 'deals:read' }]);
  expect([without.contact.name, without.task.length]).toEqual(['Bia', 1]);
  expect(without.lead_score).toMatchObject([{ score: 50 }]);
  expect(JSON.stringify(without)).not.toMatch(/SEGREDO|DELE|98765|9876|deal\.created/);

  const partly = await exported(contactId, own);
  expect(partly.omitted).toEqual([{ what: 'deals', permission: 'deals:all' }]);
  expect(partly.deal).toMatchObject([{ id: theirs }]);
  expect(JSON.stringify(partly)).not.toMatch(/SEGREDO|98765|9876/);
  expect(JSON.stringify(partly)).toContain('deal.created');
});
