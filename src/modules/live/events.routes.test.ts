import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket as Socket } from 'ws';
import { openPool } from '#src/db/pool.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { EVENT_TYPES, EVENTS, isPersonal, type EventType } from '#src/events/catalog.ts';
import { createEventRelay } from '#src/events/relay.ts';
import { createHinter } from '#src/events/hint.ts';
import { enrolConsumer } from '#src/events/relay.query.ts';
import { ROLES } from '#src/http/access-token.ts';
import { isAtLeast, isPermission, leastRole, SCOPES, scopeOf } from '#src/http/permissions.ts';
import { createMetrics } from '#src/lib/metrics.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { aUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { makeWorld, type World } from '#test/isolation/world.ts';

let test: TestApp;
let world: World;
let url: string;
let pool: ReturnType<typeof openPool>;
let publish: () => Promise<void>;

beforeAll(async () => {
  test = await openTestApp();
  world = await makeWorld(test);
  url = await test.app.listen({ host: '127.0.0.1', port: 0 });
  pool = openPool(test.config, { name: 'relay', role: 'wh_system', max: 3 }, test.rt.log);
  const hinter = createHinter(test.rt.redis, test.config.REDIS_PREFIX, () => undefined);
  await enrolConsumer(pool, hinter.name);
  const relay = createEventRelay({ pool, consumers: [hinter], log: test.rt.log, metrics: createMetrics('test') });
  publish = async () => {
    await relay.place();
    while ((await relay.consume(hinter)) > 0);
  };
});
afterAll(async () => {
  await pool.end();
  await test.close();
});

/** Writes an event as any writer of any type would; what it says does not matter to who sees it. */
async function record(type: string, actorId: string | null, data: object = {}): Promise<void> {
  await test.rt.systemPool.query(
    'insert into outbox_event (workspace_id, id, type, actor_id, data) values ($1, uuidv7(), $2, $3, $4)',
    [world.id, type, actorId, JSON.stringify(data)],
  );
}

interface Told {
  id: string;
  event: string;
  data: Record<string, unknown>;
}

/** What `GET /api/events?follow=false` tells somebody. */
async function toldTo(headers: Record<string, string>, from = '0'): Promise<Told[]> {
  const answer = await fetch(`${url}/api/events?follow=false`, { headers: { ...headers, 'last-event-id': from } });
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
  return (await answer.text()).split('\n\n').flatMap((block) => {
    const [, id = '', event = '', data = ''] = /^id: (.*)\nevent: (.*)\ndata: (.*)$/.exec(block) ?? [];
    return event === '' ? [] : [{ id, event, data: JSON.parse(data) as Record<string, unknown> }];
  });
}

const here = (headers: Record<string, string>) => ({ ...headers, 'x-workspace-id': world.id });
const seen = async (headers: Record<string, string>): Promise<string[]> => [
  ...new Set(
    (await toldTo(headers)).map(({ event }) => event).filter((type) => EVENT_TYPES.some((one) => one === type)),
  ),
];
const personalTo = async (headers: Record<string, string>): Promise<number> =>
  (await toldTo(headers)).filter(({ event }) => event === 'notification.created').length;
const isLimited = (type: EventType) => isPermission(`${EVENTS[type].permission.split(':')[0]}:all`);
const typesWhere = (sees: (type: EventType) => boolean) =>
  EVENT_TYPES.filter((type) => !isPersonal(type) && sees(type));

