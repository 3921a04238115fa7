import { once } from 'node:events';
import { request as sendRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify from 'fastify';
import { serializerCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';
import { unclaimed } from '#src/db/claim.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import type { App } from '#src/http/app-type.ts';
import { authOf, guardRoutes } from '#src/http/auth.ts';
import { heedIdempotencyKeys } from '#src/http/idempotency.ts';
import { answerProblems } from '#src/http/problem.ts';
import { validateWithZod } from '#src/http/validation.ts';
import { newId } from '#src/lib/ids.ts';

/** Routes that stop where a test wants them to. */
let test: TestRuntime;
let app: App;
let ana: TestUser;
/** What a route waits for, by its name, and how it is told that the route has come there. */
const gates = new Map<string, { arrived: PromiseWithResolvers<void>; go: PromiseWithResolvers<void> }>();

function gate(name: string) {
  const one = { arrived: Promise.withResolvers<void>(), go: Promise.withResolvers<void>() };
  gates.set(name, one);
  return one;
}
async function pass(name: string): Promise<void> {
  const one = gates.get(name);
  gates.delete(name);
  one?.arrived.resolve();
  await one?.go.promise;
}

beforeAll(async () => {
  test = await openTestRuntime();
  const { rt } = test;
  app = Fastify().withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validateWithZod);
  app.setSerializerCompiler(serializerCompiler);
  answerProblems(app);
  guardRoutes(app, rt);
  heedIdempotencyKeys(app, rt);
  const access = { access: 'contacts:write' } as const;
  const read = (auth: TestUser['auth']) => inWorkspaceTx(rt.orm, auth, (em) => em.execute('select 1 from label'));
  const write = (auth: TestUser['auth'], at?: string) =>
    inWorkspaceTx(rt.orm, auth, async (em) => {
      const id = newId();
      if (at !== undefined) await pass(at);
      await em.execute(`insert into label (workspace_id, id, name, color) values (?, ?, ?, '#000000')`, [
        auth.workspaceId,
        id,
        id,
      ]);
      return { id };
    });

  app.post('/one', { config: access }, (request) => write(authOf(request), 'one'));
  app.post('/read-then-write', { config: access }, async (request) => {
    await read(authOf(request));
    await pass('read-then-write');
    return write(authOf(request));
  });
  app.post('/write-then-fail', { config: access }, async (request) => {
    await write(authOf(request));
    throw new Error('after the change');
  });
  app.post('/write-then-wait', { config: access }, async (request) => {
    const made = await write(authOf(request));
    await pass('write-then-wait');
    return made;
  });
  app.post('/two', { config: access }, async (request) => [await write(authOf(request)), await write(authOf(request))]);
  app.post('/beside', { config: access }, (request) =>
    Promise.all([write(authOf(request)), read(authOf(request)), write(authOf(request))]),
  );
  app.post('/late', { config: access }, async (request) => {
    const [, made] = await Promise.all([read(authOf(request)), write(authOf(request), 'late')]);
    return made;
  });
  app.post('/within', { config: access }, (request) =>
    inWorkspaceTx(rt.orm, authOf(request), () => write(authOf(request))),
  );
  app.post('/behind', { config: access }, async (request, reply) => {
    const made = await write(authOf(request));
    await reply.send(made);
    // No longer the request's own.
    await write(authOf(request)).then(
      () => pass('behind'),
      () => undefined,
    );
  });
  app.post('/shared', { config: access }, async (request) => {
    await unclaimed(() => read(authOf(request)));
    return write(authOf(request));
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(async () => {
  await app.close();
  await test.close();
});
beforeEach(async () => {
  ana = await aUser(test.rt);
});

const send = async (url: string, key = 'k') => {
  const headers = { ...ana.headers, 'idempotency-key': key };
  const { statusCode, headers: head, json } = await app.inject({ method: 'POST', url, headers });
  return { status: statusCode, body: json(), replayed: head['idempotent-replayed'], retryAfter: head['retry-after'] };
};
const count = async (table: 'label' | 'idempotent_request'): Promise<number> => {
  const sql = `select count(*)::int as n from ${table} where workspace_id = $1`;
  return (await test.rt.systemPool.query<{ n: number }>(sql, [ana.workspace.id])).rows[0]?.n ?? -1;
};
const busy = { status: 409, body: { code: 'idempotency_in_progress' }, retryAfter: '1' };
const unknown = { status: 409, body: { code: 'idempotency_result_unknown' }, retryAfter: undefined };

describe('while the first request is at work, the second', () => {
  it('is told to come again, in the transaction of the change and behind it', async () => {
    for (const url of ['/one', '/write-then-wait']) {
      const { arrived, go } = gate(url.slice(1));
      const first = send(url);
      await arrived.promise;
      expect(await send(url)).toMatchObject(busy);
      // Another key is another request.
      expect(await send(url, 'other')).toMatchObject({ status: 200 });
      go.resolve();
      const answer = await first;
      expect(answer).toMatchObject({ status: 200, replayed: undefined });
      expect(await send(url)).toEqual({ ...answer, replayed: 'true' });
    }
    expect(await count('label')).toBe(4);
  });

  it('does nothing where both had read what is there before', async () => {
    const { arrived, go } = gate('read-then-write');
    const first = send('/read-then-write');
    await arrived.promise;
    const second = await send('/read-then-write');
    expect(second).toMatchObject({ status: 200, replayed: undefined });
    go.resolve();
    expect(await first).toEqual({ ...second, replayed: 'true' });
    expect(await count('label')).toBe(1);
  });

  it('does nothing where the first one changes something beside the transaction that looked', async () => {
    const { arrived, go } = gate('late');
    const first = send('/late');
    await arrived.promise;
    const second = await send('/late');
    expect(second).toMatchObject({ status: 200, replayed: undefined });
    go.resolve();
    expect(await first).toMatchObject(busy);
    expect(await send('/late')).toEqual({ ...second, replayed: 'true' });
    expect(await count('label')).toBe(1);
  });
});

describe('a request of several transactions', () => {
  it('does not meet itself, one after another, beside and within each other', async () => {
    for (const [url, made] of [
      ['/two', 2],
      ['/beside', 2],
      ['/within', 1],
      ['/shared', 1],
    ] as const) {
      const before = await count('label');
      const first = await send(url);
      expect([url, first.status]).toEqual([url, 200]);
      expect(await send(url)).toEqual({ ...first, replayed: 'true' });
      expect((await count('label')) - before).toBe(made);
    }
    expect(await count('idempotent_request')).toBe(4);
  });

  it('is over when it is answered', async () => {
    const { arrived, go } = gate('behind');
    go.resolve();
    expect(await send('/behind')).toMatchObject({ status: 200 });
    await arrived.promise;
    expect(await count('label')).toBe(2);
  });
});

describe('the answer', () => {
  it('is unknown where the change was made and the answer is a failure of ours', async () => {
    expect(await send('/write-then-fail')).toMatchObject({ status: 500 });
    expect(await send('/write-then-fail')).toMatchObject(unknown);
    expect(await count('label')).toBe(1);
  });

  it('is kept for a client that has gone before it was sent', async () => {
    const { arrived, go } = gate('write-then-wait');
    const { port } = app.server.address() as AddressInfo;
    const headers = { ...ana.headers, 'idempotency-key': 'k' };
    const cut = sendRequest({ host: '127.0.0.1', port, path: '/write-then-wait', method: 'POST', headers }).end();
    const gone = once(cut, 'error');
    await arrived.promise;
    cut.destroy(new Error('gone'));
    await gone;
    go.resolve();
    await expect.poll(() => send('/write-then-wait')).toMatchObject({ status: 200, replayed: 'true' });
    expect(await count('label')).toBe(1);
  });

  it('is unknown, and not in clear text, where its key was destroyed with the workspace', async () => {
    await send('/one');
    await test.rt.vault.destroy(ana.workspace.id);
    expect(await send('/one')).toMatchObject(unknown);
    // What cannot be sealed is not kept, and the request is answered all the same.
    expect(await send('/one', 'other')).toMatchObject({ status: 200, replayed: undefined });
    expect(await send('/one', 'other')).toMatchObject({ status: 409 });
    expect(await count('label')).toBe(2);
  });
});
