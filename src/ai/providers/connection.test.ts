import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSimulator, type Simulator } from '../../../simulator/server.ts';
import type { Script } from '../../../simulator/script.ts';
import type { ChatRequest, Provider } from '#src/ai/model.ts';
import { readApiKeys } from '#src/ai/api-keys.ts';
import { createOllama } from '#src/ai/providers/ollama.ts';
import { createOpenai } from '#src/ai/providers/openai.ts';

const CLOSED_WITHIN_MS = 200;
let simulator: Simulator;
let providers: Record<'openai' | 'ollama', Provider>;

beforeAll(async () => {
  simulator = await createSimulator();
  providers = {
    openai: createOpenai({ keys: readApiKeys(['key'], 'installation'), baseUrl: `${simulator.url}/v1`, models: [] }),
    ollama: createOllama({ baseUrl: simulator.url, models: [] }),
  };
  for (const provider of Object.values(providers)) await provider.warm?.();
});
afterAll(() => simulator.close());

let made = 0;
function asked(script: Script): { request: ChatRequest; mark: string } {
  const mark = `call number ${++made}.`;
  const content = `${mark}\n#sim ${JSON.stringify(script)}`;
  const request: ChatRequest = {
    model: 'gpt-5.6-luna',
    messages: [{ role: 'user', content }],
    maxOutputTokens: 100,
    task: { engine: 'chat', input: {} },
  };
  return { request, mark };
}

const seenOf = (mark: string, holds: (gone: boolean) => boolean = () => true) =>
  simulator.waitFor((seen) => JSON.stringify(seen.body).includes(mark) && holds(seen.clientGone));

describe.each(['openai', 'ollama'] as const)('%s closes its upstream', (name) => {
  test('when the reader breaks', async () => {
    const { request, mark } = asked({ chunks: 500, chunkMs: 10 });
    for await (const chunk of providers[name].stream(request, new AbortController().signal))
      if (chunk.type === 'text') break;
    const left = Date.now();
    expect((await seenOf(mark, Boolean)).clientClosedAt).toBeLessThanOrEqual(left + CLOSED_WITHIN_MS);
  });

  test('when the reader throws', async () => {
    const { request, mark } = asked({ chunks: 500, chunkMs: 10 });
    const read = async () => {
      for await (const _ of providers[name].stream(request, new AbortController().signal))
        throw new Error('reader broke');
    };
    await expect(read()).rejects.toThrow('reader broke');
    const left = Date.now();
    expect((await seenOf(mark, Boolean)).clientClosedAt).toBeLessThanOrEqual(left + CLOSED_WITHIN_MS);
  });

  test.each([
    { when: 'before the headers', script: { fault: 'hang' } },
    { when: 'before the first content', script: { fault: 'role_then_silence' } },
    { when: 'in the middle of the answer', script: { fault: 'silence_after', after: 3 } },
    { when: 'between dripping contents', script: { chunks: 500, chunkMs: 10 } },
  ] satisfies { when: string; script: Script }[])('when aborted $when, and throws the reason', async ({ script }) => {
    const { request, mark } = asked(script);
    const cancel = new AbortController();
    const reason = new Error('cancelled by the user');
    const read = async () => {
      for await (const _ of providers[name].stream(request, cancel.signal));
    };
    const reading = read().catch((error: unknown) => error);
    const ready = 'chunks' in script || 'after' in script ? 3 : 0;
    await simulator.waitFor((seen) => JSON.stringify(seen.body).includes(mark) && seen.contents >= ready);
    const left = Date.now();
    cancel.abort(reason);
    expect(await reading).toBe(reason);
    expect((await seenOf(mark, Boolean)).clientClosedAt).toBeLessThanOrEqual(left + CLOSED_WITHIN_MS);
  });

  test('and sends nothing when it was aborted before', async () => {
    const { request } = asked({});
    const before = simulator.counts().requests;
    const reason = new Error('too late');
    const read = async () => {
      for await (const _ of providers[name].stream(request, AbortSignal.abort(reason)));
    };
    await expect(read()).rejects.toBe(reason);
    expect(simulator.counts().requests).toBe(before);
  });

  test('and leaves no listener on the signal', async () => {
    const { signal } = new AbortController();
    const added: string[] = [];
    const spied = new Proxy(signal, {
      get(target, key) {
        if (key === 'addEventListener') {
          return (...args: Parameters<AbortSignal['addEventListener']>) => (
            added.push('+'),
            target.addEventListener(...args)
          );
        }
        if (key === 'removeEventListener') {
          return (...args: Parameters<AbortSignal['removeEventListener']>) => (
            added.push('-'),
            target.removeEventListener(...args)
          );
        }
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    for await (const _ of providers[name].stream(asked({}).request, spied));
    expect(added.filter((one) => one === '+').length).toBe(added.filter((one) => one === '-').length);
  });
});

// A simulator of its own: Node's fetch drops the pool of an origin whose only connection was just aborted (nodejs/undici#5845).
test.each(['openai', 'ollama'] as const)(
  '%s keeps its connection for the next call after a whole answer',
  async (name) => {
    const fresh = await createSimulator();
    const provider =
      name === 'openai'
        ? createOpenai({ keys: readApiKeys(['key'], 'installation'), baseUrl: `${fresh.url}/v1`, models: [] })
        : createOllama({ baseUrl: fresh.url, models: [] });
    for (let call = 0; call < 20; call++) {
      for await (const _ of provider.stream(asked({}).request, new AbortController().signal));
    }
    // The last bytes of one answer may still be on their way when the next call starts: two connections take turns then.
    expect(fresh.counts().connections).toBeLessThanOrEqual(2);
    expect(fresh.counts()).toMatchObject({ requests: 20, clientGone: 0 });
    await fresh.close();
  },
);
