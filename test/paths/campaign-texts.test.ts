import { afterAll, beforeAll, expect, it } from 'vitest';
import { readConfig } from '#src/config.ts';
import { openOrm, type Orm } from '#src/db/orm.ts';
import { createLog } from '#src/lib/log.ts';
import { entities } from '#src/modules/entities.ts';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { addContacts, checkCounters, somePeople } from '#test/campaigns.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';
import { startReceiver } from '#test/webhooks.ts';

let simulator: Simulator;
let receiver: Awaited<ReturnType<typeof startReceiver>>;
let all: Installation;
let orm: Orm;
let api: Running & { url: string };
let token: string;
beforeAll(async () => {
  [simulator, receiver] = await Promise.all([createSimulator(), startReceiver()]);
  receiver.answers(() => ({ text: '{"messageId":"m"}' }));
  all = await createInstallation({
    OPENAI_API_KEY: 'sk-simulated',
    OPENAI_BASE_URL: `${simulator.url}/v1`,
    OPENAI_MODELS: 'gpt-4o-mini',
    EGRESS_ALLOW: receiver.target,
  });
  orm = openOrm(readConfig(all.env), entities, { role: 'wh_app', log: createLog('silent', 'test') });
  [api] = await Promise.all([all.startApi(), all.startControl(), all.startWorker('ai-inference', 'campaigns')]);
}, 120_000);
afterAll(async () => {
  await orm?.close();
  await all?.close();
  await simulator?.close();
  await receiver?.close();
});

async function call<Answer>(method: string, path: string, body?: object): Promise<Answer> {
  const answer = await fetch(`${api.url}/api/${path}`, {
    method,
    headers: {
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(body ? { 'content-type': 'application/json' } : {}),
      'idempotency-key': crypto.randomUUID(),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Answer;
}

interface View {
  status: string;
  ai: { spentUsd: number; budgetUsd: number };
}
/** Runs a campaign to its end. @returns it, and what the gateway was given */
async function send(channelId: string, spentNano: number): Promise<{ view: View; texts: string[] }> {
  receiver.answers(() => ({ text: '{"messageId":"m"}' }));
  const { id } = await call<{ id: string }>('POST', 'campaigns', {
    name: 'Natal',
    channelId,
    content: { text: 'Oi, {{contact.first_name|"amigo"}}! Seu número é {{contact.phone|"-"}}.' },
    audience: { all: true },
    // Enough for two that are under way, and for all when these cost what they do.
    ai: { instruction: 'Seja breve', budgetUsd: 0.02, maxCostUsd: 0.01 },
  });
  await all.pool.query('update campaign set ai_spent_nano = $2 where id = $1', [id, spentNano]);
  await call('POST', `campaigns/${id}/start`);
  const read = () => call<View>('GET', `campaigns/${id}`);
  await expect.poll(async () => (await read()).status, { timeout: 60_000 }).toBe('completed');
  return { view: await read(), texts: receiver.received.map(({ body }) => String(Object(body['data']).text)) };
}

it('has a model write each recipient’s text, masked, within a budget; beyond it they get the campaign’s own', async () => {
  const account = { email: 'ana@example.com', password: 'a long enough password', name: 'Ana' };
  const signedIn = await call<{ token: string; workspace: { id: string } }>('POST', 'auth/register', account);
  token = signedIn.token;
  await addContacts({ orm }, signedIn.workspace.id, somePeople(5));
  simulator.script({ text: 'Um texto só para você {{contact.name}}' });
  const channel = { name: 'Gateway', kind: 'webhook', url: receiver.url };
  const { id: channelId } = await call<{ id: string }>('POST', 'channels', channel);
  const written = await send(channelId, 0);
  expect(written.texts).toEqual(Array.from({ length: 5 }, () => 'Um texto só para você { {contact.name}}'));
  expect(written.view.ai.spentUsd).toBeGreaterThan(0);
  expect(written.view.ai.spentUsd).toBeLessThan(0.005);
  const asked = JSON.stringify(simulator.seen().map(({ body }) => body));
  expect(asked).toContain('Seja breve');
  expect(asked).not.toMatch(/119800000/);
  const unlike = await all.pool.query(`select count(*)::int as n from job where engine = 'chat' and band <> 'bulk'`);
  expect(unlike.rows).toEqual([{ n: 0 }]);
  const seen = simulator.seen().length;
  const spent = await send(channelId, 19_000_000);
  for (const text of spent.texts) expect(text).toMatch(/^Oi, Pessoa! Seu número é \+55119800000/);
  expect(spent.texts).toHaveLength(5);
  expect(simulator.seen()).toHaveLength(seen);
  expect(await checkCounters(all.pool)).toEqual([]);
}, 150_000);
