import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { signedIn } from '../test/client.ts';
import { Loopback } from '../test/loopback.ts';
import type { BackendClient } from './client.ts';
import type { JobRun } from './job-run.ts';
import type { JobUpdate } from './job-text.ts';
import { deferred } from './timing.ts';

let backend: Loopback;
let client: BackendClient;
beforeEach(async () => {
  backend = await Loopback.open();
  client = await signedIn(backend);
});
afterEach(async () => {
  client.close();
  await backend.close();
});

const INPUT = { context: 'Quanto custa?' };

/** Reads a run to its end and checks on the way that each step follows from the one before. */
async function read(run: JobRun): Promise<JobUpdate[]> {
  const updates: JobUpdate[] = [];
  for await (const update of run) {
    const before = update.restarted ? '' : (updates.at(-1)?.text ?? '');
    expect(update.text).toBe(before + update.delta);
    updates.push(update);
  }
  return updates;
}

const lastText = (updates: JobUpdate[]) => updates.at(-1)?.text ?? '';

describe.each(['socket', 'sse'] as const)('a job over %s', (transport) => {
  it('gives its text as it comes and then its view', async () => {
    backend.script = (job) => job.start().chunk('Custa ').chunk('R$ 10').chunk('!').complete();
    const events: string[] = [];
    const run = client.jobs.run('copilot', INPUT, { transport, onEvent: (event) => events.push(event.event) });
    expect(lastText(await read(run))).toBe('Custa R$ 10!');
    const job = await run.result;
    expect(job).toMatchObject({ id: await run.jobId, status: 'completed', usage: { provider: 'openai' } });
    expect(events).toEqual(['job.queued', 'job.started', 'job.chunk', 'job.chunk', 'job.chunk', 'job.completed']);
  });

  it('passes the options on, beside the input', async () => {
    backend.script = (job) => job.complete();
    await client.jobs.run('copilot', INPUT, { transport, options: { priority: 'batch' } }).result;
    const [job] = backend.jobs.values();
    const [peer] = backend.peers;
    const given = transport === 'sse' ? job?.input : peer?.received('submit')[0];
    expect(given).toMatchObject({ options: { priority: 'batch' } });
  });

  it('tells a restart at once, so that what was shown is discarded', async () => {
    const shown = deferred<void>();
    backend.script = async (job) => {
      job.start().chunk('errado');
      await shown.promise;
      job.restart('provider_failed');
      job.chunk('certo').complete();
    };
    const run = client.jobs.run('copilot', INPUT, { transport });
    const updates: JobUpdate[] = [];
    for await (const update of run) {
      updates.push(update);
      shown.resolve();
    }
    expect(updates[0]).toEqual({ delta: 'errado', text: 'errado', restarted: false });
    expect(updates[1]?.restarted).toBe(true);
    expect(updates.slice(2).every((update) => !update.restarted)).toBe(true);
    expect(lastText(updates)).toBe('certo');
  });

  it('shows only what is new when a resync sends the same text again', async () => {
    const shown = deferred<void>();
    backend.script = async (job) => {
      job.start().chunk('Bom dia');
      await shown.promise;
      job.restart('resync').chunk('Bom').chunk(' dia').chunk(', Ana').complete();
    };
    const run = client.jobs.run('copilot', INPUT, { transport });
    let text = '';
    for await (const update of run) {
      expect(update.restarted).toBe(false);
      text += update.delta;
      shown.resolve();
    }
    expect(text).toBe('Bom dia, Ana');
  });

  it('ends with the problem of a job that failed, for the loop and for the result', async () => {
    backend.script = (job) => job.start().chunk('meio').fail('provider_timeout');
    const run = client.jobs.run('copilot', INPUT, { transport });
    await expect(read(run)).rejects.toMatchObject({ name: 'JobError', status: 'failed', code: 'provider_timeout' });
    await expect(run.result).rejects.toMatchObject({ jobId: await run.jobId });
  });

  it('cancels the job when asked, when the loop is left and when the signal aborts', async () => {
    backend.script = (job) => job.start().chunk('a');
    const asked = client.jobs.run('copilot', INPUT, { transport });
    await asked.cancel();
    await expect(asked.result).rejects.toMatchObject({ status: 'cancelled' });

    const left = client.jobs.run('copilot', INPUT, { transport });
    for await (const update of left) if (update.text === 'a') break;
    await expect(left.result).rejects.toMatchObject({ status: 'cancelled' });

    const abort = new AbortController();
    const aborted = client.jobs.run('copilot', INPUT, { transport, signal: abort.signal });
    const job = backend.jobs.get(await aborted.jobId);
    const cancelled = deferred<void>();
    if (job) job.onCancel = cancelled.resolve;
    abort.abort(new Error('closed the panel'));
    await expect(aborted.result).rejects.toThrow('closed the panel');
    await cancelled.promise;
  });

  it('lets a detached job go on', async () => {
    const left = deferred<void>();
    backend.script = async (job) => {
      job.start().chunk('a');
      await left.promise;
      job.complete();
    };
    const run = client.jobs.run('copilot', INPUT, { transport, detach: true });
    for await (const update of run) if (update.text === 'a') break;
    left.resolve();
    await expect(run.result).resolves.toMatchObject({ status: 'completed' });
    expect(backend.seen.some(({ path }) => path.endsWith('/cancel'))).toBe(false);
  });

  it('follows a job that exists from its start', async () => {
    const job = backend.accept('copilot', {}, undefined).start().chunk('a').chunk('b');
    const run = client.jobs.follow(job.id, { transport });
    setImmediate(() => job.chunk('c').complete());
    expect(lastText(await read(run))).toBe('abc');
  });

  it('asks over HTTP when no event comes', async () => {
    backend.script = (job) => {
      job.isMute = true;
      job.start().chunk('calado').complete();
    };
    const run = client.jobs.run('copilot', INPUT, { transport, quietMs: 20 });
    expect(lastText(await read(run))).toBe('calado');
    await expect(run.result).resolves.toMatchObject({ status: 'completed' });
  });
});

