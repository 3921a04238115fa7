import { afterAll, beforeAll, expect, it } from 'vitest';
import { readConfig } from '#src/config.ts';
import { openOrm, type Orm } from '#src/db/orm.ts';
import { createLog } from '#src/lib/log.ts';
import { entities } from '#src/modules/entities.ts';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { addContacts, checkCounters, somePeople } from '#test/campaigns.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';
import { startReceiver } from '#test/webhooks.ts';

const PEOPLE = 5;
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
}, 300_000);
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
  ai: { spentUsd: number };
}
/** Runs a campaign to its end. @returns what was spent, and what the gateway was given */
async function send(channelId: string, ai: object): Promise<{ spentUsd: number; texts: string[] }> {
  receiver.answers(() => ({ text: '{"messageId":"m"}' }));
  const { id } = await call<{ id: string }>('POST', 'campaigns', {
    name: 'Natal',
    channelId,
    content: { text: 'Oi, {{contact.first_name|"amigo"}}! Seu número é {{contact.phone|"-"}}.' },
    audience: { all: true },
    ai: { instruction: 'Seja breve', ...ai },
  });
  await call('POST', `campaigns/${id}/start`);
  const read = () => call<View>('GET', `campaigns/${id}`);
  await expect.poll(async () => (await read()).status, { timeout: 120_000 }).toBe('completed');
  const texts = receiver.received.map(({ body }) => String(Object(body['data']).text));
  expect(texts).toHaveLength(PEOPLE);
  return { spentUsd: (await read()).ai.spentUsd, texts };
}

const WRITTEN = 'Um texto só para você';
const OWN = /^Oi, Pessoa! Seu número é \+55119800000\d\d\.$/;
const AMPLE = { budgetUsd: 1 };

it('has a model write each recipient’s text, masked, within a budget; beyond it they get the campaign’s own', async () => {
  const account = { email: 'ana@example.com', password: 'a long enough password', name: 'Ana' };
  const signedIn = await call<{ token: string; workspace: { id: string } }>('POST', 'auth/register', account);
  token = signedIn.token;
  await addContacts({ orm }, signedIn.workspace.id, somePeople(PEOPLE));
  const channel = { name: 'Gateway', kind: 'webhook', url: receiver.url };
  const { id: channelId } = await call<{ id: string }>('POST', 'channels', channel);

  simulator.script({ text: WRITTEN });
  const written = await send(channelId, AMPLE);
  expect(new Set(written.texts)).toEqual(new Set([WRITTEN]));
  expect(written.spentUsd).toBeGreaterThan(0);
  expect(written.spentUsd).toBeLessThan(0.005);
  expect(simulator.seen()).toHaveLength(PEOPLE);
  for (const { body } of simulator.seen()) {
    const asked = JSON.stringify(body);
    expect(asked).toContain('Seja breve');
    expect(asked).toMatch(/Seu número é \[\[PHONE_[A-Z2-7]{6}\]\]/);
    expect(asked).not.toContain('1198000');
  }
  const unlike = await all.pool.query(`select count(*)::int as n from job where engine = 'chat' and band <> 'bulk'`);
  expect(unlike.rows).toEqual([{ n: 0 }]);

  // Nothing a model writes is read as a template, nor holds up who comes behind it.
  simulator.script({ text: `${WRITTEN} {{contact.name}}` });
  const braced = await send(channelId, AMPLE);
  for (const text of braced.texts) expect(text).toMatch(OWN);
  expect(braced.spentUsd).toBeGreaterThan(0);

  // Two are reserved at once; what they cost leaves no room for a third.
  simulator.clear();
  simulator.script({
    text: WRITTEN,
    usage: { inputTokens: 44_000, outputTokens: 20, cachedInputTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0 },
  });
  const spent = await send(channelId, { budgetUsd: 0.02, maxCostUsd: 0.01 });
  expect(spent.texts.filter((text) => text === WRITTEN)).toHaveLength(2);
  expect(spent.texts.filter((text) => OWN.test(text))).toHaveLength(PEOPLE - 2);
  expect(simulator.seen()).toHaveLength(2);
  expect(spent.spentUsd).toBeGreaterThan(0.01);
  expect(spent.spentUsd).toBeLessThanOrEqual(0.02);
  expect(await checkCounters(all.pool)).toEqual([]);
}, 400_000);