describe('who sees what', () => {
  const kinds = [...new Set(EVENT_TYPES.map((type) => EVENTS[type].permission))];
  let owner: string;
  beforeAll(async () => {
    owner = world.people.owner.user.id;
    for (const type of EVENT_TYPES) await record(type, owner);
    await record('thing.of_tomorrow', owner);
    await publish();
  });
  it.each(ROLES)('each type by the role %s', async (role) => {
    const types = await seen(here(world.people[role].headers));
    expect(types.toSorted()).toEqual(
      typesWhere((type) => isAtLeast(role, leastRole(EVENTS[type].permission))).toSorted(),
    );
  });

  it.each(SCOPES)('each type by a key with the scope %s', async (scope) => {
    const { secret } = await world.apiKey([scope]);
    const types = await seen({ authorization: `Bearer ${secret}` });
    const ofScope = (type: EventType): boolean => {
      const needed = scopeOf(EVENTS[type].permission);
      return needed !== null && (scope === '*' || scope === needed);
    };
    expect(types.toSorted()).toEqual(typesWhere(ofScope).toSorted());
  });

  it.each(kinds)('nothing of what takes %s by whom it is denied', async (permission) => {
    const person = await world.join('admin');
    await test.rt.systemPool.query('update member set denies = $2 where user_id = $1', [person.user.id, [permission]]);
    const types = await seen(here(person.headers));
    expect(types.toSorted()).toEqual(typesWhere((type) => EVENTS[type].permission !== permission).toSorted());
  });

  it('only their own by whoever is limited to it', async () => {
    const person = await world.join('member');
    await test.rt.systemPool.query(`update member set denies = '{jobs:all}' where user_id = $1`, [person.user.id]);
    await record('ai.job.completed', person.user.id, { jobId: 'own' });
    await publish();
    const told = await toldTo(here(person.headers));
    expect(told.filter(({ event }) => event.startsWith('ai.job.')).map(({ data }) => data['jobId'])).toEqual(['own']);
    // What there is no such limit for they see of all.
    const free = typesWhere((type) => !isLimited(type) && isAtLeast('member', leastRole(EVENTS[type].permission)));
    expect(told.map(({ event }) => event).filter((type) => !type.startsWith('ai.job.'))).toEqual(
      expect.arrayContaining(free),
    );
  });

  it('what is for one person, by that person alone, and by no key of theirs', async () => {
    const { owner: boss, admin } = world.people;
    const data = { notificationId: boss.user.id, kind: 'reminder', recipientId: admin.user.id };
    await record('notification.created', boss.user.id, data);
    await publish();
    expect(await personalTo(here(admin.headers))).toBe(1);
    expect(await personalTo(here(boss.headers))).toBe(0);
    await record('notification.created', admin.user.id, { ...data, recipientId: boss.user.id });
    await publish();
    expect(await personalTo(here(boss.headers))).toBe(1);
    const { secret } = await world.apiKey(['*']);
    expect(await personalTo({ authorization: `Bearer ${secret}` })).toBe(0);
  });

  it('nothing of another workspace, whatever place is named', async () => {
    const stranger = await aUser(test.rt);
    expect(await toldTo(stranger.headers)).toEqual([]);
    const answer = await fetch(`${url}/api/events?follow=false`, { headers: here(stranger.headers) });
    expect(answer.status).toBe(404);
  });
});

it('an event says what happened, its id, when and who', async () => {
  const [from = ''] = (await toldTo(world.people.owner.headers)).slice(-1).map(({ id }) => id);
  const actorId = world.people.admin.user.id;
  await inWorkspaceTx(test.rt.orm, { workspaceId: world.id }, (em) =>
    emitEvent(em, { type: 'member.changed', data: { userId: actorId, role: 'viewer' }, subjectId: null, actorId }),
  );
  await publish();
  const [told] = await toldTo(world.people.owner.headers, from);
  expect(told).toMatchObject({ event: 'member.changed', data: { userId: actorId, role: 'viewer', actorId } });
  expect(Object.keys(told?.data ?? {}).toSorted()).toEqual(['actorId', 'id', 'occurredAt', 'role', 'userId']);
  expect(new Date(String(told?.data['occurredAt'])).toISOString()).toBe(told?.data['occurredAt']);
  // These stand beside what the event itself says.
  for (const type of EVENT_TYPES) {
    const names = Object.keys(EVENTS[type].data.shape);
    expect(names).not.toEqual(expect.arrayContaining([expect.stringMatching(/^(id|occurredAt|actorId)$/)]));
  }
});

it('what is no place is refused', async () => {
  const { headers } = world.people.owner;
  for (const id of ['1-42', 'x', '-1', '99999999999999999']) {
    const answer = await fetch(`${url}/api/events`, { headers: { ...headers, 'last-event-id': id } });
    expect(answer.status).toBe(400);
  }
});

type Frame = Record<string, unknown>;

async function aSocket(headers: { authorization: string }, auth: Frame = {}) {
  const socket = new Socket(`${url.replace('http', 'ws')}/api/ws`);
  await once(socket, 'open');
  const frames: Frame[] = [];
  const waiting = new Map<unknown, (frame: Frame) => void>();
  socket.on('message', (bytes: Buffer) => {
    const frame = JSON.parse(bytes.toString()) as Frame;
    if (frame['type'] === 'reply') waiting.get(frame['id'])?.(frame);
    else if (frame['type'] === 'event') frames.push(frame);
  });
  let id = 0;
  const send = (frame: Frame): Promise<Frame> => {
    id += 1;
    const { promise, resolve } = Promise.withResolvers<Frame>();
    waiting.set(id, resolve);
    socket.send(JSON.stringify({ ...frame, id }));
    return promise;
  };
  const token = headers.authorization.replace('Bearer ', '');
  const welcome = await send({ type: 'auth', token, workspaceId: world.id, ...auth });
  return { socket, frames, send, welcome, names: () => frames.map(({ event }) => event) };
}

