import { expect, it } from 'vitest';
import { engines } from '#src/ai/engines/index.ts';
import { type ApiKey, type Provider, ProviderError } from '#src/ai/model.ts';
import { createRouter } from '#src/ai/router.ts';
import { atOnce, controls, failing, failureOf, input, reply, scripted, timers } from '#src/ai/__fixtures__/scripted.ts';

const keyOf = (id: string, owner: ApiKey['owner'] = 'installation'): ApiKey => ({ id, secret: id, weight: 1, owner });

/** A provider that takes only the keys it is told are good, and notes which it was asked with. */
function keyed(keys: readonly ApiKey[], good: readonly string[], failure: 'auth' | 'rate_limited' = 'auth') {
  const asked: string[] = [];
  const { provider } = scripted(
    'openai',
    Array.from({ length: 20 }, () => reply),
    ['openai-1'],
  );
  const guarded: Provider = {
    ...provider,
    needsKey: true,
    keys,
    async *stream(request, signal, key) {
      asked.push(key?.id ?? 'none');
      if (!key || !good.includes(key.id)) throw new ProviderError('openai', failure, failure, { retryAfterMs: 30_000 });
      yield* provider.stream(request, signal, key);
    },
  };
  return { provider: guarded, asked };
}

const open = (providers: Provider[], random = () => 0) =>
  createRouter({ providers, withTimers: timers, sleep: atOnce, random });

it('parks a dead key, asks the other, and does not come back to the dead one', async () => {
  const { provider, asked } = keyed([keyOf('dead'), keyOf('good')], ['good']);
  const router = open([provider]);
  const { controls: full } = controls();
  const first = await router.run(engines.copilot, input, {}, full);
  expect(first.attempts.map(({ keyId, failure }) => [keyId, failure])).toEqual([
    ['dead', 'auth'],
    ['good', undefined],
  ]);
  await router.run(engines.copilot, input, {}, full);
  expect(asked).toEqual(['dead', 'good', 'good']);
});

it('asks with a workspace’s own keys alone, whatever the installation has', async () => {
  const { provider, asked } = keyed([keyOf('ours')], ['ours', 'theirs']);
  const workspace = { keys: { openai: [keyOf('theirs', 'workspace')] } };
  const { controls: full } = controls({ workspace });
  const { attempts } = await open([provider]).run(engines.copilot, input, {}, full);
  expect(asked).toEqual(['theirs']);
  expect(attempts[0]).toMatchObject({ keyOwner: 'workspace', keyId: 'theirs' });
});

it('delays the job to the soonest time when all are limited, asking nobody', async () => {
  const { provider, asked } = keyed([keyOf('a'), keyOf('b')], [], 'rate_limited');
  const router = open([provider]);
  const { controls: full } = controls();
  await failureOf(router.run(engines.copilot, input, {}, full));
  const before = asked.length;
  const error = await failureOf(router.run(engines.copilot, input, {}, full));
  expect(error).toMatchObject({ retry: 'delay', code: 'provider_rate_limited' });
  expect(error.retryAfterMs).toBeGreaterThan(25_000);
  expect(asked).toHaveLength(before);
  const { targets, chosen } = await router.explain(engines.copilot, input, {});
  expect(chosen).toBeNull();
  expect(targets).toMatchObject([{ included: false, reasons: [{ code: 'rate_limited' }] }]);
});

it('leaves out what a workspace does not allow, and says so', async () => {
  const router = open([scripted('openai', [reply]).provider, scripted('ollama', [reply]).provider]);
  const workspace = { keys: {}, allowedProviders: ['ollama' as const] };
  const { targets, chosen } = await router.explain(engines.copilot, input, {}, workspace);
  expect(chosen).toEqual({ provider: 'ollama', model: 'ollama-1' });
  expect(targets.filter(({ included }) => !included).map(({ reasons }) => reasons[0]?.code)).toEqual([
    'provider_not_allowed',
    'provider_not_allowed',
  ]);
});

it('says that the workspace allows none, which is no failure of the platform', async () => {
  const router = open([scripted('openai', [reply]).provider, scripted('ollama', [reply]).provider]);
  const none = { keys: {}, allowedProviders: ['groq' as const] };
  await expect(router.explain(engines.copilot, input, {}, none)).rejects.toMatchObject({
    status: 422,
    code: 'no_provider_allowed',
  });
});

it('makes at most four calls, whatever fails', async () => {
  const providers = (['openai', 'ollama', 'groq', 'mistral'] as const).map(
    (name) => failing(name, 'transient').provider,
  );
  const attempts: string[] = [];
  const { controls: full } = controls({ on: { attempted: ({ provider }) => void attempts.push(provider) } });
  await failureOf(open(providers).run(engines.copilot, input, { strategy: 'failover' }, full));
  expect(attempts).toHaveLength(4);
  expect(new Set(attempts).size).toBe(3);
});
