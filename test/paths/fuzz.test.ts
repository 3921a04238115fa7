import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import type { TestUser } from '#test/factories.ts';
import type { TestApp } from '#test/harness.ts';
import { ProblemView } from '#src/http/problem-view.ts';
import { ClientFrame } from '#src/modules/live/frames.ts';
import { aUser } from '#test/factories.ts';
import { openTestApp } from '#test/harness.ts';
import { fitting, isJson, jsonAt, nasty, nastyText, type Json } from '#test/spoiled.ts';

/*
 * Every route and every frame, from the schemas the API publishes: a request is made to fit its schema, then spoiled in a few places.
 * No worker runs, so an accepted job only stays queued.
 */
const SEED = 20_261_123;
const REQUESTS = 1200;
const FRAMES = 1500;
const WITHIN_MS = 5000;
const CLOSE_CODES = [1009, 4400, 4401, 4403, 4408, 4413, 4429];

interface Operation {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD';
  path: string;
  body: unknown;
  query: [name: string, schema: unknown][];
}

let test: TestApp;
let user: TestUser;
let other: TestUser;
let jobId: string;
let othersJobId: string;
let address: string;
let spec: Json;
let operations: Operation[];

beforeAll(async () => {
  test = await openTestApp({ RATE_LIMIT_SCALE: '1000' });
  user = await aUser(test.rt, { name: 'Ana Lima' });
  other = await aUser(test.rt, { name: 'canary of the other' });
  jobId = await aJob(user, 'Adorei!');
  othersJobId = await aJob(other, 'canary of the other');
  address = await test.app.listen({ host: '127.0.0.1', port: 0 });
  spec = (await test.app.inject('/api/openapi.json')).json();
  operations = operationsOf(spec);
});
afterAll(() => test.close());

async function aJob(owner: TestUser, text: string): Promise<string> {
  const payload = { text };
  const answer = await test.app.inject({ method: 'POST', url: '/api/ai/sentiment', headers: owner.headers, payload });
  return answer.json<{ jobId: string }>().jobId;
}

function operationsOf(document: Json): Operation[] {
  return Object.entries(isJson(document['paths']) ? document['paths'] : {}).flatMap(([path, verbs]) =>
    Object.entries(isJson(verbs) ? verbs : {}).flatMap(([verb, operation]) => {
      const parameters = jsonAt(operation, 'parameters');
      const query = (Array.isArray(parameters) ? parameters : [])
        .filter((parameter) => jsonAt(parameter, 'in') === 'query')
        .map((parameter): [string, unknown] => [String(jsonAt(parameter, 'name')), jsonAt(parameter, 'schema')]);
      const body = jsonAt(operation, 'requestBody', 'content', 'application/json', 'schema');
      const methods: Operation['method'][] =
        verb === 'get' ? ['GET', 'HEAD'] : [verb.toUpperCase() as Operation['method']];
      return methods.map((method): Operation => ({ method, path, body, query }));
    }),
  );
}

const anId = fc.constantFrom('own', 'OWN', 'other', 'none', 'max', 'urn').map(
  (which) =>
    ({
      own: jobId,
      OWN: jobId.toUpperCase(),
      other: othersJobId,
      none: '00000000-0000-0000-0000-000000000000',
      max: 'ffffffff-ffff-ffff-ffff-ffffffffffff',
      urn: `urn:uuid:${jobId}`,
    })[which] ?? '',
);

const around = () => ({ document: spec, ids: anId });

/** Bodies with options are rarely good, so most come without. */
const bodyOf = (schema: unknown): fc.Arbitrary<unknown> =>
  fc.tuple(fitting(schema ?? {}, around()), fc.nat(3)).map(([value, dice]) => {
    if (dice === 0 || !isJson(value)) return value;
    const { options: _, ...rest } = value;
    return rest;
  });

const headerText = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '-1',
    'wait=-1',
    'wait=1e9',
    'wait=0',
    'wait="0"',
    '0-0',
    '1-1-1-999999999',
    'x'.repeat(256),
    'a b',
    '*/*',
    'application/json;q=0',
    'application/json; charset=utf-16',
    'text/plain',
    'gzip',
    '../..',
    'é',
    ',,',
  ),
  fc.stringMatching(/^[\u0020-\u007e\u00a0-\u00ff]{0,60}$/),
);
const headers = fc.dictionary(
  fc.constantFrom(
    'idempotency-key',
    'prefer',
    'accept',
    'x-workspace-id',
    'x-request-id',
    'last-event-id',
    'content-type',
    'content-encoding',
    'authorization',
    'if-match',
    'origin',
  ),
  headerText,
  { maxKeys: 2, noNullPrototype: true },
);

