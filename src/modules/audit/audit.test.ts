import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inWorkspaceTx, queryAs } from '#src/db/tenant.ts';
import { newId } from '#src/lib/ids.ts';
import { appendAudit, SYSTEM, type Change } from '#src/modules/audit/audit.ts';
import { listEntries } from '#src/modules/audit/audit.query.ts';
import { createAnchor } from '#src/modules/audit/anchor.ts';
import { anchorChain, verifyChain } from '#src/modules/audit/chain.ts';
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
    expect(await verifyChain(test.rt, workspaceId)).toMatchObject({ ok: true, entries: 200, firstBroken: null });
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
    expect(await verifyChain(test.rt, workspaceId, 3)).toMatchObject({ ok: true, entries: texts.length });
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
    const { entries } = await verifyChain(test.rt, id);
    const failed = inWorkspaceTx(test.rt.orm, { workspaceId: id }, async (em) => {
      await em.nativeUpdate(Workspace, { id }, { name: 'Never' });
      await appendAudit(em, SYSTEM, { action: 'workspace.changed' });
      throw new Error('no');
    });
    await expect(failed).rejects.toThrow('no');
    expect(await verifyChain(test.rt, id)).toMatchObject({ ok: true, entries });
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
      3,
      'forged',
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
      'unanchored',
    ],
  ])('%s is found', async (_name, sql, seq, reason) => {
    const workspaceId = await aChain(8);
    expect(await verifyChain(test.rt, workspaceId)).toMatchObject({ ok: true, entries: 8 });
    await tamper(workspaceId, ...sql.split(';'));
    for (const batch of [2, 500]) {
      expect(await verifyChain(test.rt, workspaceId, batch)).toMatchObject({
        ok: false,
        firstBroken: { seq, reason },
      });
    }
  });
});

/** What one would write who has the whole database and nothing else: every hash, every link and the head fit. */
const REWRITE = `update audit_log l set action = 'forged' where workspace_id = $1 and seq = 3;
  do $do$ declare r audit_log; previous bytea := ''; begin
    for r in select * from audit_log where workspace_id = $1 order by seq loop
      r.prev_hash := previous; previous := sha256(convert_to(audit_canonical(r), 'UTF8'));
      update audit_log set prev_hash = r.prev_hash, hash = previous where workspace_id = $1 and seq = r.seq;
    end loop;
    update audit_head set hash = previous where workspace_id = $1;
  end $do$`;
const CUT = `delete from audit_log where workspace_id = $1 and seq > 5;
  update audit_head h set seq = 5, hash = l.hash from audit_log l where h.workspace_id = $1 and l.workspace_id = $1 and l.seq = 5`;

describe('a chain that was written anew and fits together', () => {
  it.each([
    ['from the third entry on', REWRITE, 3, 'forged'],
    ['without its codes', `${REWRITE}; delete from audit_mac where workspace_id = $1`, 1, 'unanchored'],
    [
      'with the codes of others',
      `${REWRITE}; update audit_mac set seq = seq + 1000 where workspace_id = $1; update audit_mac set seq = 2008 - seq - 999 where workspace_id = $1`,
      1,
      'forged',
    ],
    ['cut, with its head', CUT, 5, 'forged'],
    [
      'cut, with the code of its last entry for the head',
      `${CUT}; update audit_head h set mac = m.mac from audit_mac m where h.workspace_id = $1 and m.workspace_id = $1 and m.seq = 5`,
      5,
      'forged',
    ],
    [
      'cut, without the code of the head',
      `${CUT}; update audit_head set mac = null where workspace_id = $1`,
      5,
      'unanchored',
    ],
  ])('%s is found, and stays found when it is gone on with', async (_name, sql, seq, reason) => {
    const workspaceId = await aChain(8);
    await owner.query('begin');
    await owner.query('set local session_replication_role = replica');
    await owner.query(sql.replaceAll('$1', `'${workspaceId}'`));
    await owner.query('commit');
    const broken = { ok: false, firstBroken: { seq, reason } };
    expect(await verifyChain(test.rt, workspaceId)).toMatchObject(broken);
    await append(workspaceId, { action: 'thing.changed' });
    expect(await verifyChain(test.rt, workspaceId)).toMatchObject({ ok: false });
  });

  it('from before there were codes is vouched for when an operator says so, and with the next key again', async () => {
    const workspaceId = await aChain(8);
    const forget = 'delete from audit_mac where workspace_id = $1';
    await tamper(workspaceId, forget, 'update audit_head set mac = null where workspace_id = $1');
    expect(await verifyChain(test.rt, workspaceId)).toMatchObject({ firstBroken: { seq: 1, reason: 'unanchored' } });
    expect(await anchorChain(test.rt, workspaceId, 3)).toBe(8);
    await append(workspaceId, { action: 'thing.changed' });
    expect(await verifyChain(test.rt, workspaceId)).toMatchObject({ ok: true, entries: 9 });

    const next = {
      pool: test.rt.pool,
      auditAnchor: createAnchor({ APP_SECRET: Buffer.alloc(32, 1).toString('base64') }),
    };
    expect(await verifyChain(next, workspaceId)).toMatchObject({ firstBroken: { seq: 1, reason: 'unanchored' } });
    expect(await anchorChain(next, workspaceId)).toBe(9);
    expect(await verifyChain(next, workspaceId)).toMatchObject({ ok: true, entries: 9 });

    await tamper(workspaceId, `update audit_log set action = 'x' where workspace_id = $1 and seq = 2`);
    expect(await anchorChain(next, workspaceId)).toBeUndefined();
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
        'delete from audit_mac',
        'insert into audit_mac select * from audit_mac',
      ]) {
        await expect(queryAs(pool, { workspaceId }, { text })).rejects.toMatchObject({ code: '42501' });
      }
    }
    for (const sql of [`update audit_log set action = 'x'`, 'delete from audit_log', 'truncate audit_log']) {
      await expect(owner.query(sql)).rejects.toMatchObject({ code: '42501' });
    }
    expect(await verifyChain(test.rt, workspaceId)).toMatchObject({ ok: true, entries: 1 });
  });

  it('let nobody write for another workspace than the one of the transaction, nor without one', async () => {
    const text = `select audit_append(uuidv7(), 'system', null, 'x', null, null, null, null, null, null, null)`;
    const anchor = `select audit_anchor('k', array[1::bigint], array['x'::bytea], null)`;
    for (const pool of [test.rt.pool, test.rt.systemPool]) {
      for (const one of [text, anchor])
        await expect(queryAs(pool, {}, { text: one })).rejects.toMatchObject({ code: '42501' });
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
