import { afterEach, beforeEach, expect, it } from 'vitest';
import { newClient, signedIn } from '../test/client.ts';
import { Loopback } from '../test/loopback.ts';
import type { Peer } from '../test/peer.ts';
import type { BackendClient } from './client.ts';
import { deferred } from './timing.ts';
import type { LiveEvent } from './types.ts';

let backend: Loopback;
let client: BackendClient | undefined;
beforeEach(async () => {
  backend = await Loopback.open();
});
afterEach(async () => {
  client?.close();
  await backend.close();
});

function stateOf({ payload }: { payload: unknown }): unknown {
  return typeof payload === 'object' && payload !== null && 'state' in payload ? payload.state : undefined;
}

const isState = (state: string) => (event: { payload: unknown }) => stateOf(event) === state;

function states(of: BackendClient): unknown[] {
  return of.bus.history('socket.state').map(stateOf);
}

/** The next connection that `accept`s, as the backend sees it. */
function nextPeer(prepare: (peer: Peer) => void = () => {}): Promise<Peer> {
  const peer = deferred<Peer>();
  backend.onPeer = (found) => {
    backend.onPeer = () => {};
    prepare(found);
    peer.resolve(found);
  };
  return peer.promise;
}

it('authenticates in the first frame, answers pings and matches replies by id', async () => {
  client = await signedIn(backend, { workspaceId: 'w9' });
  const connected = nextPeer();
  const replies = Promise.all([
    client.live.command('campaign.look', { n: 1 }),
    client.live.command('campaign.look', { n: 2 }),
  ]);
  const peer = await connected;
  peer.intercept = (frame) => {
    if (frame['type'] !== 'campaign.look') return false;
    if (frame['n'] !== 2) return true;
    const [first, second] = peer.received('campaign.look');
    for (const held of [second, first]) peer.reply(held?.['id'], { n: held?.['n'] });
    return true;
  };
  expect((await replies).map((reply) => reply['n'])).toEqual([1, 2]);
  expect(peer.frames[0]).toMatchObject({ type: 'auth', token: 'access-1', workspaceId: 'w9' });
  expect(JSON.stringify(peer.frames.slice(1))).not.toContain('access-1');
  const pong = deferred<void>();
  peer.intercept = (frame) => (frame['type'] === 'pong' ? (pong.resolve(), true) : false);
  peer.send({ type: 'ping' });
  await pong.promise;
  expect(peer.received('pong')).toHaveLength(1);
});

it('rejects a command with the problem of its reply', async () => {
  client = await signedIn(backend);
  const gone = deferred<unknown>();
  client.live.subscribe('job:unknown', { onEvent: () => {}, onError: gone.resolve });
  await expect(gone.promise).resolves.toMatchObject({ name: 'ApiError', status: 404, code: 'not_found' });
});

/** Refuses the first `times` submits, and says when each of them came. */
function refusingSubmits(peer: Peer, times: number, more: object): number[] {
  const cameAt: number[] = [];
  peer.intercept = (frame) => {
    if (frame['type'] !== 'submit') return false;
    cameAt.push(performance.now());
    if (cameAt.length > times) return false;
    peer.refuse(frame['id'], 429, 'rate_limited', { ...more });
    return true;
  };
  return cameAt;
}

it('sends what was refused for now again when the refusal says, as the same job', async () => {
  client = await signedIn(backend);
  let cameAt: number[] = [];
  const connected = nextPeer((peer) => (cameAt = refusingSubmits(peer, 2, { retryAfterMs: 80 })));
  client.live.connect();
  const peer = await connected;
  await client.bus.waitFor('socket.state', { where: isState('ready') });
  await client.live.submit('copilot', {}, { onEvent: () => {}, idempotencyKey: 'once' });
  expect(cameAt).toHaveLength(3);
  for (const [at, later] of cameAt.slice(1).entries()) expect(later - (cameAt[at] ?? 0)).toBeGreaterThanOrEqual(79);
  expect(new Set(peer.received('submit').map((frame) => frame['idempotencyKey']))).toEqual(new Set(['once']));
});

it.each([
  ['does not say when', {}],
  ['says a time too far away', { retryAfterMs: 60_000 }],
])('passes on at once a refusal that %s', async (_name, more) => {
  client = await signedIn(backend);
  const connected = nextPeer((peer) => refusingSubmits(peer, 9, more));
  client.live.connect();
  await connected;
  await client.bus.waitFor('socket.state', { where: isState('ready') });
  await expect(client.live.submit('copilot', {}, { onEvent: () => {} })).rejects.toMatchObject({
    name: 'ApiError',
    code: 'rate_limited',
    ...('retryAfterMs' in more ? { retryAfterMs: 60_000 } : {}),
  });
});

