import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inWorkspaceTx, queryAs } from '#src/db/tenant.ts';
import { newId } from '#src/lib/ids.ts';
import { appendAudit, SYSTEM, type Change } from '#src/modules/audit/audit.ts';
import { listEntries } from '#src/modules/audit/audit.query.ts';
import { verifyChain } from '#src/modules/audit/chain.ts';
import { Workspace } from '#src/modules/workspaces/workspace.entity.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

let test: TestApp;
/** The login of the database's owner, which is above every right. */
let owner: Client;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  owner = new Client({ connectionString: test.config.DATABASE_URL });
  await owner.connect();
  ana = await aUser(test.rt);
});
afterAll(async () => {
  await owner.end();
  await test.close();
});

const append = (workspaceId: string, change: Change) =>
  inWorkspaceTx(test.rt.orm, { workspaceId }, (em) => appendAudit(em, SYSTEM, change));

/** A chain of its own with `length` entries; workspaces need not exist for their log to. */
async function aChain(length: number): Promise<string> {
  const workspaceId = newId();
  for (let index = 1; index <= length; index += 1) {
    await append(workspaceId, {
      action: 'thing.changed',
      target: { type: 'thing', id: `t${index}` },
      after: { index },
    });
  }
  return workspaceId;
}

/** Changes the log as an intruder with the owner's login could: with the triggers off. */
async function tamper(workspaceId: string, ...statements: string[]): Promise<void> {
  await owner.query('begin');
  await owner.query('set local session_replication_role = replica');
  for (const sql of statements) await owner.query(sql.replaceAll('$1', `'${workspaceId}'`));
  await owner.query('commit');
}

const get = (url: string, headers: Record<string, string> = ana.headers) => test.app.inject({ url, headers });

describe('the chain', () => {
  it('has no gap and no broken link after 200 appends at once', async () => {
    const workspaceId = newId();
    await Promise.all(Array.from({ length: 200 }, (_, index) => append(workspaceId, { action: `a.${index}` })));
    expect(await verifyChain(test.rt.pool, workspaceId)).toMatchObject({ ok: true, entries: 200, firstBroken: null });
    const rows = await listEntries(test.rt.pool, workspaceId, { limit: 300 });
    expect(rows.map((row) => row.seq)).toEqual(Array.from({ length: 200 }, (_, index) => 200 - index));
    expect(new Set(rows.map((row) => row.action)).size).toBe(200);
  });

  it('covers any text: what the database hashes is what the check hashes', async () => {
    const workspaceId = newId();
    const texts = [
      '"',
      '\\',
      "'",
      '?',
      '??',
      '$1',
      '\u0001\u001f\u007f\u2028',
      'ção 🎉',
      '\n\r\t\b\f',
      '<>&',
      '\ud800',
      'a\0b',
      ':x',
    ];
    await inWorkspaceTx(test.rt.orm, { workspaceId }, async (em) => {
      for (const text of texts) {
        const change = {
          action: 'x',
          target: { type: 'x', id: text },
          before: { [text]: text },
          after: [text, 1.5e300],
        };
        await appendAudit(em, { ...SYSTEM, userAgent: text }, change);
      }
    });
    expect(await verifyChain(test.rt.pool, workspaceId, 3)).toMatchObject({ ok: true, entries: texts.length });
  });

  it('does not depend on how a session writes times', async () => {
    const workspaceId = await aChain(1);
    const { rows } = await owner.query(
      `select set_config('timezone', 'America/Sao_Paulo', false), set_config('datestyle', 'German', false)`,
    );
    expect(rows).toHaveLength(1);
    const again = await owner.query(
      `select encode(sha256(convert_to(audit_canonical(l), 'UTF8')), 'hex') = encode(hash, 'hex') as same
         from audit_log l where workspace_id = $1`,
      [workspaceId],
    );
    expect(again.rows).toEqual([{ same: true }]);
  });

  it('keeps nothing of a change that was rolled back', async () => {
    const { id } = ana.workspace;
    const { entries } = await verifyChain(test.rt.pool, id);
    const failed = inWorkspaceTx(test.rt.orm, { workspaceId: id }, async (em) => {
      await em.nativeUpdate(Workspace, { id }, { name: 'Never' });
      await appendAudit(em, SYSTEM, { action: 'workspace.changed' });
      throw new Error('no');
    });
    await expect(failed).rejects.toThrow('no');
    expect(await verifyChain(test.rt.pool, id)).toMatchObject({ ok: true, entries });
    expect((await get(`/api/workspaces/${id}`)).json().name).not.toBe('Never');
  });
});

