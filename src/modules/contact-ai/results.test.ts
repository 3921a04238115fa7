import type { PoolClient } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { inTransaction } from '#src/db/transaction.query.ts';
import { newId } from '#src/lib/ids.ts';
import { askForAi, settleStarts, takeDue } from '#src/modules/contact-ai/contact-ai.query.ts';
import { createContactAiConsumer } from '#src/modules/contact-ai/consumer.ts';
import { createKnowLeads } from '#src/modules/contact-ai/features.ts';
import { purgeScores } from '#src/modules/contact-ai/purge.query.ts';
import { takeEnded, writeScore } from '#src/modules/contact-ai/results.query.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
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

const deal = async (contactId: string, body: object = {}): Promise<string> => {
  const payload = { title: 'Venda', contactId, amountMinor: 120_050, ...body };
  const made = await test.app.inject({ method: 'POST', url: '/api/deals', headers: ana.headers, payload });
  expect(made.statusCode).toBe(201);
  return made.json().id;
};
const post = async (url: string, payload: object = {}) => {
  const answer = await test.app.inject({ method: 'POST', url, headers: ana.headers, payload });
  expect(answer.statusCode).toBeLessThan(300);
};

it('the deals with a contact are features of theirs: how many, how much, how far, won and lost', async () => {
  const contactId = await aContact();
  const knowLeads = createKnowLeads(test.rt.pool);
  const known = async (auth = ana.auth) => (await knowLeads(auth, [{ contactId }]))[0]?.features;
  expect(Object.keys((await known()) ?? {}).filter((name) => /deal|chance|stage/.test(name))).toEqual([]);
  const { data } = (await test.app.inject({ url: '/api/pipelines', headers: ana.headers })).json();
  const stages = data[0].stages.filter(({ kind }: { kind: string }) => kind === 'open');
  const far = stages.at(-1);
  const [one, won, lost] = [await deal(contactId), await deal(contactId), await deal(contactId)];
  await deal(contactId, { stageId: far.id, amountMinor: 50, probability: 90 });
  await deal(contactId, { currency: 'USD', amountMinor: 99_999_999 });
  await deal(contactId, { amountMinor: 7_777 }).then((id) =>
    test.app.inject({ method: 'DELETE', url: `/api/deals/${id}`, headers: ana.headers }),
  );
  await post(`/api/deals/${won}/won`);
  await post(`/api/deals/${lost}/lost`, { reason: 'Preço' });
  await query(`update deal_stage_history set moved_at = now() - interval '12 days'`);
  await query(`update deal set created_at = now() - interval '12 days'`);
  expect(await known()).toMatchObject({
    open_deals: 3,
    won_deals: 1,
    lost_deals: 1,
    deal_value: 1201,
    deal_stage: far.name,
    win_chance: 0.9,
    days_in_stage: 12,
  });
  // Who sees their own deals alone is told of no others.
  const bia = await aUser(test.rt);
  await aMember(test.rt, ana.workspace.id, bia.user.id, 'member');
  const limited = { ...bia.auth, workspaceId: ana.workspace.id, role: 'member', denies: ['deals:all'] } as const;
  expect(Object.keys((await known({ ...limited, denies: [...limited.denies] })) ?? {})).not.toContain('open_deals');
  await query('update deal set owner_id = $1 where id = $2', [bia.user.id, one]);
  expect(await known({ ...limited, denies: [...limited.denies] })).toMatchObject({ open_deals: 1, deal_value: 1200.5 });
});

