import { afterEach, beforeEach, expect, it } from 'vitest';
import { newClient, signedIn } from '../test/client.ts';
import { Loopback } from '../test/loopback.ts';
import type { Peer } from '../test/peer.ts';
import type { BackendClient } from './client.ts';
import { deferred } from './timing.ts';

let backend: Loopback;
let client: BackendClient;

beforeEach(async () => {
  backend = await Loopback.open();
});
afterEach(async () => {
  client.close();
  await backend.close();
});

const MARK = { id: 'e', occurredAt: '2026-11-26T00:00:00.000Z', actorId: null };

/** Has the backend begin the topic at 7 for those who come without a place; resolves with the peer and where it was told to begin. */
function subscribed(): Promise<{ peer: Peer; lastEventId: unknown }> {
  const { promise, resolve } = deferred<{ peer: Peer; lastEventId: unknown }>();
  backend.onPeer = (peer) => {
    peer.intercept = ({ type, topic, id, lastEventId }) => {
      if (type !== 'subscribe' || topic !== 'events') return false;
      peer.reply(id, { lastEventId: lastEventId ?? '7' });
      resolve({ peer, lastEventId });
      return true;
    };
  };
  return promise;
}

const tell = (peer: Peer, id: string, event: string, data: object = {}) =>
  peer.send({ type: 'event', topic: 'events', id, event, data: { ...data, ...MARK } });

it('tells each listener what fits its pattern, and stops following with the last of them', async () => {
  client = await signedIn(backend);
  const first = subscribed();
  const heard: string[] = [];
  const stops = [
    client.events.on('member.*', ({ event, data }) => heard.push(`${event} ${data.userId}`)),
    client.events.on('workspace.changed', ({ data }) => heard.push(data.changed.join())),
    client.events.on('**', ({ event }) => heard.push(`any ${event}`)),
  ];
  const { peer } = await first;
  tell(peer, '8', 'member.joined', { userId: 'u1', role: 'viewer' });
  tell(peer, '9', 'workspace.changed', { changed: ['name'] });
  tell(peer, '10', 'ai.job.failed');
  await client.bus.waitFor('live.ai.job.failed');
  expect(heard).toEqual([
    'member.joined u1',
    'any member.joined',
    'name',
    'any workspace.changed',
    'any ai.job.failed',
  ]);
  expect(peer.received('subscribe')).toHaveLength(1);
  for (const stop of stops) stop();
  await expect.poll(() => peer.received('unsubscribe')).toMatchObject([{ topic: 'events' }]);
  expect(client.events.lastEventId).toBe('10');
});

it('resumes where the backend began, although nothing was heard, and behind the last event otherwise', async () => {
  client = await signedIn(backend);
  let next = subscribed();
  const heard: string[] = [];
  client.events.on('**', ({ event }) => heard.push(event));
  const places: unknown[] = [];
  for (let round = 0; round < 3; round += 1) {
    const { peer, lastEventId } = await next;
    places.push(lastEventId);
    next = subscribed();
    if (round === 1) {
      tell(peer, '12', 'member.changed', { userId: 'u', role: 'admin' });
      await client.bus.waitFor('live.member.changed');
    }
    peer.socket.close(1012, 'restarting');
  }
  places.push((await next).lastEventId);
  expect(places).toEqual([undefined, '7', '12', '12']);
  expect(heard).toEqual(['member.changed']);
});

it('says where history was lost, and goes on from there', async () => {
  client = await signedIn(backend);
  const first = subscribed();
  client.events.resumeFrom('3');
  const lost: string[] = [];
  const heard: string[] = [];
  client.events.onResync((id) => lost.push(id));
  client.events.on('**', ({ event }) => heard.push(event));
  const { peer, lastEventId } = await first;
  expect(lastEventId).toBe('3');
  // Also to a place below the one it came with: the backend may have been set up anew.
  tell(peer, '2', 'resync');
  tell(peer, '3', 'member.removed', { userId: 'u', role: 'member' });
  await client.bus.waitFor('live.member.removed');
  expect(lost).toEqual(['2']);
  expect(heard).toEqual(['member.removed']);
  expect(client.events.lastEventId).toBe('3');
});

it('begins anew for whoever signs in next', async () => {
  client = await signedIn(backend);
  const first = subscribed();
  client.events.on('**', () => {});
  const { peer } = await first;
  tell(peer, '30', 'member.joined', { userId: 'u', role: 'viewer' });
  await client.bus.waitFor('live.member.joined');
  const second = subscribed();
  await client.login({ email: 'ana@example.com', password: 'right password' });
  expect((await second).lastEventId).toBeUndefined();
});

it('needs a WebSocket', () => {
  client = newClient(backend, { WebSocket: null });
  expect(() => client.events.on('**', () => {})).toThrow(TypeError);
});