describe('a socket that follows events', () => {
  it('is told where it begins, resumes from there by `auth` as by `subscribe`, and refuses what is no place', async () => {
    const first = await aSocket(world.people.owner.headers);
    const { ok, lastEventId } = await first.send({ type: 'subscribe', topic: 'events' });
    expect([ok, typeof lastEventId]).toEqual([true, 'string']);
    first.socket.terminate();
    await record('workspace.changed', null, { changed: ['name'] });
    await publish();
    const second = await aSocket(world.people.owner.headers, { lastEventId });
    expect(second.welcome).toMatchObject({ ok: true, role: 'owner', lastEventId });
    await expect.poll(second.names).toEqual(['workspace.changed']);
    const third = await aSocket(world.people.owner.headers);
    expect(await third.send({ type: 'subscribe', topic: 'events', lastEventId })).toMatchObject({
      ok: true,
      lastEventId,
    });
    await expect.poll(() => third.frames).toEqual(second.frames);
    for (const bad of [
      { topic: 'events', lastEventId: '1-2' },
      { topic: `job:${await world.job()}`, lastEventId: '2' },
    ]) {
      expect(await third.send({ type: 'subscribe', ...bad })).toMatchObject({ problem: { status: 400 } });
    }
    expect(await third.send({ type: 'unsubscribe', topic: 'events' })).toMatchObject({ ok: true });
    await record('workspace.changed', null, { changed: ['country'] });
    await publish();
    await expect.poll(second.names).toHaveLength(2);
    expect(third.frames).toHaveLength(1);
    for (const { socket } of [second, third]) socket.close();
    await expect.poll(() => test.rt.events.counts()).toEqual({ workspaces: 0, watchers: 0 });
  });

  // Again when the machine was busy: what broke would be late each time.
  it(
    'hears no more, within two seconds, of what it may no longer see, and goes on with the rest',
    { retry: 3 },
    async () => {
      const person = await world.join('member');
      const { socket, send, names } = await aSocket(person.headers);
      await send({ type: 'subscribe', topic: 'events' });
      await record('member.joined', null);
      await publish();
      await expect.poll(names).toEqual(['member.joined']);
      await test.rt.systemPool.query(`update member set denies = '{members:read}' where user_id = $1`, [
        person.user.id,
      ]);
      await new Promise((resolve) => setTimeout(resolve, 2000));
      await record('member.removed', null);
      await record('workspace.changed', null);
      await publish();
      await expect.poll(names).toEqual(['member.joined', 'workspace.changed']);
      const closed = once(socket, 'close');
      const membership = [world.id, person.user.id];
      await test.rt.systemPool.query('delete from member where workspace_id = $1 and user_id = $2', membership);
      expect((await closed)[0]).toBe(4403);
    },
  );

  it('may read slowly: it holds nobody up, costs little, and misses nothing', async () => {
    const slow = await aSocket(world.people.owner.headers);
    const fast = await aSocket(world.people.admin.headers);
    for (const { send } of [slow, fast]) await send({ type: 'subscribe', topic: 'events' });
    slow.socket.pause();
    const text = 'x'.repeat(4000);
    const total = 4000;
    for (let at = 0; at < total; at += 500) {
      await test.rt.systemPool.query(
        `insert into outbox_event (workspace_id, id, type, data) select $1, uuidv7(), 'workspace.changed',
          json_build_object('changed', json_build_array(n::text, $2::text)) from generate_series($3::int, $4::int) n`,
        [world.id, text, at, at + 499],
      );
      await publish();
    }
    await expect.poll(() => fast.frames.length).toBe(total);
    const waiting = [...test.app.websocketServer.clients].map(({ bufferedAmount }) => bufferedAmount);
    expect(Math.max(...waiting)).toBeGreaterThan(100_000);
    expect(Math.max(...waiting)).toBeLessThan(1_048_576);
    slow.socket.resume();
    await expect.poll(() => slow.frames.length).toBe(total);
    expect(slow.frames.map(({ id }) => id)).toEqual(fast.frames.map(({ id }) => id));
    for (const { socket } of [slow, fast]) socket.close();
  });
});

it('a stream of events goes on until its reader is signed out, and begins with the place to resume from', async () => {
  const person = await world.join('member');
  const headers = { ...person.headers, 'x-workspace-id': world.id };
  const answer = await fetch(`${url}/api/events`, { headers });
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const readOn = async (until: RegExp): Promise<void> => {
    while (!until.test(text)) text += (await reader?.read())?.value ?? '';
  };
  await readOn(/^id: \d+\n\n/);
  await record('workspace.changed', null, { changed: ['name'] });
  await publish();
  await readOn(/event: workspace\.changed\n.*"changed":\["name"\].*\n\n/);
  await test.app.inject({ method: 'POST', url: '/api/auth/logout', headers: person.headers });
  while (!(await reader?.read())?.done);
  await expect.poll(() => test.rt.events.counts().watchers).toBe(0);
});