interface Asked {
  operation: Operation;
  id: string;
  query: Record<string, unknown>;
  payload: string;
  headers: Record<string, string>;
}

const strayQuery: fc.Arbitrary<Json> = fc.oneof(
  { weight: 20, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('own', 'other')
      .map((whose) => ({ workspaceId: (whose === 'own' ? user : other).workspace.id })),
  },
  { weight: 1, arbitrary: fc.record({ extra: nasty }) },
);

const asked: fc.Arbitrary<Asked> = fc.nat().chain((at) => {
  // Bodies are where there is most to spoil.
  const withBody = operations.filter(({ body }) => body !== undefined);
  const among = at % 2 ? withBody : operations;
  const operation = among[(at >> 1) % among.length];
  if (!operation) throw new Error('The document has no operations');
  const query = Object.fromEntries(operation.query.map(([name, schema]) => [name, fitting(schema, around())]));
  const whole = bodyOf(operation.body).map((value) => JSON.stringify(value) ?? '');
  return fc.record({
    operation: fc.constant(operation),
    id: fc.oneof({ weight: 4, arbitrary: anId }, { weight: 1, arbitrary: nastyText }),
    query: fc
      .tuple(fc.record(query, { requiredKeys: [] }), strayQuery)
      .map(([known, stray]): Json => ({ ...known, ...stray })),
    payload: fc.oneof(
      { weight: 10, arbitrary: whole },
      { weight: 1, arbitrary: fc.tuple(whole, fc.nat()).map(([text, cut]) => text.slice(0, cut % (text.length + 1))) },
      { weight: 1, arbitrary: fc.constantFrom('', '{"text":"a","text":1}', '\ufeff{}', '{"a":\0}', '[') },
    ),
    headers: fc.oneof({ weight: 4, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: headers }),
  });
});

const written = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));

const print = (what: string, counts: Map<unknown, number>) =>
  process.stdout.write(`${what}: ${JSON.stringify(Object.fromEntries(counts))}\n`);

const INSIDE = /node_modules|at \w+ \(|select |insert |violates|syntax for type|canary of the other/i;

it('answers every request to every route with what the document says, or with a problem', async () => {
  const counts = new Map<number, number>();
  const request = async ({ operation, id, query, payload, headers: sent }: Asked): Promise<void> => {
    const path = operation.path.replace('{id}', encodeURIComponent(id.toWellFormed()));
    const search = new URLSearchParams(
      Object.entries(query).map(([key, value]): [string, string] => [
        key,
        written(value).slice(0, 2000).toWellFormed(),
      ]),
    );
    const hasBody = operation.method !== 'GET' && operation.method !== 'HEAD';
    // An event stream of a waiting job stays open by design: hearing that it began is enough.
    const cut = AbortSignal.timeout(WITHIN_MS);
    const answer = await fetch(`${address}${path}${search.size > 0 ? `?${search.toString()}` : ''}`, {
      method: operation.method,
      headers: { ...user.headers, 'content-type': 'application/json', ...sent },
      signal: cut,
      ...(hasBody ? { body: payload } : {}),
    });
    const type = answer.headers.get('content-type') ?? '';
    counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
    if (type.startsWith('text/event-stream')) return answer.body?.cancel();
    const text = await answer.text();
    // The built-in rules do not chat, and no provider is configured here.
    const isNoProvider = answer.status === 503 && text.includes('no_provider_available');
    if (!isNoProvider) expect(answer.status).toBeLessThan(500);
    expect(text).not.toMatch(INSIDE);
    if (answer.status < 400) return;
    expect(type).toBe('application/problem+json');
    if (operation.method === 'HEAD') return;
    const problem = ProblemView.parse(JSON.parse(text));
    expect(problem.status).toBe(answer.status);
    if (problem.status === 400) expect(problem.errors?.length).toBeGreaterThan(0);
  };
  await fc.assert(fc.asyncProperty(asked, request), { numRuns: REQUESTS, seed: SEED });
  print(`${REQUESTS} requests to ${operations.length} operations`, counts);
  // It reached into the routes, and was not refused at the door every time.
  for (const status of [200, 202, 400, 404]) expect(counts.get(status)).toBeGreaterThan(0);
  expect((await test.app.inject({ url: '/api/auth/me', headers: user.headers })).statusCode).toBe(200);
  await expect.poll(() => test.rt.reader.counts().watchers).toBe(0);
}, 60_000);

/** A socket that turns what it hears into what one frame led to. */
async function openSocket(token: string | null) {
  const socket = new WebSocket(`${address.replace('http', 'ws')}/api/ws`);
  const waiting = new Set<(outcome: Outcome) => void>();
  const settle = (outcome: Outcome): void => {
    for (const resolve of waiting) resolve(outcome);
    waiting.clear();
  };
  socket.addEventListener('close', ({ code }) => settle({ closed: code }));
  socket.addEventListener('message', ({ data }) => {
    const text = String(data);
    expect(text).not.toMatch(INSIDE);
    const message: unknown = JSON.parse(text);
    if (isJson(message) && message['type'] === 'reply') settle({ reply: message });
  });
  const opened = Promise.withResolvers<void>();
  socket.addEventListener('open', () => opened.resolve(), { once: true });
  await opened.promise;
  /** What a frame led to. A `pong` has no reply, so a frame that always has one goes behind it. */
  const send = (text: string): Promise<Outcome> =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`No reply and no close within ${WITHIN_MS} ms`)), WITHIN_MS);
      waiting.add((outcome) => {
        clearTimeout(late);
        resolve(outcome);
      });
      socket.send(text);
      if (/"pong"/.test(text)) socket.send('{"type":"nothing","id":"behind"}');
    });
  if (token !== null)
    expect(await send(JSON.stringify({ type: 'auth', id: 0, token }))).toMatchObject({ reply: { ok: true } });
  return { send, isOpen: () => socket.readyState === WebSocket.OPEN, close: () => socket.close() };
}
type Outcome = { closed: number } | { reply: Json };

