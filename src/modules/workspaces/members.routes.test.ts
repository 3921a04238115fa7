import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { aMember, aUser, onPlan, type TestUser } from '../../../test/factories.ts';
import { openTestApp, type TestApp } from '../../../test/harness.ts';
import type { Role } from '#src/http/access-token.ts';
import { ROLES } from '#src/http/access-token.ts';
import { openMail } from '#src/modules/mail/sealed-mail.ts';

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp();
});
afterAll(() => test.close());

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
const send = async (method: Method, path: string, { headers }: Pick<TestUser, 'headers'>, payload?: object) => {
  const answer = await test.app.inject({ method, url: `/api/${path}`, headers, ...(payload ? { payload } : {}) });
  return { status: answer.statusCode, body: answer.json() };
};
const statusOf = async (...request: Parameters<typeof send>) => (await send(...request)).status;

const sorted = (numbers: number[]) => numbers.toSorted((a, b) => a - b);

/** A workspace with a member of each role. */
async function aTeam() {
  const owner = await aUser(test.rt);
  const people = new Map<Role, TestUser>([['owner', owner]]);
  for (const role of ['admin', 'member', 'viewer'] as const) {
    const person = await aUser(test.rt);
    await aMember(test.rt, owner.workspace.id, person.user.id, role);
    people.set(role, person);
  }
  await onPlan(test.rt, owner.workspace.id, 'free', { limits: { members: 5 } });
  const of = (role: Role): TestUser => people.get(role) ?? owner;
  return { of, id: owner.workspace.id, path: `workspaces/${owner.workspace.id}` };
}

/** What the last mail to an address says. */
async function lastMail(email: string) {
  const { rows } = await test.rt.systemPool.query(
    'select id, subject, recipient, body from outgoing_mail order by id desc',
  );
  const mails = rows.map((row) => openMail(test.config.APP_SECRET, row));
  return mails.find(({ to }) => to === email);
}
const tokenFor = async (email: string) => /#token=([\w-]+)/.exec((await lastMail(email))?.text ?? '')?.[1] ?? '';

const friend = (role: Role) => ({ email: `friend-${crypto.randomUUID()}@example.com`, role });