it('finds a dead connection by its silence and comes back', async () => {
  backend.heartbeatMs = 20;
  client = await signedIn(backend, { live: { silenceMarginMs: 20 } });
  client.live.connect();
  await client.bus.waitFor('socket.state', { where: isState('ready') });
  await client.bus.waitFor('socket.state', { where: isState('waiting') });
  await client.bus.waitFor('socket.state', { where: isState('ready') });
  expect(states(client).slice(0, 5)).toEqual(['connecting', 'ready', 'waiting', 'connecting', 'ready']);
});

// Again when the machine was busy: it takes a stall for silence.
it('stays while the backend pings', { retry: 3 }, async () => {
  backend.heartbeatMs = 200;
  client = await signedIn(backend, { live: { silenceMarginMs: 400 } });
  const connected = nextPeer();
  client.live.connect();
  const peer = await connected;
  const pongs = deferred<void>();
  let count = 0;
  peer.intercept = (frame) => {
    if (frame['type'] !== 'pong') return false;
    count += 1;
    if (count === 6) pongs.resolve();
    else setTimeout(() => peer.send({ type: 'ping' }), 150);
    return true;
  };
  await client.bus.waitFor('socket.state', { where: isState('ready') });
  peer.send({ type: 'ping' });
  await pongs.promise;
  expect(states(client)).toEqual(['connecting', 'ready']);
});

it('renews a refused token once and goes on', async () => {
  client = await signedIn(backend);
  backend.access.clear();
  client.live.connect();
  await client.bus.waitFor('socket.state', { where: isState('ready') });
  expect(backend.count('POST', '/api/auth/refresh')).toBe(1);
  expect([...backend.peers].at(-1)?.token).toBe('access-2');
});

it('renews the token when an open connection is closed with 4401', async () => {
  client = await signedIn(backend);
  client.live.connect();
  await client.bus.waitFor('socket.state', { where: isState('ready') });
  backend.access.clear();
  for (const peer of backend.peers) peer.socket.close(4401, 'expired');
  await client.bus.waitFor('socket.state', { where: isState('ready') });
  expect([...backend.peers].at(-1)?.token).toBe('access-2');
});

it('stops asking when fresh tokens are refused as well', async () => {
  client = await signedIn(backend);
  backend.onPeer = (peer) => peer.socket.close(4401, 'no');
  const command = client.live.command('look', {});
  await expect(command).rejects.toMatchObject({ name: 'SocketError', code: 'unauthenticated' });
  expect(client.live.state).toBe('stopped');
});

it.each([
  [4400, 'bad_frame'],
  [4403, 'forbidden'],
])('stops with an error at close code %i', async (closeCode, code) => {
  client = await signedIn(backend);
  backend.onPeer = (peer) => peer.socket.close(closeCode, 'no');
  const lost = deferred<unknown>();
  client.live.subscribe('events', { onEvent: () => {}, onError: lost.resolve });
  await expect(client.live.command('look', {})).rejects.toMatchObject({ code, sent: false });
  await expect(lost.promise).resolves.toMatchObject({ code });
  expect(client.live.state).toBe('stopped');
});

it.each([1012, 4413, 4408, 4429, 1006])(
  'comes back after close code %i and resumes by the last id',
  async (closeCode) => {
    client = await signedIn(backend);
    const job = backend.accept('copilot', {}, undefined).start();
    const heard: LiveEvent[] = [];
    client.live.subscribe(`job:${job.id}`, { onEvent: (event) => heard.push(event), lastEventId: '0-0' });
    await client.bus.waitFor('live.job.started');
    const [peer] = backend.peers;
    const next = nextPeer();
    if (closeCode === 1006) peer?.socket.terminate();
    else peer?.socket.close(closeCode, 'later');
    job.chunk('a');
    const resumed = await next;
    await client.bus.waitFor('live.job.chunk');
    expect(resumed.received('subscribe')).toMatchObject([{ lastEventId: '1-2' }]);
    expect(heard.map((event) => event.id)).toEqual(['1-1', '1-2', '1-3']);
  },
);