const tokens = fc.constantFrom('own', 'other', 'forged').map((whose) => {
  if (whose === 'own') return user.token;
  return whose === 'other' ? other.token : `${user.token.slice(0, -5)}AAAAA`;
});

/** Frames that fit the schema of frames; a submit's input fits an engine's, which the document has as the body of its route. */
const frame: fc.Arbitrary<unknown> = fc.constant(null).chain(() => {
  const shapes = fitting(z.toJSONSchema(ClientFrame, { io: 'input', unrepresentable: 'any' }), around());
  const posts = operations.filter(({ path }) => path.startsWith('/api/ai/') && !path.endsWith('/credits'));
  const submits = posts.map(({ path, body }) =>
    fc.tuple(fc.nat(), bodyOf(body)).map(([id, value]) => {
      const { options, ...input } = isJson(value) ? value : { options: value };
      return { type: 'submit', id, engine: path.slice(8), input, ...(options === undefined ? {} : { options }) };
    }),
  );
  const topic = anId.map((id) => `job:${id}`);
  return fc.oneof(
    { weight: 4, arbitrary: shapes },
    { weight: 4, arbitrary: fc.oneof(...submits) },
    { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('subscribe', 'unsubscribe'), id: fc.nat(), topic }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('auth'), id: fc.nat(), token: tokens }) },
    { weight: 1, arbitrary: nasty },
  );
});
const frameText = fc.oneof(
  { weight: 20, arbitrary: frame.map((value) => JSON.stringify(value) ?? '') },
  {
    weight: 1,
    arbitrary: fc.tuple(frame, fc.nat()).map(([value, cut]) => (JSON.stringify(value) ?? '').slice(0, cut % 40)),
  },
  { weight: 1, arbitrary: fc.constantFrom('', '\0', '[]', '{', 'x'.repeat(262_144), 'x'.repeat(262_145)) },
);

it('answers every frame with a reply or closes with a code of the contract', async () => {
  const counts = new Map<string, number>();
  let signedIn = await openSocket(user.token);
  const judge = async (text: string, isSignedIn: boolean): Promise<void> => {
    if (isSignedIn && !signedIn.isOpen()) signedIn = await openSocket(user.token);
    const socket = isSignedIn ? signedIn : await openSocket(null);
    const outcome = await socket.send(text);
    if ('closed' in outcome) expect(CLOSE_CODES).toContain(outcome.closed);
    else if (outcome.reply['ok'] !== true) {
      const problem = ProblemView.parse(outcome.reply['problem']);
      if (problem.code !== 'no_provider_available') expect(problem.status).toBeLessThan(500);
      if (problem.status === 400) expect(problem.errors?.length).toBeGreaterThan(0);
    }
    const name = 'closed' in outcome ? `closed ${outcome.closed}` : outcome.reply['ok'] === true ? 'ok' : 'refused';
    counts.set(name, (counts.get(name) ?? 0) + 1);
    if (!isSignedIn) socket.close();
  };
  const sent = fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) });
  await fc.assert(fc.asyncProperty(frameText, sent, judge), { numRuns: FRAMES, seed: SEED });
  print(`${FRAMES} frames`, counts);
  for (const name of ['ok', 'refused', 'closed 4400', 'closed 1009']) expect(counts.get(name)).toBeGreaterThan(0);
  signedIn.close();
  await expect.poll(() => test.rt.reader.counts().watchers).toBe(0);
}, 60_000);