it('cancels a job whose submit was still unanswered when the signal aborted', async () => {
  const held = deferred<() => void>();
  backend.onPeer = (peer) => {
    peer.intercept = (frame) => {
      if (frame['type'] !== 'submit') return false;
      peer.intercept = () => false;
      const job = backend.accept('copilot', frame['input'], undefined);
      held.resolve(() => peer.reply(frame['id'], { jobId: job.id, status: 'queued' }));
      return true;
    };
  };
  const abort = new AbortController();
  const run = client.jobs.run('copilot', INPUT, { transport: 'socket', signal: abort.signal });
  const answer = await held.promise;
  abort.abort(new Error('gone'));
  await expect(run.result).rejects.toThrow('gone');
  const [job] = backend.jobs.values();
  const cancelled = deferred<void>();
  if (job) job.onCancel = cancelled.resolve;
  answer();
  await cancelled.promise;
});

it('asks for nothing when the signal has aborted before', async () => {
  const run = client.jobs.run('copilot', INPUT, { signal: AbortSignal.abort(new Error('too late')) });
  await expect(run.result).rejects.toThrow('too late');
  await expect(run.jobId).rejects.toThrow('too late');
  expect(backend.jobs.size).toBe(0);
});

it('uses plain HTTP where there is no WebSocket, or none can be had', async () => {
  backend.script = (job) => job.start().chunk('sem socket').complete();
  const without = await signedIn(backend, { WebSocket: null });
  expect(lastText(await read(without.jobs.run('copilot', INPUT)))).toBe('sem socket');
  expect(() => without.jobs.run('copilot', INPUT, { transport: 'socket' })).toThrow('there is no WebSocket');
  backend.onPeer = (peer) => peer.socket.close(4403, 'origin');
  expect(lastText(await read(client.jobs.run('copilot', INPUT)))).toBe('sem socket');
  expect(backend.peers.size).toBe(0);
});