it('tells no event twice, nor one that comes out of its order', async () => {
  client = await signedIn(backend);
  const heard: string[] = [];
  const connected = nextPeer();
  client.live.subscribe('events', { onEvent: (event) => heard.push(event.id) });
  const peer = await connected;
  await client.bus.waitFor('socket.state', { where: isState('ready') });
  for (const id of ['1-9', '1-9', '1-10', '1-2', '2-1', '1-11']) {
    peer.send({ type: 'event', topic: 'events', id, event: 'contact.created', data: {} });
  }
  peer.send({ type: 'event', topic: 'events', id: '2-2', event: 'last', data: {} });
  await client.bus.waitFor('live.last');
  expect(heard).toEqual(['1-9', '1-10', '2-1', '2-2']);
});

it('gives a later listener of the same topic its own place', async () => {
  client = await signedIn(backend);
  const job = backend.accept('copilot', {}, undefined).start().chunk('a');
  const first: string[] = [];
  const second: string[] = [];
  client.live.subscribe(`job:${job.id}`, { lastEventId: '0-0', onEvent: (event) => first.push(event.id) });
  await client.bus.waitFor('live.job.chunk');
  const done = deferred<void>();
  client.live.subscribe(`job:${job.id}`, {
    lastEventId: '0-0',
    onEvent: (event) => {
      second.push(event.id);
      if (second.length === 3) done.resolve();
    },
  });
  await done.promise;
  expect(first).toEqual(['1-1', '1-2', '1-3']);
  expect(second).toEqual(['1-1', '1-2', '1-3']);
});

it('sends auth again with a fresh token before the old one expires', async () => {
  const soon = { ...backend.issue(), refreshAt: Date.now() + 1000, expiresAt: Date.now() + 60_000 };
  client = newClient(backend, { tokens: soon });
  const connected = nextPeer();
  client.live.connect();
  const peer = await connected;
  const again = deferred<void>();
  peer.intercept = (frame) => {
    if (frame['type'] === 'auth' && frame['token'] === 'access-2') again.resolve();
    return false;
  };
  await again.promise;
  expect(peer.received('auth').map((frame) => frame['token'])).toEqual(['access-1', 'access-2']);
  expect(states(client)).toEqual(['connecting', 'ready']);
});

it('submits once although the reply was lost', async () => {
  client = await signedIn(backend);
  let losses = 2;
  backend.onPeer = (peer) => {
    peer.intercept = (frame) => {
      if (frame['type'] !== 'submit' || losses === 0) return false;
      losses -= 1;
      backend.accept('copilot', frame['input'], String(frame['idempotencyKey']));
      peer.socket.terminate();
      return true;
    };
  };
  const { jobId } = await client.live.submit('copilot', { context: 'Oi' });
  expect([...backend.jobs.keys()]).toEqual([jobId]);
});

it('does not repeat a command that could act twice', async () => {
  client = await signedIn(backend);
  backend.onPeer = (peer) => {
    peer.intercept = (frame) => (frame['type'] === 'channel.begin' ? (peer.socket.terminate(), true) : false);
  };
  const begun = client.live.command('channel.begin', { itemId: 'i' });
  await expect(begun).rejects.toMatchObject({ code: 'reply_lost', sent: true });
});

it('lets a command wait while offline, for a bounded time, or rejects it at once', async () => {
  client = await signedIn(backend);
  backend.onPeer = (peer) => peer.socket.terminate();
  const waiting = client.live.command('look', {}, { offlineWaitMs: 40 });
  await expect(waiting).rejects.toMatchObject({ code: 'offline', sent: false });
  await expect(client.live.command('look', {}, { offline: 'reject' })).rejects.toMatchObject({ code: 'offline' });
  const abort = new AbortController();
  const taken = client.live.command('look', {}, { signal: abort.signal });
  abort.abort(new Error('never mind'));
  await expect(taken).rejects.toThrow('never mind');
  const kept = client.live.command('look', {});
  backend.onPeer = () => {};
  await expect(kept).resolves.toMatchObject({ ok: true });
});

it('refuses a frame that is too large before it costs the connection', async () => {
  client = await signedIn(backend);
  const large = client.live.submit('copilot', { context: 'ã'.repeat(140_000) });
  await expect(large).rejects.toMatchObject({ code: 'too_large' });
});

it('ends all that waits when it is closed', async () => {
  client = await signedIn(backend);
  backend.onPeer = (peer) => {
    peer.intercept = (frame) => frame['type'] === 'look';
  };
  const waiting = client.live.command('look', {});
  await client.bus.waitFor('socket.state', { where: isState('ready') });
  client.close();
  await expect(waiting).rejects.toMatchObject({ code: 'closed' });
  expect(client.live.state).toBe('idle');
});
