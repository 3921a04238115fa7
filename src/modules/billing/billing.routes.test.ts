import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { buildApp } from '#src/app.ts';
import { newId } from '#src/lib/ids.ts';
import { sha256 } from '#src/lib/secrets.ts';
import { findBroken, lapseLots } from '#src/modules/billing/reconcile.query.ts';
import { hashOf, newCode } from '#src/modules/billing/topup-code.ts';
import { createAccept } from '#src/modules/jobs/accept.query.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import { createFinish } from '#src/modules/jobs/finish.query.ts';
import { openRuntime } from '#src/runtime.ts';
import { aMember, aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';

const CREDIT = 1_000_000;
const query = async (sql: string, ...values: unknown[]) => (await test.rt.systemPool.query(sql, values)).rows;
let test: TestApp;
let owner: TestUser;
beforeAll(async () => {
  test = await openTestApp({ STARTING_CREDITS: '20' });
});
afterAll(() => test.close());
beforeEach(async () => {
  owner = await aUser(test.rt);
});

const get = async (url: string, user = owner) => (await test.app.inject({ url, headers: user.headers })).json();
const topup = (code: string, user = owner, app = test) =>
  app.app.inject({ method: 'POST', url: '/api/license/topup', headers: user.headers, payload: { code } });
const ops = (url: string, payload: object, app = test) => {
  const basic = Buffer.from(`${app.config.OPS_USER}:${app.config.OPS_PASSWORD}`).toString('base64');
  return app.app.inject({ method: 'POST', url, headers: { authorization: `Basic ${basic}` }, payload });
};
const codes = async (body: object): Promise<string[]> => (await ops('/ops/topup-codes', body)).json().codes;
const grant = (credits: number, rest: object = {}) =>
  ops('/ops/credits/grants', { workspaceId: owner.workspace.id, credits, referenceId: randomUUID(), ...rest });
async function charge(credits: number): Promise<string> {
  const key = { workspaceId: owner.workspace.id, id: newId(), leaseToken: randomUUID() };
  const job = {
    queue: 'ai-inference',
    engine: 'chat',
    band: 'normal',
    input: {},
    options: {},
    requestId: 'r',
    maxAttempts: 1,
  } as const;
  await createAccept(test.rt.pool)({
    ...key,
    ...job,
    userId: owner.user.id,
    hold: credits * CREDIT,
    idempotency: null,
  });
  await createClaim(test.rt.pool, 60_000)(key);
  const rest = { result: {}, problem: null, streamedText: null, usage: null, calls: [], delayMs: 0, isFailure: false };
  await createFinish(test.rt.pool)({ ...key, ...rest, status: 'completed', charge: credits * CREDIT });
  return key.id;
}

const listBatches = async (query = '') => {
  const basic = Buffer.from(`${test.config.OPS_USER}:${test.config.OPS_PASSWORD}`).toString('base64');
  return (
    await test.app.inject({ url: `/ops/topup-codes${query}`, headers: { authorization: `Basic ${basic}` } })
  ).json();
};

describe('a code', () => {
  it('is redeemed by one of a hundred that try at once, from several workspaces and at two processes', async () => {
    const stranger = await aUser(test.rt);
    const [code = ''] = await codes({ count: 1, credits: 7.5 });
    const other = await openRuntime(test.config, 'test');
    const app = await buildApp(other);
    const places = [test, { ...test, app, rt: other }];
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, at) => topup(code, at % 2 === 0 ? owner : stranger, places[(at >> 1) % 2])),
    );
    await app.close();
    await other.close();
    const got = answers.filter(({ statusCode }) => statusCode === 200);
    expect(got.map((answer) => answer.json())).toEqual([{ credits: 7.5, balance: 27.5 }]);
    expect(new Set(answers.map(({ statusCode }) => statusCode))).toEqual(new Set([200, 409, 422]));
    const balances = [await get('/api/ai/credits'), await get('/api/ai/credits', stranger)].map(
      ({ balance }) => balance,
    );
    expect(balances.toSorted((one, other) => Number(one) - Number(other))).toEqual([20, 27.5]);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });

  it('is shown once, kept as a digest, and taken however it is typed', async () => {
    const made = await ops('/ops/topup-codes', { count: 3, credits: 1 });
    expect(made.statusCode).toBe(201);
    const [code = '', other = ''] = made.json().codes;
    expect(new Set(made.json().codes).size).toBe(3);
    expect(code).toMatch(/^WH(-[0-9A-HJKMNP-TV-Z]{5}){4}$/);
    const { rows } = await test.rt.systemPool.query('select t::text as row from topup_code t');
    expect(JSON.stringify(rows)).not.toContain(code);
    expect(
      (await topup(` ${code.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l')} `)).json(),
    ).toEqual({
      credits: 1,
      balance: 21,
    });
    expect((await topup(code)).json()).toMatchObject({ status: 409, code: 'topup_code_used' });
    const stranger = await aUser(test.rt);
    expect((await topup(code, stranger)).json()).toMatchObject({ status: 422, code: 'topup_code_invalid' });
    expect((await topup(other, stranger)).statusCode).toBe(200);
  });

  it('that has expired, or that nobody made, is no code', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const [late = ''] = await codes({ count: 1, credits: 1, expiresAt });
    await query('update topup_code set expires_at = now() where code_hash = $1', hashOf(late));
    for (const code of [late, newCode(), 'x', ' '])
      expect((await topup(code)).json()).toMatchObject({ status: 422, code: 'topup_code_invalid' });
    expect((await get('/api/ai/credits')).balance).toBe(20);
  });

  it('is made for a time that is ahead, of years that can be written', async () => {
    for (const expiresAt of ['2020-01-01T00:00:00Z', '0000-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '2099-01-01']) {
      for (const [url, body] of [
        ['/ops/topup-codes', { count: 1, credits: 1 }],
        ['/ops/credits/grants', { workspaceId: owner.workspace.id, credits: 1, referenceId: randomUUID() }],
      ] as const)
        expect((await ops(url, { ...body, expiresAt })).json()).toMatchObject({
          status: 400,
          errors: [{ path: 'expiresAt' }],
        });
    }
    expect(
      (await ops('/ops/topup-codes', { count: 1, credits: 1, expiresAt: '2099-01-01T00:00:00-03:00' })).statusCode,
    ).toBe(201);
  });

  it('is found without what it begins with, also when its own letters begin so', async () => {
    const code = 'WH-WHA2B-C3D4E-F5G6H-J7K8M';
    const sql = 'insert into topup_code (code_hash, batch_id, credits) values ($1, $2, 1000000)';
    await query(sql, sha256('topup.v1:WHA2BC3D4EF5G6HJ7K8M'), newId());
    expect((await topup(code.slice(3))).json()).toEqual({ credits: 1, balance: 21 });
    expect((await topup(code)).json()).toMatchObject({ code: 'topup_code_used' });
  });

  it('is not lost in a workspace that is closed while it is redeemed', async () => {
    const [code = ''] = await codes({ count: 1, credits: 5 });
    const closing = await test.rt.systemPool.connect();
    await closing.query('begin');
    await closing.query('update workspace set deleted_at = now() where id = $1', [owner.workspace.id]);
    const [{ pid }] = (await closing.query('select pg_backend_pid() as pid')).rows;
    const trying = topup(code);
    const waiting = 'select from pg_locks where not granted and $1 = any (pg_blocking_pids(pid))';
    await expect.poll(() => query(waiting, pid), { timeout: 30_000 }).not.toEqual([]);
    await closing.query('commit');
    closing.release();
    expect((await trying).statusCode).toBe(404);
    expect((await grant(1)).statusCode).toBe(404);
    expect((await topup(code, await aUser(test.rt))).json()).toEqual({ credits: 5, balance: 25 });
  });

  it('is counted in its batch for operators, and revoked with it or alone unless it was redeemed', async () => {
    const older = (await ops('/ops/topup-codes', { count: 1, credits: 2 })).json();
    const expiresAt = '2099-01-01T00:00:00.000Z';
    const { batchId, codes: made } = (await ops('/ops/topup-codes', { count: 4, credits: 1.5, expiresAt })).json();
    const [used = '', alone = '', third = ''] = made;
    expect((await topup(used)).statusCode).toBe(200);
    const revoke = (body: object) => ops('/ops/topup-codes/revoke', body);
    expect((await revoke({ code: alone })).json()).toEqual({ batchId, revoked: 1 });
    expect((await revoke({ code: used })).json()).toEqual({ batchId, revoked: 0 });
    expect((await topup(alone)).json()).toMatchObject({ status: 422, code: 'topup_code_invalid' });
    const batch = {
      batchId,
      credits: 1.5,
      codes: 4,
      redeemed: 1,
      revoked: 1,
      expiresAt,
      createdAt: expect.any(String),
    };
    const page = await listBatches('?limit=1');
    expect(page.data).toEqual([batch]);
    expect((await listBatches(`?limit=1&cursor=${page.page.nextCursor}`)).data).toMatchObject([
      { batchId: older.batchId },
    ]);
    expect(JSON.stringify(page)).not.toContain('WH-');
    expect((await revoke({ batchId })).json()).toEqual({ batchId, revoked: 2 });
    expect((await listBatches('?limit=1')).data).toEqual([{ ...batch, revoked: 3 }]);
    expect((await topup(third)).json()).toMatchObject({ code: 'topup_code_invalid' });
    expect((await revoke({ batchId: newId() })).statusCode).toBe(404);
    expect((await revoke({})).statusCode).toBe(400);
  });

  it('is for administrators, and operators alone make any', async () => {
    const member = await aUser(test.rt);
    await aMember(test.rt, owner.workspace.id, member.user.id, 'member');
    const headers = { ...member.headers, 'x-workspace-id': owner.workspace.id };
    const answer = await test.app.inject({
      method: 'POST',
      url: '/api/license/topup',
      headers,
      payload: { code: 'x' },
    });
    expect(answer.statusCode).toBe(403);
    const forged = await test.app.inject({
      method: 'POST',
      url: '/ops/topup-codes',
      headers: owner.headers,
      payload: { count: 1, credits: 1 },
    });
    expect(forged.statusCode).toBe(401);
    const app = test.rt.pool.query('insert into topup_code (code_hash, batch_id, credits) values ($1, $2, 1)', [
      hashOf('x'),
      randomUUID(),
    ]);
    await expect(app).rejects.toMatchObject({ code: '42501' });
  });

  it('can be guessed at five times in a quarter of an hour', async () => {
    const strict = await openTestApp({ RATE_LIMIT_SCALE: '1' });
    const user = await aUser(strict.rt);
    const answers = [];
    for (let tries = 0; tries < 6; tries += 1) answers.push(await topup(newCode(), user, strict));
    await strict.close();
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([422, 422, 422, 422, 422, 429]);
    expect(Number(answers.at(-1)?.headers['retry-after'])).toBeGreaterThan(60);
  });
});