it('reads the job over HTTP while the history is gone, and returns to the stream at a restart', async () => {
  const shown = deferred<void>();
  backend.onPeer = (peer) => {
    peer.deliver = (event) => {
      if (event.id !== '1-4') return 'send';
      peer.send({ type: 'event', topic: event.topic, id: event.id, event: 'resync', data: {} });
      return 'lose';
    };
  };
  backend.script = async (job) => {
    job.start().chunk('um ').chunk('dois ').chunk('três');
    await shown.promise;
    job.restart('resync').chunk('um dois três quatro').complete();
  };
  const run = client.jobs.run('copilot', INPUT, { transport: 'socket', pollMs: 5 });
  let text = '';
  for await (const update of run) {
    text = update.restarted ? update.text : text + update.delta;
    if (text === 'um dois três') shown.resolve();
  }
  expect(text).toBe('um dois três quatro');
});

it('hears again what was lost on the way', async () => {
  backend.onPeer = (peer) => {
    let lost = false;
    peer.deliver = (event) => {
      if (lost || event.id !== '1-4') return 'send';
      lost = true;
      return 'lose';
    };
  };
  backend.script = (job) => job.start().chunk('a').chunk('b').chunk('c').complete();
  expect(lastText(await read(client.jobs.run('copilot', INPUT, { transport: 'socket' })))).toBe('abc');
});

it('gets, lists, waits for and cancels jobs', async () => {
  const job = backend.accept('copilot', {}, undefined);
  expect(await client.jobs.get(job.id)).toMatchObject({ id: job.id, status: 'queued' });
  backend.route('GET', '/api/jobs', ({ json, query }) =>
    json(200, { data: [{ ...job.view(), engine: query.get('status') }], page: { nextCursor: null, hasMore: false } }),
  );
  expect((await client.jobs.list({ status: 'queued' })).data[0]).toMatchObject({ engine: 'queued' });
  const waited = client.jobs.wait(job.id);
  await client.jobs.cancel(job.id);
  await expect(waited).rejects.toMatchObject({ status: 'cancelled' });
  await expect(client.jobs.wait('00000000-0000-7000-8000-000000000000')).rejects.toMatchObject({ status: 404 });
});

type Step = { kind: 'chunk'; text: string } | { kind: 'restart'; reason: string };

it('neither loses nor doubles a character, whatever the network does', async () => {
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('chunk' as const),
        text: fc.string({ maxLength: 5, unit: 'grapheme' }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('restart' as const),
        reason: fc.constantFrom('provider_failed', 'worker_lost'),
      }),
    },
  );
  const fate = fc.constantFrom('send', 'send', 'send', 'send', 'twice', 'cut', 'lose');
  const plan = fc.record({
    steps: fc.array(step, { maxLength: 25 }),
    fates: fc.array(fate, { maxLength: 40 }),
    pauses: fc.infiniteStream(fc.boolean()),
  });
  await fc.assert(
    fc.asyncProperty(plan, async ({ steps, fates, pauses }) => {
      const left = fates.values();
      backend.onPeer = (peer) => {
        peer.deliver = () => left.next().value ?? 'send';
      };
      backend.peers.forEach(backend.onPeer);
      backend.script = async (job) => {
        job.start();
        for (const one of steps) {
          if (pauses.next().value) await new Promise(setImmediate);
          if (one.kind === 'chunk') job.chunk(one.text);
          else job.restart(one.reason);
        }
        job.complete();
      };
      const run = client.jobs.run('copilot', INPUT, { transport: 'socket', quietMs: 100, pollMs: 10 });
      let text = '';
      for await (const update of run) {
        text = update.restarted ? '' : text;
        text += update.delta;
        expect(text).toBe(update.text);
      }
      expect(text).toBe(backend.jobs.get(await run.jobId)?.text);
    }),
    { numRuns: 150 },
  );
});