describe('members', () => {
  it('are listed for all of the workspace, and for nobody else', async () => {
    const team = await aTeam();
    for (const role of ROLES) {
      const { status, body } = await send('GET', `${team.path}/members`, team.of(role));
      expect(status).toBe(200);
      expect(body.data).toHaveLength(4);
      expect(body.data.map((one: { role: Role }) => one.role).toSorted()).toEqual(ROLES.toSorted());
    }
    expect(await statusOf('GET', `${team.path}/members`, await aUser(test.rt))).toBe(404);
    const first = (await send('GET', `${team.path}/members?limit=3`, team.of('viewer'))).body;
    const next = (await send('GET', `${team.path}/members?limit=3&cursor=${first.page.nextCursor}`, team.of('viewer')))
      .body;
    expect(new Set([...first.data, ...next.data].map((one: { userId: string }) => one.userId)).size).toBe(4);
  });

  it.each([
    ['viewer', 'member', { role: 'viewer' }, 403],
    ['member', 'viewer', { role: 'admin' }, 403],
    ['admin', 'owner', { role: 'member' }, 403],
    ['admin', 'member', { role: 'owner' }, 403],
    ['admin', 'member', { role: 'admin' }, 200],
    ['admin', 'viewer', { grants: ['ai:run'], denies: ['jobs:all'] }, 200],
    ['admin', 'viewer', { grants: ['workspace:delete'] }, 403],
    ['owner', 'viewer', { grants: ['workspace:delete'] }, 200],
    ['owner', 'viewer', { grants: ['everything'] }, 400],
    ['owner', 'admin', { role: 'owner' }, 200],
    ['owner', 'owner', { role: 'viewer' }, 409],
    ['owner', 'viewer', {}, 400],
  ] as const)('%s changes %s to %j: %i', async (by, whom, patch, status) => {
    const team = await aTeam();
    const target = team.of(whom).user.id;
    const answer = await send('PATCH', `${team.path}/members/${target}`, team.of(by), patch);
    expect(answer.status).toBe(status);
    if (status === 200) expect(answer.body).toMatchObject(patch);
    if (status === 409) expect(answer.body.code).toBe('last_owner');
  });

  it('cannot lift what was denied to them', async () => {
    const team = await aTeam();
    const own = `${team.path}/members/${team.of('admin').user.id}`;
    expect(await statusOf('PATCH', own, team.of('owner'), { denies: ['audit:read'] })).toBe(200);
    await vi.waitFor(
      async () => expect(await statusOf('PATCH', own, team.of('admin'), { denies: [] })).toBe(403),
      60_000,
    );
    expect(await statusOf('PATCH', own, team.of('owner'), { denies: [] })).toBe(200);
  });

  it('cannot make an admin who has what was denied to them, by role or by invite', async () => {
    const team = await aTeam();
    const [owner, admin] = [team.of('owner'), team.of('admin')];
    const invites = `${team.path}/invites`;
    const early = friend('admin');
    expect(await statusOf('POST', invites, admin, early)).toBe(201);
    const sent = await tokenFor(early.email);
    const own = `${team.path}/members/${admin.user.id}`;
    expect(await statusOf('PATCH', own, owner, { denies: ['audit:read'] })).toBe(200);
    const member = `${team.path}/members/${team.of('member').user.id}`;
    expect(await send('PATCH', member, admin, { role: 'admin' })).toMatchObject({ status: 403 });
    expect(await statusOf('POST', invites, admin, friend('admin'))).toBe(403);
    expect(await statusOf('POST', invites, admin, friend('member'))).toBe(201);
    expect(await statusOf('PATCH', member, admin, { role: 'viewer' })).toBe(200);
    const guest = await aUser(test.rt, { email: early.email });
    expect(await statusOf('POST', 'invites/accept', guest, { token: sent })).toBe(404);
  });

  it('leave no API key behind that works when they come back', async () => {
    const team = await aTeam();
    const [owner, admin] = [team.of('owner'), team.of('admin')];
    const { token } = (await send('POST', `${team.path}/switch`, admin)).body;
    const there = { headers: { authorization: `Bearer ${token}` } };
    const key = (await send('POST', 'api-keys', there, { name: 'k', scopes: ['*'] })).body;
    expect(await statusOf('DELETE', `${team.path}/members/${admin.user.id}`, owner)).toBe(200);
    const after = await send('GET', `api-keys/${key.id}`, owner);
    expect(after.body.revokedAt).not.toBeNull();
  });

  it('leave by themselves or are taken out by who may, and have no access within two seconds', async () => {
    const team = await aTeam();
    const [member, viewer] = [team.of('member'), team.of('viewer')];
    const other = `${team.path}/members/${viewer.user.id}`;
    expect(await statusOf('DELETE', other, member)).toBe(403);
    expect(await statusOf('DELETE', `${team.path}/members/${team.of('owner').user.id}`, team.of('admin'))).toBe(403);
    expect(await statusOf('GET', team.path, viewer)).toBe(200);
    expect(await statusOf('DELETE', other, team.of('admin'))).toBe(200);
    expect(await statusOf('DELETE', other, team.of('admin'))).toBe(404);
    await vi.waitFor(async () => expect(await statusOf('GET', team.path, viewer)).toBe(404), 60_000);
    expect(await statusOf('DELETE', `${team.path}/members/${member.user.id}`, member)).toBe(200);
    const owner = team.of('owner');
    const leave = await send('DELETE', `${team.path}/members/${owner.user.id}`, owner);
    expect(leave).toMatchObject({ status: 409, body: { code: 'last_owner' } });
  });

  it('pass the ownership on; of two owners who step down at once, one stays', async () => {
    const team = await aTeam();
    const [owner, admin] = [team.of('owner'), team.of('admin')];
    expect(await statusOf('POST', `${team.path}/transfer-ownership`, admin, { userId: admin.user.id })).toBe(403);
    const stranger = await aUser(test.rt);
    expect(await statusOf('POST', `${team.path}/transfer-ownership`, owner, { userId: stranger.user.id })).toBe(404);
    const passed = await send('POST', `${team.path}/transfer-ownership`, owner, { userId: admin.user.id });
    expect(passed).toMatchObject({ status: 200, body: { role: 'owner' } });
    const roles = (await send('GET', `${team.path}/members`, admin)).body.data;
    expect(roles.filter((one: { role: Role }) => one.role === 'owner')).toHaveLength(1);

    const pair = await aTeam();
    const [first, second] = [pair.of('owner'), pair.of('admin')];
    await send('PATCH', `${pair.path}/members/${second.user.id}`, first, { role: 'owner' });
    await vi.waitFor(async () => expect((await send('GET', pair.path, second)).body.role).toBe('owner'), 60_000);
    const answers = await Promise.all(
      [first, second].map((one) => statusOf('PATCH', `${pair.path}/members/${one.user.id}`, one, { role: 'member' })),
    );
    expect(sorted(answers)).toEqual([200, 409]);
  });

  it('never leave a workspace without an owner, also when the code above the database is wrong', async () => {
    const team = await aTeam();
    const demote = test.rt.systemPool.query(`update member set role = 'admin' where workspace_id = $1`, [team.id]);
    await expect(demote).rejects.toMatchObject({ constraint: 'member_last_owner' });
  });
});