describe('lots', () => {
  it('are spent those first that expire first, and expire but for what is held', async () => {
    const soon = new Date(Date.now() + 3_600_000).toISOString();
    await grant(5, { expiresAt: soon });
    await grant(3, { priority: -1 });
    const [code = ''] = await codes({ count: 1, credits: 2 });
    await topup(code);
    const lots = async () =>
      (await get('/api/ai/credits')).lots.map(({ remaining }: { remaining: number }) => remaining);
    expect(await get('/api/ai/credits')).toEqual({
      balance: 30,
      held: 0,
      available: 30,
      lots: [
        { remaining: 3, expiresAt: null },
        { remaining: 5, expiresAt: soon },
        { remaining: 20, expiresAt: null },
        { remaining: 2, expiresAt: null },
      ],
    });
    await charge(4);
    expect(await lots()).toEqual([4, 20, 2]);
    await test.rt.systemPool.query(
      `update credit_lot set expires_at = now() where workspace_id = $1 and expires_at is not null`,
      [owner.workspace.id],
    );
    await lapseLots(test.rt.systemPool);
    expect(await lots()).toEqual([20, 2]);
    expect((await get('/api/billing/credits/entries?kind=expire')).data).toMatchObject([
      { amount: -4, from: 'credits', to: 'expired' },
    ]);
    expect(await findBroken(test.rt.systemPool, 60)).toEqual([]);
  });
});