it('who may not be told of all deals sees what they are worth together, and every one that happens asks for one look', async () => {
  const contactId = await aContact();
  await inTransaction(test.rt.systemPool, (tx) =>
    writeScore(tx, {
      workspaceId: ana.workspace.id,
      jobId: newId(),
      contactId,
      score: 30,
      grade: 'D',
      version: 'rules',
      recommendation: 'Fale hoje.',
      components: [
        { feature: 'open_deals', value: 3, points: 7.5 },
        { feature: 'company', value: true, points: 3 },
        { feature: 'deal_value', value: 1201, points: 12.3 },
        { feature: 'rounding_and_bounds', value: null, points: 7.2 },
      ],
    }),
  );
  const bia = await aUser(test.rt);
  await aMember(test.rt, ana.workspace.id, bia.user.id, 'member');
  await query(`update member set denies = '{deals:all}' where user_id = $1`, [bia.user.id]);
  const url = `/api/contacts/${contactId}/score`;
  const seen = async (headers: Record<string, string>) =>
    (await test.app.inject({ url, headers: { ...headers, 'x-workspace-id': ana.workspace.id } })).json().components;
  expect(await seen(ana.headers)).toHaveLength(4);
  expect(await seen(bia.headers)).toEqual([
    { feature: 'company', value: true, points: 3 },
    { feature: 'rounding_and_bounds', value: null, points: 7.2 },
    { feature: 'deals', value: null, points: 19.8 },
  ]);
  const id = await deal(contactId);
  await test.app.inject({
    method: 'PATCH',
    url: `/api/deals/${id}`,
    headers: ana.headers,
    payload: { amountMinor: 1 },
  });
  await post(`/api/deals/${id}/won`);
  await post(`/api/deals/${id}/reopen`);
  await test.app.inject({ method: 'DELETE', url: `/api/deals/${id}`, headers: ana.headers });
  const events = (await query(
    `select workspace_id as "workspaceId", id, type, data from outbox_event where subject_id = $1 and type like 'deal.%' order by id`,
    [contactId],
  )) as Parameters<ReturnType<typeof createContactAiConsumer>['handle']>[1];
  expect(new Set(events.map(({ type }) => type))).toEqual(
    new Set(['deal.created', 'deal.updated', 'deal.moved', 'deal.won', 'deal.reopened', 'deal.deleted']),
  );
  for (const event of events) {
    await query('delete from contact_ai where contact_id = $1', [contactId]);
    for (let times = 0; times < 2; times += 1)
      await inTransaction(test.rt.systemPool, (tx) => createContactAiConsumer(0).handle(tx, [event]));
    expect([event.type, await query('select kind from contact_ai where contact_id = $1', [contactId])]).toEqual([
      event.type,
      [{ kind: 'score' }],
    ]);
  }
  await query('delete from contact_ai where contact_id = $1', [contactId]);
});

/** A contact that is looked at by a job that was accepted, with nobody left to note it. */
async function aStart() {
  const contactId = await aContact();
  const asked = [{ workspaceId: ana.workspace.id, contactId, kind: 'score' as const }];
  await inTransaction(test.rt.systemPool, (tx) => askForAi(tx, asked, 0));
  const [start] = await takeDue(test.rt.systemPool, 10);
  if (!start) throw new Error('Nothing was due');
  await query(
    `insert into job (workspace_id, id, user_id, queue, engine, band, input, options, request_id, max_attempts, credit_held)
      values ($1, $2, $3, 'lead-scoring', 'score-lead', 'low', $4, '{}', 'r', 3, 0)`,
    [ana.workspace.id, start.jobId, ana.user.id, { contactId }],
  );
  return start;
}
const end = async (jobId: string) => {
  await query(`update job set status = 'completed', finished_at = now() where id = $1`, [jobId]);
  await inTransaction(test.rt.systemPool, (tx) => takeEnded(tx, [{ workspaceId: ana.workspace.id, jobId }]));
};
const later = () =>
  query(
    `update contact_ai set started_at = started_at - interval '16 minutes', due_at = due_at - interval '16 minutes' where due_at is not null`,
  );
const take = () => takeDue(test.rt.systemPool, 10);

it('a job that was accepted before its process was killed is not started twice', async () => {
  const ended = await aStart();
  await end(ended.jobId);
  await later();
  expect(await take()).toEqual([]);
  const slow = await aStart();
  await later();
  expect(await take()).toEqual([]);
  await end(slow.jobId);
  expect(await take()).toEqual([]);
});