describe('an invite', () => {
  it('comes by mail, works once for its address, and makes a member', async () => {
    const team = await aTeam();
    const email = `new-${crypto.randomUUID()}@example.com`;
    const made = await send('POST', `${team.path}/invites`, team.of('admin'), {
      email: ` ${email.toUpperCase()} `,
      role: 'member',
    });
    expect(made).toMatchObject({ status: 201, body: { email, role: 'member', acceptedAt: null } });
    const token = await tokenFor(email);
    expect(token).toHaveLength(86);
    expect(JSON.stringify(made.body)).not.toContain(token);
    const stored = await test.rt.systemPool.query('select t::text from workspace_invite t');
    expect(JSON.stringify(stored.rows)).not.toContain(token);

    expect(await statusOf('POST', 'invites/accept', await aUser(test.rt), { token })).toBe(403);
    const person = await aUser(test.rt, { email });
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => send('POST', 'invites/accept', person, { token })),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 404)).toHaveLength(19);
    expect(await send('GET', team.path, person)).toMatchObject({ status: 200, body: { role: 'member' } });
    expect((await send('GET', 'auth/me', person)).body.emailVerified).toBe(true);
  });

  it('is replaced by the next, taken back, and worth nothing once who sent it may not', async () => {
    const team = await aTeam();
    const invites = `${team.path}/invites`;
    const email = `again-${crypto.randomUUID()}@example.com`;
    const person = await aUser(test.rt, { email });
    await send('POST', invites, team.of('owner'), { email, role: 'member' });
    const first = await tokenFor(email);
    await send('POST', invites, team.of('owner'), { email, role: 'viewer' });
    const second = await tokenFor(email);
    expect((await send('GET', invites, team.of('admin'))).body.data).toHaveLength(1);
    expect(await statusOf('POST', 'invites/accept', person, { token: first })).toBe(404);
    const [{ id }] = (await send('GET', invites, team.of('admin'))).body.data;
    expect(await statusOf('DELETE', `${invites}/${id}`, await aUser(test.rt))).toBe(404);
    expect(await statusOf('DELETE', `${invites}/${id}`, team.of('admin'))).toBe(200);
    expect(await statusOf('POST', 'invites/accept', person, { token: second })).toBe(404);

    await send('POST', invites, team.of('admin'), { email, role: 'admin' });
    const third = await tokenFor(email);
    await send('PATCH', `${team.path}/members/${team.of('admin').user.id}`, team.of('owner'), { role: 'member' });
    expect(await statusOf('POST', 'invites/accept', person, { token: third })).toBe(404);
  });

  it.each([
    ['viewer', { role: 'viewer' }, 403],
    ['member', { role: 'viewer' }, 403],
    ['admin', { role: 'owner' }, 403],
    ['admin', { role: 'root' }, 400],
    ['owner', { role: 'owner' }, 201],
  ] as const)('from %s with %j: %i', async (by, body, status) => {
    const team = await aTeam();
    expect(await statusOf('POST', `${team.path}/invites`, team.of(by), { email: 'x@example.com', ...body })).toBe(
      status,
    );
  });

  it('cannot be guessed, and one who is in is not asked in', async () => {
    const team = await aTeam();
    const owner = team.of('owner');
    for (const token of ['', 'x', 'A'.repeat(86), 'A'.repeat(200)]) {
      expect(await statusOf('POST', 'invites/accept', owner, { token })).toBe(404);
    }
    const again = await send('POST', `${team.path}/invites`, owner, { email: team.of('viewer').email, role: 'member' });
    expect(again).toMatchObject({ status: 409, body: { code: 'already_member' } });
  });

  it('finds no room in a full workspace, however many accept at once', async () => {
    const team = await aTeam();
    const guests = await Promise.all([1, 2, 3].map(() => aUser(test.rt)));
    const tokens: string[] = [];
    for (const { email } of guests) {
      await send('POST', `${team.path}/invites`, team.of('owner'), { email, role: 'viewer' });
      tokens.push(await tokenFor(email));
    }
    const answers = await Promise.all(
      guests.map((guest, at) => send('POST', 'invites/accept', guest, { token: tokens[at] })),
    );
    expect(sorted(answers.map(({ status }) => status))).toEqual([200, 403, 403]);
    expect(answers.find(({ status }) => status === 403)?.body.code).toBe('plan_limit');
  });
});

