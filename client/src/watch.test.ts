import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newClient, signedIn } from '../test/client.ts';
import { Loopback } from '../test/loopback.ts';
import type { Peer } from '../test/peer.ts';
import type { BackendClient } from './client.ts';
import type { Operation } from './crm-types.ts';
import { ApiError, NetworkError } from './errors.ts';

type State = Pick<Operation, 'status' | 'done'>;
const PATH = '/api/operations/1';
const NEVER_MS = 600_000;
const ABOUT = {
  path: PATH,
  events: 'operation.progressed',
  isOver: ({ status }: State) => status !== 'active',
} as const;

let backend: Loopback;
let client: BackendClient;
let state: State;
let peer: Peer | undefined;

beforeEach(async () => {
  backend = await Loopback.open();
  state = { status: 'active', done: 0 };
  peer = undefined;
  backend.route('GET', PATH, ({ json }) => json(200, state));
  backend.onPeer = (next) => (peer = next);
});
afterEach(async () => {
  client.close();
  await backend.close();
});

const readings = () => backend.count('GET', PATH);
const isAbout = ({ data }: { data: { operationId: string } }) => data.operationId === '1';
async function isFollowed(): Promise<void> {
  await expect.poll(() => peer?.received('subscribe').length).toBe(1);
}
const tell = (id: string, operationId: string) =>
  peer?.send({ type: 'event', topic: 'events', id, event: 'operation.progressed', data: { operationId } });

/** Watches into a list. */
function collect(watching: AsyncIterable<State>) {
  const told: State[] = [];
  const ended = (async () => {
    for await (const one of watching) told.push(one);
  })();
  return { told, ended, done: () => told.map(({ done }) => done) };
}

describe('watching', () => {
  it('looks when an event is about it, tells each state once, and ends after the last', async () => {
    client = await signedIn(backend);
    const { done, ended } = collect(
      client.watch<State, 'operation.progressed'>({ ...ABOUT, isAbout }, { pollMs: NEVER_MS }),
    );
    await isFollowed();
    // The first look, and the one after the connection was there.
    await expect.poll(readings).toBe(2);
    expect(done()).toEqual([0]);
    state = { status: 'active', done: 5 };
    tell('1', 'another');
    tell('2', '1');
    await expect.poll(done).toEqual([0, 5]);
    state = { status: 'completed', done: 9 };
    for (const id of ['3', '4', '5', '6']) tell(id, '1');
    await ended;
    expect(done()).toEqual([0, 5, 9]);
    expect(readings()).toBe(4);
  });

  it('waits for a backend that is away, and misses nothing that lasts', async () => {
    client = await signedIn(backend);
    const troubles: unknown[] = [];
    const onTrouble = (error: unknown) => troubles.push(error);
    const { done, ended } = collect(client.watch<State, 'operation.progressed'>(ABOUT, { pollMs: 20, onTrouble }));
    await expect.poll(done).toEqual([0]);
    backend.intercept = ({ path, cut, problem }) => {
      if (path !== PATH) return undefined;
      if (troubles.length === 0) cut();
      else problem(503, 'overloaded', { 'retry-after': '1' });
      return 'handled';
    };
    await expect.poll(() => troubles.length).toBe(2);
    state = { status: 'completed', done: 3 };
    backend.intercept = () => undefined;
    await ended;
    expect(done()).toEqual([0, 3]);
    expect(troubles[0]).toBeInstanceOf(NetworkError);
    expect(troubles[1]).toMatchObject({ status: 503 });
  });

  it('ends with what is final: that it is gone, or that nobody wants to know', async () => {
    client = await signedIn(backend, { WebSocket: null });
    const stop = new AbortController();
    const left = collect(client.watch<State, 'operation.progressed'>(ABOUT, { signal: stop.signal, pollMs: NEVER_MS }));
    await expect.poll(left.done).toEqual([0]);
    stop.abort(new Error('enough'));
    await expect(left.ended).rejects.toThrow('enough');
    const gone = collect(client.watch<State, 'operation.progressed'>({ ...ABOUT, path: '/api/operations/2' }));
    await expect(gone.ended).rejects.toMatchObject({ status: 404 });
  });

  it('looks from time to time where there is no socket', async () => {
    client = await signedIn(backend, { WebSocket: null });
    const { done, ended } = collect(client.watch<State, 'operation.progressed'>(ABOUT, { pollMs: 20 }));
    await expect.poll(done).toEqual([0]);
    state = { status: 'failed', done: 1 };
    await ended;
    expect(done()).toEqual([0, 1]);
  });
});

describe('a request', () => {
  it('sends a file as it is, also again', async () => {
    client = await signedIn(backend);
    let tries = 0;
    backend.route('POST', '/api/imports', ({ json, body, headers, cut }) => {
      tries += 1;
      if (tries === 1) cut();
      else json(201, { body, type: headers['content-type'] });
    });
    const file = new Blob(['{"as":"it is"}'], { type: 'text/csv' });
    expect(await client.request('POST', '/api/imports', file)).toEqual({ body: { as: 'it is' }, type: 'text/csv' });
    expect(tries).toBe(2);
  });

  it('hands out an answer unread', async () => {
    client = await signedIn(backend);
    backend.route('GET', '/api/imports/1/rejected.csv', ({ json }) => json(200, ['a file']));
    const answer = await client.download('/api/imports/1/rejected.csv');
    expect(await answer.text()).toBe('["a file"]');
  });

  it('says why an API key was refused, and does not try to renew it', async () => {
    client = newClient(backend, { tokens: { token: 'wh_live_revoked' } });
    const refused = client.request('GET', PATH);
    await expect(refused).rejects.toThrow(ApiError);
    await expect(refused).rejects.toMatchObject({ status: 401, code: 'unauthenticated' });
    expect(readings()).toBe(1);
  });

  it('ends with what its reader thinks of an answer, instead of asking for ever', async () => {
    client = await signedIn(backend);
    const broken = { ...ABOUT, isOver: () => expect.fail('no such state') };
    await expect(collect(client.watch<State, 'operation.progressed'>(broken)).ended).rejects.toThrow('no such state');
    backend.route('GET', PATH, ({ response }) => response.writeHead(204).end());
    const { told, ended } = collect(client.watch<State, 'operation.progressed'>({ ...ABOUT, isOver: () => true }));
    await ended;
    expect(told).toEqual([undefined]);
  });
});
