import type { LightMyRequestResponse } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collectOperations, type Operation } from '#test/fuzz/operations.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { ROLES, type Role } from '#src/http/access-token.ts';
import { isPermission, may, PERMISSIONS, scopeOf } from '#src/http/permissions.ts';
import { REQUESTS, type Entry } from '#test/isolation/requests.ts';
import { CANARY, createDigest, makeWorld, type World } from '#test/isolation/world.ts';

/** A scope that no route asks for yet: a key that may nothing. */
const USELESS = 'webhooks:write';
const LAST = 'DELETE /api/workspaces/:id';

type Answered = Pick<LightMyRequestResponse, 'statusCode' | 'headers' | 'body'>;

interface Answer {
  status: number;
  code: string | undefined;
  body: string;
}

/** Problems have their code at the top, errors in OpenAI's shape one level down. */
function answerOf({ statusCode, headers, body }: Answered): Answer {
  const isJson = String(headers['content-type']).includes('json');
  const said = isJson && statusCode >= 400 ? JSON.parse(body) : {};
  const code: unknown = said.code ?? said.error?.code;
  return { status: statusCode, code: typeof code === 'string' ? code : undefined, body };
}

/** What an answer says to who asked: come in, you may not, nobody knows you, or there is no such thing. */
function outcomeOf({ status, code }: Answer): 'in' | 'forbidden' | 'unknown caller' | 'not found' {
  if (status === 403 && code === 'forbidden') return 'forbidden';
  if (status === 401 && /^(unauthenticated|invalid_token|invalid_key|invalid_api_key)$/.test(code ?? ''))
    return 'unknown caller';
  return status === 404 ? 'not found' : 'in';
}

/** What the table of permissions says of a caller and a route. */
function isAllowed(access: string, role: Role, scopes: string[] | null, denies: readonly string[] = []): boolean {
  if (access === 'person') return scopes === null;
  if (access === 'member') return true;
  if (!isPermission(access)) throw new Error(`${access} is no permission`);
  return may({ role, grants: [], denies, scopes }, access);
}

const entryOf = ({ name }: Operation): Entry => {
  const entry = REQUESTS[name];
  if (!entry) throw new Error(`${name} is a new route: say in test/isolation/requests.ts what a good request to it is`);
  return entry;
};

interface Opened {
  test: TestApp;
  world: World;
  /** Every operation, and those that take to be somebody: the one that ends the world is the last. */
  all: Operation[];
  guarded: Operation[];
}

async function open(): Promise<Opened> {
  const { result: test, operations: all } = await collectOperations(() => openTestApp());
  const guarded = all.filter(({ access, method }) => !['public', 'ops'].includes(access) && method !== 'HEAD');
  guarded.sort((a, b) => Number(a.name === LAST) - Number(b.name === LAST));
  return { test, world: await makeWorld(test), all, guarded };
}

async function askAimed(
  { test, world }: Opened,
  { method, url }: Operation,
  { query, body, headers: more }: Entry,
  headers: Record<string, string>,
): Promise<Answer> {
  const payload = body?.(world);
  const request = {
    method: method as 'GET',
    url,
    headers: { ...headers, ...more },
    ...(query ? { query } : {}),
    ...(payload ? { payload } : {}),
  };
  return answerOf(await test.app.inject(request));
}

/** The operation at the rows its entry names, made for it. */
async function aim(operation: Operation, entry: Entry, world: World): Promise<Operation> {
  const named = (await entry.params?.(world)) ?? {};
  return { ...operation, url: operation.url.replaceAll(/:(\w+)/g, (_all, name: string) => named[name] ?? 'missing') };
}

describe('every route, with the ORM filter and with row-level security alone', () => {
  let opened: Opened;
  let stranger: TestUser;
  beforeAll(async () => {
    opened = await open();
    stranger = await aUser(opened.test.rt);
  });
  afterAll(() => opened.test.close());

  /** Runs something while no entity has a filter. */
  async function unfiltered<Result>(task: () => Promise<Result>): Promise<Result> {
    const kept = [...opened.test.rt.orm.getMetadata().getAll().values()].map((meta) => ({
      meta,
      filters: meta.filters,
    }));
    for (const { meta } of kept) meta.filters = {};
    try {
      return await task();
    } finally {
      for (const { meta, filters } of kept) meta.filters = filters;
    }
  }

  it('shows another workspace nothing and changes nothing for it, by path or by header', async () => {
    const { test, world, guarded } = opened;
    // What it costs to look at every row is paid once for a route.
    const digest = await createDigest(test, world.id);
    let before = await digest();
    for (const operation of guarded) {
      const entry = entryOf(operation);
      const isOwnCall = entry.params === undefined || entry.namesNoRow === true;
      const answers: [string, Answer][] = [];
      // Rows to aim at are made first: what is compared is what the stranger's requests do.
      const ways: { aimed: Operation; extra: Record<string, string>; hasFilters: boolean }[] = [];
      for (const hasFilters of [true, false])
        for (const extra of [{}, { 'x-workspace-id': world.id }] as Record<string, string>[]) {
          if (entry.endsSession && isOwnCall && Object.keys(extra).length === 0) continue;
          ways.push({ aimed: await aim(operation, entry, world), extra, hasFilters });
        }
      if (entry.params) before = await digest();
      for (const { aimed, extra, hasFilters } of ways) {
        const ask = () => askAimed(opened, aimed, entry, { ...stranger.headers, ...extra });
        const answer = await (hasFilters ? ask() : unfiltered(ask));
        answers.push([`${operation.name} ${hasFilters ? '' : 'unfiltered '}${JSON.stringify(extra)}`, answer]);
      }
      expect(`${operation.name}: ${await digest()}`).toBe(`${operation.name}: ${before}`);
      for (const [label, answer] of answers) {
        expect(`${label}: ${answer.body.includes(CANARY)}`).toBe(`${label}: false`);
        if (!isOwnCall || !label.endsWith('{}')) expect(`${label}: ${outcomeOf(answer)}`).toBe(`${label}: not found`);
      }
    }
  }, 900_000);
});