it('what was asked for while it ran is looked at after it, and one that was never accepted a quarter of an hour later', async () => {
  const { contactId, jobId } = await aStart();
  const asked = [{ workspaceId: ana.workspace.id, contactId, kind: 'score' as const }];
  await inTransaction(test.rt.systemPool, (tx) => askForAi(tx, asked, 0));
  await end(jobId);
  expect(await take()).toMatchObject([{ contactId }]);
  const lost = await aStart();
  await query('delete from job where id = $1', [lost.jobId]);
  await later();
  const contactIds = (await take()).map((start) => start.contactId);
  expect(contactIds).toContain(lost.contactId);
});

it('a job about somebody who was erased meanwhile knows nothing of them', async () => {
  const start = await aStart();
  const ended = await aStart();
  await query(`update job set status = 'completed', finished_at = now(), result = $2 where id = $1`, [
    ended.jobId,
    { position: 'Dona' },
  ]);
  await query('update contact set deleted_at = now() where id = any($1)', [[start.contactId, ended.contactId]]);
  await settleStarts(
    test.rt.systemPool,
    [start, ended].map((one) => ({ ...one, isAccepted: true })),
  );
  expect(
    await query(
      'select input, result, cancel_requested_at is not null as cancelled from job where id = any($1) order by finished_at',
      [[start.jobId, ended.jobId]],
    ),
  ).toEqual([
    { input: {}, result: {}, cancelled: false },
    { input: {}, result: null, cancelled: true },
  ]);
});

it('of two scores that are written at once one is the last, and the other past', async () => {
  const contactId = await aContact();
  const [workspaceId, { systemPool }] = [ana.workspace.id, test.rt];
  const write = (score: number, then = async (_tx: PoolClient): Promise<void> => {}) =>
    inTransaction(systemPool, async (tx) => {
      const rest = { grade: 'C', version: 'rules', recommendation: 'Fale hoje.', components: [] };
      await writeScore(tx, { workspaceId, jobId: newId(), contactId, score, ...rest });
      await then(tx);
    });
  let second: Promise<void> | undefined;
  await write(10, async (tx) => {
    second = write(20);
    const waiting = `select from pg_locks where not granted and locktype = 'transactionid' and transactionid = pg_current_xact_id()::xid`;
    await expect.poll(async () => (await tx.query(waiting)).rowCount).toBe(1);
  });
  await second;
  expect(
    await query('select score, before, is_superseded as past from lead_score where contact_id = $1 order by id', [
      contactId,
    ]),
  ).toEqual([
    { score: 10, before: null, past: true },
    { score: 20, before: 10, past: false },
  ]);
});

it('scores that are longer past than a workspace keeps what was said go, and the last one of each contact stays', async () => {
  const [often, once] = [await aContact(), await aContact()];
  const write = (contactId: string, score: number) =>
    inTransaction(test.rt.systemPool, (tx) =>
      writeScore(tx, {
        workspaceId: ana.workspace.id,
        jobId: newId(),
        contactId,
        score,
        grade: 'C',
        version: 'rules',
        recommendation: 'Fale hoje.',
        components: [],
      }),
    );
  for (const score of [10, 20, 30]) await write(often, score);
  await write(once, 40);
  const scores = async () =>
    (await query('select score from lead_score where contact_id = any($1) order by score', [[often, once]])).map(
      ({ score }) => score,
    );
  const age = (score: number, days: number) =>
    query(
      `update lead_score set id = first_id_at(now() - $2 * interval '1 day') where score = $1 and contact_id = any($3)`,
      [score, days, [often, once]],
    );
  for (const [score, days] of [
    [10, 900],
    [20, 800],
    [30, 760],
    [40, 770],
  ] as const)
    await age(score, days);
  await query(
    `insert into workspace_setting (workspace_id, key, value, updated_at) values ($1, 'privacy.retentionDays', '850', now())`,
    [ana.workspace.id],
  );
  expect(await purgeScores(test.rt.systemPool, 730)).toBe(1);
  expect(await scores()).toEqual([20, 30, 40]);
  await query('delete from workspace_setting where workspace_id = $1', [ana.workspace.id]);
  expect(await purgeScores(test.rt.systemPool, 730)).toBe(1);
  expect(await scores()).toEqual([30, 40]);
  await write(often, 50);
  expect(await purgeScores(test.rt.systemPool, 730)).toBe(1);
  expect(await scores()).toEqual([40, 50]);
});
