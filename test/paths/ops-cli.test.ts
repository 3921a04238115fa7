import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { callCli } from '#test/cli.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { aUser } from '#test/factories.ts';

let test: TestApp;
let home: string;
let url: string;
beforeAll(async () => {
  test = await openTestApp({ STARTING_CREDITS: '0' });
  url = await test.app.listen({ port: 0, host: '127.0.0.1' });
  home = await mkdtemp(`${tmpdir()}/wh-test-ops-`);
});
afterAll(async () => {
  await test.close();
  await rm(home, { recursive: true });
});

const run = (args: string[], password = test.config.OPS_PASSWORD) => {
  const ops = { WHATSHYBRID_OPS_USER: test.config.OPS_USER, WHATSHYBRID_OPS_PASSWORD: password };
  return callCli(['ops', ...args], { XDG_CONFIG_HOME: home, WHATSHYBRID_URL: url, ...ops });
};

it('makes codes and licences that work, and shows them once', async () => {
  const codes = await run(['topup-codes', '--count', '2', '--credits', '7.5']);
  expect([codes.exitCode, codes.stderr]).toEqual([0, 'They are shown this once, and kept nowhere.\n']);
  const [code = '', ...more] = codes.stdout.trim().split('\n');
  expect(more).toHaveLength(1);
  const { headers } = await aUser(test.rt);
  const post = async (path: string, payload: object) =>
    (await test.app.inject({ method: 'POST', url: path, headers, payload })).json();
  expect(await post('/api/license/topup', { code })).toEqual({ credits: 7.5, balance: 7.5 });

  const options = [
    '--plan',
    'pro',
    '--days',
    '30',
    '--limit',
    'contacts=none',
    '--limit',
    'members=7',
    '--feature',
    'webhooks=off',
  ];
  const made = await run(['licenses', 'create', ...options, '--json']);
  expect([made.exitCode, made.json()]).toMatchObject([0, [{ plan: 'pro', licenses: [{ id: expect.any(String) }] }]]);
  const [{ id, key }] = Object(made.json()[0])['licenses'];
  expect(await post('/api/license/activate', { key })).toMatchObject({
    plan: 'pro',
    limits: { contacts: null, members: 7 },
    features: { webhooks: false },
  });
  const listed = await run(['licenses', 'list', '--status', 'active', '--plan', 'pro', '--limit', '1']);
  expect([listed.exitCode, listed.stdout.split('\t').slice(0, 3)]).toEqual([0, [id, 'pro', 'active']]);
  expect((await run(['licenses', 'show', id, '--json'])).json()).toMatchObject([{ id, status: 'active', days: 30 }]);
  expect((await run(['licenses', 'list', '--status', 'paid'])).exitCode).toBe(2);
  const [batch = ''] = (await run(['topup-batches', 'list'])).stdout.split('\t');
  const ended = await run(['topup-batches', 'revoke', batch, '--json']);
  expect(ended.json()).toEqual([{ batchId: batch, revoked: 1 }]);
  expect((await run(['topup-batches', 'list'])).stdout.split('\t').slice(1, 5)).toEqual(['7.5', '2', '1', '1']);
  expect(await run(['licenses', 'revoke', id])).toMatchObject({ exitCode: 0 });
  expect(await run(['licenses', 'revoke', id, '--json'])).toMatchObject({ exitCode: 1 });
}, 120_000);

it('tells wrong usage from a wrong password', async () => {
  const wrong = [
    [['topup-codes', '--count', '0', '--credits', '1'], 2],
    [['licenses', 'create', '--plan', 'gold'], 2],
  ] as const;
  for (const [args, exitCode] of wrong) expect((await run([...args])).exitCode).toBe(exitCode);
  const refused = await run(['topup-codes', '--count', '1', '--credits', '1'], 'not the password');
  expect([refused.exitCode, refused.stdout]).toEqual([3, '']);
  expect(refused.stderr).toContain('wrong');
}, 120_000);

it('works through invoices that wait for an operator', async () => {
  const owner = await aUser(test.rt);
  const checkout = async (plan: string): Promise<string> => {
    const { headers } = owner;
    const url = '/api/billing/checkout';
    return (await test.app.inject({ method: 'POST', url, headers, payload: { plan } })).json().invoiceId;
  };
  const waiting = async (what: string) => (await run(['invoices', 'list', '--waiting', what])).stdout;
  const given = await checkout('pro');
  expect((await waiting('payment')).split('\t').slice(0, 5)).toEqual([
    given,
    owner.workspace.id,
    'pro',
    'open',
    '29900',
  ]);
  expect((await run(['invoices', 'void', given, '--json'])).json()).toMatchObject([{ id: given, status: 'void' }]);
  const id = await checkout('starter');
  expect((await run(['invoices', 'paid', id, '--json'])).json()).toMatchObject([
    { id, status: 'paid', amountMinor: 9900, credits: 5000 },
  ]);
  expect(await waiting('payment')).toBe('');
  const part = await run(['invoices', 'refund', id, '--minor', '4950', '--json']);
  expect([part.exitCode, part.json()]).toMatchObject([0, [{ refundedMinor: 4950, creditsReversed: 2500 }]]);
  expect((await run(['invoices', 'refund', id])).exitCode).toBe(2);
  const all = await run(['invoices', 'refund', id, '--all']);
  expect([all.exitCode, all.stderr, all.stdout]).toEqual([0, '', expect.stringContaining('refundedMinor\t9900')]);
  // As if somebody had paid what the plan does not cost.
  await test.rt.systemPool.query(`update invoice set held = 'amount', credits = 0, credits_reversed = 0,
    refunded_minor = 0 where id = '${id}'`);
  expect(await waiting('release')).toContain(id);
  const released = await run(['invoices', 'release', id, '--credits', '0', '--json']);
  expect(released.json()).toMatchObject([{ held: null, credits: 0 }]);
  expect((await run(['invoices', 'release', id])).exitCode).toBe(1);
  expect((await run(['invoices', 'list', '--waiting', 'nothing'])).exitCode).toBe(2);
}, 240_000);