describe('every route', () => {
  let opened: Opened;
  let asked = 0;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.test.close());

  async function ask(operation: Operation, headers: Record<string, string>): Promise<Answer> {
    const entry = entryOf(operation);
    asked += 1;
    return askAimed(opened, await aim(operation, entry, opened.world), entry, headers);
  }

  it('has an entry, and every entry a route', () => {
    expect(opened.guarded.map(({ name }) => name).toSorted()).toEqual(Object.keys(REQUESTS).toSorted());
  });

  it('does not know who sends nothing, and lets no one but operators into theirs', async () => {
    const { test, world, all, guarded } = opened;
    for (const operation of guarded) {
      const answer = await ask(operation, {});
      expect(`${operation.name}: ${outcomeOf(answer)}`).toBe(`${operation.name}: unknown caller`);
    }
    const ops = all.filter(({ access }) => access === 'ops');
    expect(ops.length).toBeGreaterThan(5);
    for (const { method, url, name } of ops) {
      for (const headers of [{}, world.people.owner.headers]) {
        const { statusCode } = await test.app.inject({ method: method as 'GET', url, headers });
        expect(`${name}: ${statusCode}`).toBe(`${name}: 401`);
        asked += 1;
      }
    }
  });

  /** An admin from whom every single permission was taken. */
  async function aDenied(): Promise<TestUser> {
    const { test, world } = opened;
    const person = await world.join('admin');
    const sql = 'update member set denies = $1 where workspace_id = $2 and user_id = $3';
    await test.rt.systemPool.query(sql, [PERMISSIONS, world.id, person.user.id]);
    return person;
  }

  it('lets in whom the table lets in, and nobody else', async () => {
    const { world, guarded } = opened;
    const denied = await aDenied();
    const useless = await world.apiKey([USELESS]);
    const mighty = await world.apiKey(['*']);
    for (const operation of guarded) {
      const { access, name } = operation;
      const entry = entryOf(operation);
      const callers: {
        who: string;
        role: Role;
        scopes: string[] | null;
        denies?: readonly string[];
        headers: () => Promise<Record<string, string>>;
      }[] = [
        {
          who: 'useless key',
          role: 'owner',
          scopes: [USELESS],
          headers: async () => ({ authorization: `Bearer ${useless.secret}` }),
        },
        {
          who: 'mighty key',
          role: 'owner',
          scopes: ['*'],
          headers: async () => ({ authorization: `Bearer ${mighty.secret}` }),
        },
        {
          who: 'denied admin',
          role: 'admin',
          scopes: null,
          denies: PERMISSIONS,
          headers: async () => {
            const { headers } = entry.endsSession ? await aDenied() : denied;
            return { ...headers, 'x-workspace-id': world.id };
          },
        },
        ...ROLES.map((role) => ({
          who: role,
          role,
          scopes: null,
          headers: async () => {
            const { headers } = entry.endsSession ? await world.join(role) : world.people[role];
            return { ...headers, 'x-workspace-id': world.id };
          },
        })),
      ];
      for (const { who, role, scopes, denies, headers } of callers) {
        if (name === LAST && who === 'mighty key') expect(scopeOf('workspace:delete')).toBeNull();
        const answer = await ask(operation, await headers());
        const isForbidden =
          !isAllowed(access, role, scopes, denies) ||
          (scopes === null && entry.forbiddenTo?.some((one) => one === role || denies !== undefined));
        const label = `${who}: ${name} ${answer.status}`;
        if (isForbidden) expect(`${label} ${outcomeOf(answer)}`).toBe(`${label} forbidden`);
        else if (entry.ok) expect(entry.ok.map((status) => `${who}: ${name} ${status}`)).toContain(label);
        else expect(label).toMatch(/ 2\d\d$/);
      }
    }
    process.stdout.write(`Route matrix: ${guarded.length} guarded routes, ${asked} requests\n`);
  }, 900_000);
});