describe('a workspace', () => {
  it('is made, changed, used, switched to and closed', async () => {
    const user = await aUser(test.rt);
    const made = await send('POST', 'workspaces', user, { name: ' Filial ', timeZone: 'America/Manaus' });
    expect(made).toMatchObject({
      status: 201,
      body: { name: 'Filial', role: 'owner', timeZone: 'America/Manaus', currency: 'BRL' },
    });
    const path = `workspaces/${made.body.id}`;
    expect((await send('PATCH', path, user, { currency: 'USD' })).body).toMatchObject({
      currency: 'USD',
      name: 'Filial',
    });
    for (const refused of [{}, { timeZone: 'Mars' }, { currency: 'XXQ' }, { country: 'br' }, { plan: 'enterprise' }]) {
      expect(await statusOf('PATCH', path, user, refused)).toBe(400);
    }
    expect((await send('GET', `${path}/usage`, user)).body).toMatchObject({
      plan: 'free',
      members: { used: 1, limit: 3 },
      credits: { available: 0, held: 0 },
    });

    const moved = (await send('POST', `${path}/switch`, user)).body;
    const there = { headers: { authorization: `Bearer ${moved.token}` } };
    expect((await send('GET', 'auth/me', there)).body.workspace.id).toBe(made.body.id);
    const refresh = { method: 'POST', url: '/api/auth/refresh', payload: { refreshToken: user.refreshToken } } as const;
    const fresh = (await test.app.inject(refresh)).json();
    const after = { headers: { authorization: `Bearer ${fresh.token}` } };
    expect((await send('GET', 'auth/me', after)).body.workspace.id).toBe(made.body.id);

    expect(await statusOf('DELETE', path, await aUser(test.rt))).toBe(404);
    expect(await statusOf('DELETE', path, user)).toBe(200);
    await vi.waitFor(async () => expect(await statusOf('GET', path, user)).toBe(404), 60_000);
    const back = (await test.app.inject({ ...refresh, payload: { refreshToken: fresh.refreshToken } })).json();
    const home = await send('GET', 'auth/me', { headers: { authorization: `Bearer ${back.token}` } });
    expect(home.body.workspace.id).toBe(user.workspace.id);
  });

  it('is there again for who closed their last one', async () => {
    const { email, password, ...user } = await aUser(test.rt);
    await send('DELETE', `workspaces/${user.workspace.id}`, user);
    const login = await test.app.inject({ method: 'POST', url: '/api/auth/login', payload: { email, password } });
    expect(login.statusCode).toBe(200);
    expect(login.json().workspace).toMatchObject({ role: 'owner', name: user.user.name });
    expect(login.json().workspace.id).not.toBe(user.workspace.id);
  });

  it('is one of as many as the plan has room for, also when all are made at once', async () => {
    const user = await aUser(test.rt);
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, at) => statusOf('POST', 'workspaces', user, { name: `W${at}` })),
    );
    expect(sorted(answers)).toEqual([201, 403, 403, 403, 403, 403]);
  });

  it('is not one more by becoming the owner of somebody else’s', async () => {
    const team = await aTeam();
    const [owner, heir] = [team.of('owner'), team.of('admin')];
    expect(await statusOf('POST', 'workspaces', heir, { name: 'W1' })).toBe(201);
    const full = { status: 403, body: { code: 'plan_limit' } };
    const id = { userId: heir.user.id };
    expect(await send('POST', `${team.path}/transfer-ownership`, owner, id)).toMatchObject(full);
    expect(await send('PATCH', `${team.path}/members/${id.userId}`, owner, { role: 'owner' })).toMatchObject(full);
    expect(await statusOf('DELETE', `${team.path}/members/${id.userId}`, owner)).toBe(200);
    expect(await statusOf('POST', `${team.path}/invites`, owner, { email: heir.email, role: 'owner' })).toBe(201);
    const invited = { token: await tokenFor(heir.email) };
    expect(await send('POST', 'invites/accept', heir, invited)).toMatchObject(full);
    expect(await statusOf('DELETE', `workspaces/${heir.workspace.id}`, heir)).toBe(200);
    expect(await statusOf('POST', 'invites/accept', heir, invited)).toBe(200);
  });

  it('lets only those change it who may', async () => {
    const team = await aTeam();
    for (const [role, patch, remove] of [
      ['viewer', 403, 403],
      ['member', 403, 403],
      ['admin', 200, 403],
    ] as const) {
      expect(await statusOf('PATCH', team.path, team.of(role), { name: 'Novo' })).toBe(patch);
      expect(await statusOf('DELETE', team.path, team.of(role))).toBe(remove);
    }
  });
});
