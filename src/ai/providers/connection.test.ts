import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSimulator, type Simulator } from '../../../simulator/server.ts';
import type { Script } from '../../../simulator/script.ts';
import { KEYS, MODES, SIMULATED } from '#src/ai/__fixtures__/simulated.ts';
import type { Mode } from '#src/ai/__fixtures__/simulated.ts';
import type { ChatRequest, Provider } from '#src/ai/model.ts';

const CLOSED_WITHIN_MS = 200;
let simulator: Simulator;

beforeAll(async () => {
  simulator = await createSimulator();
  for (const { make } of SIMULATED) await make(simulator.url, KEYS).warm?.();
});
afterAll(() => simulator.close());

/** Reads an answer to its end, streamed or not. */
async function read(provider: Provider, request: ChatRequest, mode: Mode, signal: AbortSignal): Promise<void> {
  if (mode === 'plain') await provider.complete(request, signal);
  else for await (const _ of provider.stream(request, signal));
}

let made = 0;
function asked(model: string, script: Script): { request: ChatRequest; mark: string } {
  const mark = `call number ${++made}.`;
  const content = `${mark}\n#sim ${JSON.stringify(script)}`;
  const request: ChatRequest = {
    model,
    messages: [{ role: 'user', content }],
    maxOutputTokens: 100,
    task: { engine: 'chat', input: {} },
  };
  return { request, mark };
}

const seenOf = (mark: string, holds: (gone: boolean) => boolean = () => true) =>
  simulator.waitFor((seen) => JSON.stringify(seen.body).includes(mark) && holds(seen.clientGone));

// Again when the machine was busy: what does not close would be late each time.
describe.each(SIMULATED)('$name closes its upstream', { retry: 3 }, ({ make, model }) => {
  const open = () => make(simulator.url, KEYS);
  const { signal: never } = new AbortController();
  const dripping = { chunks: 500, chunkMs: 10 };

  test('when the reader breaks', async () => {
    const { request, mark } = asked(model, dripping);
    for await (const chunk of open().stream(request, never)) if (chunk.type === 'text') break;
    const left = Date.now();
    expect((await seenOf(mark, Boolean)).clientClosedAt).toBeLessThanOrEqual(left + CLOSED_WITHIN_MS);
  });

  test('when the reader throws', async () => {
    const { request, mark } = asked(model, dripping);
    const broken = async () => {
      for await (const _ of open().stream(request, never)) throw new Error('reader broke');
    };
    await expect(broken()).rejects.toThrow('reader broke');
    const left = Date.now();
    expect((await seenOf(mark, Boolean)).clientClosedAt).toBeLessThanOrEqual(left + CLOSED_WITHIN_MS);
  });

  test.each([
    { mode: 'stream', when: 'before the headers', script: { fault: 'hang' }, ready: 0 },
    { mode: 'stream', when: 'before the first content', script: { fault: 'role_then_silence' }, ready: 0 },
    { mode: 'stream', when: 'in the middle of the answer', script: { fault: 'silence_after', after: 3 }, ready: 3 },
    { mode: 'stream', when: 'between dripping contents', script: dripping, ready: 3 },
    { mode: 'plain', when: 'before the headers', script: { fault: 'hang' }, ready: 0 },
    { mode: 'plain', when: 'after the headers', script: { fault: 'role_then_silence' }, ready: 0 },
    { mode: 'plain', when: 'in the middle of the answer', script: { fault: 'silence_after' }, ready: 1 },
  ] satisfies { mode: Mode; when: string; script: Script; ready: number }[])(
    'when aborted $when ($mode), and throws the reason',
    async ({ mode, script, ready }) => {
      const { request, mark } = asked(model, script);
      const cancel = new AbortController();
      const reason = new Error('cancelled by the user');
      const reading = read(open(), request, mode, cancel.signal).catch((error: unknown) => error);
      await simulator.waitFor((seen) => JSON.stringify(seen.body).includes(mark) && seen.contents >= ready);
      const left = Date.now();
      cancel.abort(reason);
      expect(await reading).toBe(reason);
      expect((await seenOf(mark, Boolean)).clientClosedAt).toBeLessThanOrEqual(left + CLOSED_WITHIN_MS);
    },
  );

  test.each(MODES)('and sends nothing when it was aborted before (%s)', async (mode) => {
    const { request } = asked(model, {});
    const before = simulator.counts().requests;
    const reason = new Error('too late');
    await expect(read(open(), request, mode, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(simulator.counts().requests).toBe(before);
  });

  test.each(MODES)('and leaves no listener on the signal (%s)', async (mode) => {
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
    await read(open(), asked(model, {}).request, mode, spied);
    expect(added.filter((one) => one === '+').length).toBe(added.filter((one) => one === '-').length);
  });
});

// A simulator of its own: Node's fetch drops the pool of an origin whose only connection was just aborted (nodejs/undici#5845).
test.each(SIMULATED.flatMap((one) => MODES.map((mode) => ({ ...one, mode }))))(
  '$name keeps its connection for the next call after a whole answer ($mode)',
  async ({ make, model, mode }) => {
    const fresh = await createSimulator();
    const provider = make(fresh.url, KEYS);
    const { signal } = new AbortController();
    for (let call = 0; call < 20; call++) await read(provider, asked(model, {}).request, mode, signal);
    // The last bytes of one answer may still be on their way when the next call starts: two connections take turns then.
    expect(fresh.counts().connections).toBeLessThanOrEqual(2);
    expect(fresh.counts()).toMatchObject({ requests: 20, clientGone: 0 });
    await fresh.close();
  },
);