describe('what an intruder with all rights changes', () => {
  it.each([
    ['a field', `update audit_log set actor_id = gen_random_uuid() where workspace_id = $1 and seq = 4`, 4, 'changed'],
    [
      'a time',
      `update audit_log set at = at + interval '1 microsecond' where workspace_id = $1 and seq = 2`,
      2,
      'changed',
    ],
    [
      'the spelling of a document',
      `update audit_log set after = '{"index": 3}' where workspace_id = $1 and seq = 3`,
      3,
      'changed',
    ],
    ['null to an empty text', `update audit_log set ip = '' where workspace_id = $1 and seq = 1`, 1, 'changed'],
    ['an entry away', `delete from audit_log where workspace_id = $1 and seq = 5`, 5, 'missing'],
    ['the first entry away', `delete from audit_log where workspace_id = $1 and seq = 1`, 1, 'missing'],
    ['the tail away', `delete from audit_log where workspace_id = $1 and seq > 6`, 7, 'missing'],
    ['everything away', `delete from audit_log where workspace_id = $1`, 1, 'missing'],
    ['the head away', `delete from audit_head where workspace_id = $1`, 1, 'head_mismatch'],
    ['the head', `update audit_head set hash = '\\x00' where workspace_id = $1`, 8, 'head_mismatch'],
    [
      'an entry, with its hash made anew',
      `update audit_log l set action = 'x' where workspace_id = $1 and seq = 3;
       update audit_log l set hash = sha256(convert_to(audit_canonical(l), 'UTF8')) where workspace_id = $1 and seq = 3`,
      4,
      'unlinked',
    ],
    [
      'the order of two entries',
      `update audit_log set seq = 100 where workspace_id = $1 and seq = 3;
       update audit_log set seq = 3 where workspace_id = $1 and seq = 4;
       update audit_log set seq = 4 where workspace_id = $1 and seq = 100`,
      3,
      'changed',
    ],
    [
      'an entry of their own at the end',
      `insert into audit_log select workspace_id, 9, gen_random_uuid(), at, actor_kind, actor_id, action, target_type, target_id,
         before, after, ip, user_agent, request_id, hash, '' from audit_log where workspace_id = $1 and seq = 8;
       update audit_log l set hash = sha256(convert_to(audit_canonical(l), 'UTF8')) where workspace_id = $1 and seq = 9`,
      9,
      'head_mismatch',
    ],
  ])('%s is found', async (_name, sql, seq, reason) => {
    const workspaceId = await aChain(8);
    expect(await verifyChain(test.rt.pool, workspaceId)).toMatchObject({ ok: true, entries: 8 });
    await tamper(workspaceId, ...sql.split(';'));
    for (const batch of [2, 500]) {
      expect(await verifyChain(test.rt.pool, workspaceId, batch)).toMatchObject({
        ok: false,
        firstBroken: { seq, reason },
      });
    }
  });
});

describe('the rights', () => {
  it('let no role write or rewrite the log or its head, not even its owner by mistake', async () => {
    const workspaceId = await aChain(1);
    for (const pool of [test.rt.pool, test.rt.systemPool]) {
      for (const text of [
        `update audit_log set action = 'x'`,
        'delete from audit_log',
        'truncate audit_log',
        'insert into audit_log select * from audit_log',
        'update audit_head set seq = 0',
        'delete from audit_head',
        'truncate audit_head',
        `insert into audit_head values ('${randomUUID()}', 0, '')`,
      ]) {
        await expect(queryAs(pool, { workspaceId }, { text })).rejects.toMatchObject({ code: '42501' });
      }
    }
    for (const sql of [`update audit_log set action = 'x'`, 'delete from audit_log', 'truncate audit_log']) {
      await expect(owner.query(sql)).rejects.toMatchObject({ code: '42501' });
    }
    expect(await verifyChain(test.rt.pool, workspaceId)).toMatchObject({ ok: true, entries: 1 });
  });

  it('let nobody write for another workspace than the one of the transaction, nor without one', async () => {
    const text = `select audit_append(uuidv7(), 'system', null, 'x', null, null, null, null, null, null, null)`;
    for (const pool of [test.rt.pool, test.rt.systemPool]) {
      await expect(queryAs(pool, {}, { text })).rejects.toMatchObject({ code: '42501' });
    }
    const [mine, theirs] = [newId(), newId()];
    await queryAs(test.rt.systemPool, { workspaceId: mine }, { text });
    const seen = (workspaceId: string) =>
      queryAs(test.rt.pool, { workspaceId }, { text: 'select from audit_log' }).then(({ rowCount }) => rowCount);
    expect([await seen(mine), await seen(theirs)]).toEqual([1, 0]);
  });
});

it('keeps no secret and no contact in the clear', async () => {
  const workspaceId = newId();
  const canary = 'canary-77aa31';
  const change = {
    action: 'contact.created',
    before: { password: canary, nested: [{ apiKey: canary }] },
    after: { email: `${canary}@example.com`, phone: '+55 11 98765-4321', cpf: '123.456.789-09', name: 'Ana' },
  };
  await append(workspaceId, change);
  const { rows } = await owner.query('select row_to_json(l)::text as text from audit_log l where workspace_id = $1', [
    workspaceId,
  ]);
  expect(rows[0].text).not.toContain(canary);
  expect(rows[0].text).not.toMatch(/98765|456\D?789/);
  expect(rows[0].text).toContain('Ana');
});
