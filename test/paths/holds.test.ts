import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BackendClient } from '../../client/src/index.ts';
import { checkLedger } from '#test/drills/books.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';

const JOBS = 500;
const MONEY_FOR = 137;
const ASKED = JSON.stringify({ messages: [{ role: 'user', content: 'Oi, quanto custa a entrega?' }] });

let installation: Installation;
let apis: (Running & { url: string })[];
let workspaceId: string;
let token: string;
beforeAll(async () => {
  // Nothing of these is done: jobs wait, and what they hold stays held. A provider is known, so that they cost something.
  installation = await createInstallation({
    OPENAI_API_KEY: 'sk-simulated',
    OPENAI_BASE_URL: 'http://127.0.0.1:9/v1',
    OPENAI_MODELS: 'gpt-4o-mini',
  });
  apis = await Promise.all(Array.from({ length: 4 }, () => installation.startApi()));
  const client = new BackendClient({ baseUrl: apis[0]?.url ?? '' });
  const email = `ana-${randomUUID()}@example.com`;
  ({
    token,
    workspace: { id: workspaceId },
  } = await client.register({ email, password: 'a long enough password', name: 'Ana' }));
  client.close();
}, 240_000);
afterAll(() => installation.close());

async function ask(api: { url: string } | undefined) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const answer = await fetch(`${api?.url}/api/ai/chat`, { method: 'POST', headers, body: ASKED });
  const { code } = (await answer.json()) as { code?: string };
  return code === undefined ? `${answer.status}` : `${answer.status} ${code}`;
}
const one = async (sql: string) => (await installation.pool.query<Record<string, string>>(sql, [workspaceId])).rows[0];

it('500 jobs that come at once to four API processes are 137 where there is money for 137', async () => {
  expect(await ask(apis[0])).toBe('202');
  const hold = Number((await one('select credit_held from job where workspace_id = $1'))?.['credit_held']);
  expect(hold).toBeGreaterThan(1);
  // What is free goes, as what has expired does, and what is wanted comes; the job above holds its own.
  const { pool } = installation;
  await pool.query('update credit_lot set expires_at = now() where workspace_id = $1', [workspaceId]);
  await pool.query('select credit_lapse()');
  const granted = [workspaceId, MONEY_FOR * hold + hold - 1, randomUUID()];
  await pool.query(`select credit_grant($1, 'grant', $2, $3, null, 0, null)`, granted);

  const answers = await Promise.all(Array.from({ length: JOBS }, (_, at) => ask(apis[at % apis.length])));
  expect(
    Object.fromEntries([...Map.groupBy(answers, (answer) => answer)].map(([of, all]) => [of, all.length])),
  ).toEqual({
    '202': MONEY_FOR,
    '402 insufficient_credits': JOBS - MONEY_FOR,
  });
  expect(await one('select balance, held from credit_account where workspace_id = $1')).toEqual({
    balance: `${hold - 1}`,
    held: `${(MONEY_FOR + 1) * hold}`,
  });
  expect(await checkLedger(pool)).toEqual([]);
});
