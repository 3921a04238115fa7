import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { readApiKeys } from '#src/ai/api-keys.ts';
import type { AttemptRecord } from '#src/ai/attempt.ts';
import { createEmbedder } from '#src/ai/embedder.ts';
import { MemoryHealth } from '#src/ai/health.ts';
import { createGroq } from '#src/ai/providers/groq.ts';
import { createMistral } from '#src/ai/providers/mistral.ts';
import { createOpenai } from '#src/ai/providers/openai.ts';

const target = { provider: 'openai', model: 'text-embedding-3-small' } as const;
const texts = ['Oi', 'Ligue (11) 98765-4321'];
const { signal } = new AbortController();

let simulator: Simulator;
beforeAll(async () => {
  simulator = await createSimulator();
});
afterEach(() => simulator.clear());
afterAll(() => simulator.close());

const own = (list: string[]) => readApiKeys(list, 'installation');

function open(keys = ['sk-first', 'sk-second']) {
  const providers = [
    createOpenai({ keys: own(keys), baseUrl: `${simulator.url}/v1`, models: [] }),
    createGroq({ keys: own(['gk']), baseUrl: `${simulator.url}/groq`, models: [] }),
    createMistral({ keys: [], baseUrl: `${simulator.url}/mistral`, models: [] }),
  ];
  return createEmbedder({ providers, health: new MemoryHealth(() => Date.now()), random: () => 0 });
}

test('offers the models of who has embeddings and a key, also a workspace’s own, and none that it forbids', () => {
  const embedder = open();
  expect(new Set(embedder.targets().map(({ provider }) => provider))).toEqual(new Set(['openai']));
  expect(embedder.targetOf('text-embedding-3-small')).toEqual(target);
  expect(embedder.targetOf('gpt-4o')).toBeUndefined();
  const keys = { mistral: readApiKeys(['own'], 'workspace') };
  expect(embedder.targetOf('mistral-embed', { keys })?.provider).toBe('mistral');
  expect(embedder.targets({ keys, allowedProviders: ['mistral'] }).map(({ provider }) => provider)).toEqual([
    'mistral',
  ]);
});

test('asks with another key where one is dead, and tells of both calls', async () => {
  simulator.script({ fault: 'unauthorized', times: 1 });
  const told: AttemptRecord[] = [];
  const { vectors, usage } = await open().embed({ target, texts }, { signal, attempted: (one) => told.push(one) });
  expect(vectors).toHaveLength(2);
  expect(told.map(({ failure }) => failure)).toEqual(['auth', undefined]);
  expect(new Set(told.map(({ keyId }) => keyId)).size).toBe(2);
  expect(told[1]?.usage).toEqual(usage);
});

test('says what failed when no key is left, and does not ask the other where the fault is not the key’s', async () => {
  simulator.script({ fault: 'unauthorized' });
  await expect(open().embed({ target, texts }, { signal })).rejects.toMatchObject({ failure: 'auth' });
  expect(simulator.counts().requests).toBe(2);
  simulator.script({ fault: 'server_error' });
  await expect(open().embed({ target, texts }, { signal })).rejects.toMatchObject({ failure: 'transient' });
  expect(simulator.counts().requests).toBe(3);
});

test('masks by kind, so that equal texts stay equal; what a workspace blocks is refused before anybody is asked', async () => {
  const embedder = open();
  await embedder.embed({ target, texts }, { signal });
  await embedder.embed({ target, texts }, { signal });
  const sent = simulator.seen().map(({ body }) => (body as { input: string[] }).input);
  expect(sent).toEqual([
    ['Oi', 'Ligue [[PHONE]]'],
    ['Oi', 'Ligue [[PHONE]]'],
  ]);
  const privacy = { pii: { phone: 'block' as const }, allow: [], maskOllama: true };
  const refused = embedder.embed({ target, texts }, { signal, workspace: { keys: {}, privacy } });
  await expect(refused).rejects.toMatchObject({ code: 'pii_blocked' });
  expect(simulator.counts().requests).toBe(2);
});

test('throws the reason of a signal that aborts, and closes the connection', async () => {
  simulator.script({ fault: 'hang' });
  const cancel = new AbortController();
  const told: AttemptRecord[] = [];
  const asked = open().embed({ target, texts }, { signal: cancel.signal, attempted: (one) => told.push(one) });
  const ended = asked.catch((error: unknown) => error);
  await simulator.waitFor(() => true);
  cancel.abort(new Error('enough'));
  expect(await ended).toMatchObject({ message: 'enough' });
  await simulator.waitFor(({ clientGone }) => clientGone);
  expect(told.map(({ failure }) => failure)).toEqual(['cancelled']);
});