describe('GET /api/billing/credits/entries', () => {
  it('tells all that moved credits, newest first, page by page, and the sum is the balance', async () => {
    const jobs = [await charge(1), await charge(2), await charge(3)];
    const refund = await ops('/ops/credits/refunds', { workspaceId: owner.workspace.id, jobId: jobs[2], credits: 2 });
    expect(refund.json()).toEqual({ balance: 16 });
    const again = await ops('/ops/credits/refunds', { workspaceId: owner.workspace.id, jobId: jobs[2] });
    expect(again.json()).toMatchObject({ status: 409, code: 'credits_not_moved' });
    const all = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: { data: Record<string, unknown>[]; page: { nextCursor: string | null } } = await get(
        `/api/billing/credits/entries?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`,
      );
      all.push(...page.data);
      cursor = page.page.nextCursor;
    }
    expect(all.map(({ number, kind, amount, balanceAfter }) => [number, kind, amount, balanceAfter])).toEqual([
      [5, 'refund', 2, 16],
      [4, 'capture', -3, 14],
      [3, 'capture', -2, 17],
      [2, 'capture', -1, 19],
      [1, 'grant', 20, 20],
    ]);
    expect(all[1]).toMatchObject({ from: 'credits', to: 'spent', referenceId: jobs[2], userId: owner.user.id });
    const stranger = await aUser(test.rt);
    expect((await get('/api/billing/credits/entries', stranger)).data).toHaveLength(1);
    expect(await get('/api/billing/credits/entries?cursor=x')).toMatchObject({
      status: 400,
      code: 'validation_failed',
    });
  });

  it('is read by the key, however many there are', async () => {
    const client = await test.rt.systemPool.connect();
    await client.query(
      `insert into credit_entry (workspace_id, seq, kind, amount, from_account, to_account, balance_after, ref_id)
      select $1, n, 'capture', 1, 'credits', 'spent', 0, uuidv7() from generate_series(2, 5000) n`,
      [owner.workspace.id],
    );
    await client.query('set role none; analyze credit_entry; set role wh_system');
    const { rows } = await client.query(
      `explain select seq from credit_entry where workspace_id = $1 and seq < 4000 order by seq desc limit 26`,
      [owner.workspace.id],
    );
    client.release();
    const plan = rows.map((row) => Object.values(row)).join('\n');
    expect(plan).toMatch(/Index (Only )?Scan Backward using credit_entry_pkey/);
    expect(plan).not.toContain('Sort');
  });
});

