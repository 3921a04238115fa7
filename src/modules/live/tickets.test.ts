import { once } from 'node:events';
import { WebSocket as Socket } from 'ws';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { aMember, aUser, type TestUser } from '../../../test/factories.ts';
import { openTestApp, type TestApp } from '../../../test/harness.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { Member } from '#src/modules/workspaces/member.entity.ts';

const ORIGIN = 'chrome-extension://folckeokleebgjnikcacfnihohjnmkdo';

let test: TestApp;
let url: string;
beforeAll(async () => {
  test = await openTestApp();
  url = (await test.app.listen({ host: '127.0.0.1', port: 0 })).replace('http', 'ws');
});
afterAll(() => test.close());

type Frame = Record<string, unknown>;

async function aSocket(auth: Frame, origin?: string) {
  const socket = new Socket(`${url}/api/ws`, origin === undefined ? {} : { origin });
  const closed = once(socket, 'close').then(([code]) => Number(code));
  await once(socket, 'open');
  let id = 0;
  const send = async (frame: Frame): Promise<Frame> => {
    id += 1;
    const own = id;
    socket.send(JSON.stringify({ ...frame, id: own }));
    for (;;) {
      const [bytes] = await once(socket, 'message');
      const heard = JSON.parse(String(bytes)) as Frame;
      if (heard['type'] === 'reply' && heard['id'] === own) return heard;
    }
  };
  return { reply: await send({ type: 'auth', ...auth }), send, closed, close: () => socket.close() };
}

const aTicket = async (user: TestUser, headers: Record<string, string> = {}): Promise<string> =>
  (await test.app.inject({ method: 'POST', url: '/api/ws/ticket', headers: { ...user.headers, ...headers } })).json()
    .ticket;

const submit = { type: 'submit', engine: 'sentiment', input: { text: 'Adorei!' } };

it('opens one socket, however many try at once', async () => {
  const user = await aUser(test.rt);
  const ticket = await aTicket(user);
  const sockets = await Promise.all(Array.from({ length: 50 }, () => aSocket({ ticket })));
  const opened = sockets.filter(({ reply }) => reply['ok'] === true);
  expect(opened).toHaveLength(1);
  expect(opened[0]?.reply).toMatchObject({ userId: user.user.id, workspaceId: user.workspace.id, role: 'owner' });
  expect(await opened[0]?.send(submit)).toMatchObject({ ok: true });
  const refused = sockets.filter((socket) => socket !== opened[0]);
  for (const { reply, closed } of refused) {
    expect(reply).toMatchObject({ ok: false, problem: { code: 'invalid_ticket', status: 401 } });
    expect(await closed).toBe(4401);
  }
  opened[0]?.close();
});

it('works only where it was asked for, only with one proof, and leaves no trace of itself', async () => {
  const user = await aUser(test.rt);
  const elsewhere = await aSocket({ ticket: await aTicket(user, { origin: ORIGIN }) });
  expect(elsewhere.reply).toMatchObject({ ok: false, problem: { code: 'invalid_ticket' } });
  const ticket = await aTicket(user, { origin: ORIGIN });
  const kept = await test.rt.redis.keys(`{${test.config.REDIS_PREFIX}}:ticket:*`);
  expect(kept).toHaveLength(1);
  expect(kept[0]).not.toContain(ticket);
  expect(await test.rt.redis.ttl(kept[0] ?? '')).toBeLessThanOrEqual(30);
  const both = await aSocket({ ticket, token: user.token }, ORIGIN);
  expect(both.reply).toMatchObject({ ok: false, problem: { code: 'validation_failed' } });
  const here = await aSocket({ ticket }, ORIGIN);
  expect(here.reply).toMatchObject({ ok: true });
  here.close();
});

it('is not given for a session that has ended', async () => {
  const user = await aUser(test.rt);
  const ticket = await aTicket(user);
  await test.app.inject({ method: 'POST', url: '/api/auth/logout-all', headers: user.headers });
  await vi.waitFor(async () => {
    const { statusCode } = await test.app.inject({ method: 'POST', url: '/api/ws/ticket', headers: user.headers });
    expect(statusCode).toBe(401);
  }, 60_000);
  expect((await aSocket({ ticket })).reply).toMatchObject({ ok: false, problem: { code: 'session_ended' } });
});

// Again when the machine was busy: what broke would be late each time.
it(
  'closes open sockets within two seconds of a logout, a revoked key, a removal; a new role holds as soon',
  { retry: 3 },
  async () => {
    const owner = await aUser(test.rt);
    const person = await aUser(test.rt);
    await aMember(test.rt, owner.workspace.id, person.user.id, 'member');
    const make = { method: 'POST', url: '/api/api-keys', headers: owner.headers } as const;
    const key = (await test.app.inject({ ...make, payload: { name: 'k', scopes: ['*'] } })).json();
    const own = await aSocket({ token: owner.token });
    const keyed = await aSocket({ token: key.secret });
    const guest = await aSocket({ token: person.token, workspaceId: owner.workspace.id });
    for (const { reply } of [own, keyed, guest])
      expect(reply).toMatchObject({ ok: true, workspaceId: owner.workspace.id });
    const scope = { workspaceId: owner.workspace.id };
    const change = (work: (em: Parameters<Parameters<typeof inWorkspaceTx>[2]>[0]) => Promise<unknown>) =>
      inWorkspaceTx(test.rt.orm, scope, work);

    await change((em) => em.nativeUpdate(Member, { user: person.user.id }, { role: 'viewer' }));
    await vi.waitFor(async () => expect(await guest.send(submit)).toMatchObject({ problem: { status: 403 } }), 60_000);
    await change((em) => em.nativeDelete(Member, { user: person.user.id }));
    expect(await within(guest.closed)).toBe(4403);

    await test.app.inject({ method: 'DELETE', url: `/api/api-keys/${key.id}`, headers: owner.headers });
    expect(await within(keyed.closed)).toBe(4401);
    await test.app.inject({ method: 'POST', url: '/api/auth/logout', headers: owner.headers });
    expect(await within(own.closed)).toBe(4401);
  },
);

const within = (closed: Promise<number>) =>
  Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 2500, 'still open'))]);