describe('a grant', () => {
  it('is booked once for its reference, and written down', async () => {
    const referenceId = randomUUID();
    const answers = await Promise.all(Array.from({ length: 10 }, () => grant(4, { referenceId })));
    expect(answers.map(({ statusCode }) => statusCode).toSorted((one, other) => one - other)).toEqual([
      200,
      ...Array.from({ length: 9 }, () => 409),
    ]);
    expect((await get('/api/ai/credits')).balance).toBe(24);
    const audit = await get('/api/audit');
    expect(audit.data[0]).toMatchObject({ action: 'credits.granted', after: { credits: 4 } });
    // Sent again by mistake with another amount it says what was booked.
    expect((await grant(5, { referenceId })).json()).toMatchObject({
      status: 409,
      code: 'credits_not_moved',
      detail: expect.stringContaining('given 4 credits'),
    });
    expect((await grant(4, { workspaceId: newId() })).json()).toMatchObject({ status: 404, code: 'not_found' });
  });

  it('that an account cannot hold is refused whole, and so is a code, which stays good', async () => {
    for (let times = 0; times < 9; times += 1) expect((await grant(1_000_000_000)).statusCode).toBe(200);
    expect((await grant(1_000_000_000)).json()).toMatchObject({ status: 409, code: 'credits_too_many' });
    const [code = ''] = await codes({ count: 1, credits: 1_000_000_000 });
    expect((await topup(code)).json()).toMatchObject({ status: 409, code: 'credits_too_many' });
    expect((await topup(code, await aUser(test.rt))).statusCode).toBe(200);
    expect((await grant(7_199_000)).statusCode).toBe(200);
    const [{ key }] = (await ops('/ops/licenses', { plan: 'pro' })).json().licenses;
    const activate = {
      method: 'POST',
      url: '/api/license/activate',
      headers: owner.headers,
      payload: { key },
    } as const;
    expect((await test.app.inject(activate)).json()).toMatchObject({ status: 409, code: 'credits_too_many' });
    const broken = await findBroken(test.rt.systemPool, 60);
    expect(broken.filter(({ workspaceId }) => workspaceId === owner.workspace.id)).toEqual([]);
  });
});
