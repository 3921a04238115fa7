import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { App } from '#src/http/app-type.ts';
import { badRequest } from '#src/errors.ts';
import { fuzzHttp, openTarget, type Target } from '#test/fuzz/http.ts';
import { CANARY, judge } from '#test/fuzz/judge.ts';

const config = { access: 'public' as const };
const Filter = z.strictObject({ since: z.string().optional() });
const Thing = z.strictObject({ name: z.string().max(5000), size: z.unknown(), id: z.uuid().optional() });

/** Faults as real routes have had them. */
function plant(app: App): void {
  app.post('/api/planted/throws', { config, schema: { body: Thing } }, async ({ body }) => {
    if (body.name.length > 4000) throw new Error('value too long');
    return {};
  });
  app.post('/api/planted/trusts', { config, schema: { body: Thing } }, async ({ body }) => ({
    size: (body.size as { width: number }).width,
  }));
  app.get('/api/planted/tells', { config, schema: { querystring: Filter } }, async ({ query }) => {
    if (Number.isNaN(Date.parse(query.since ?? '2026-01-01')))
      throw badRequest('bad', 'invalid input syntax for type date');
    return {};
  });
  app.get('/api/planted/mumbles/:id', { config }, async (_request, reply) => reply.code(404).send({ error: 'no' }));
}

let target: Target;
beforeAll(async () => {
  target = await openTarget({}, plant);
});
afterAll(() => target.close());

it('finds the faults of routes it was never told of', async () => {
  const operations = target.operations.filter(({ url }) => url.startsWith('/api/planted/'));
  const found = new Set<string>();
  // It gives up after some failures, so that every fault is looked for alone.
  for (const operation of operations.filter(({ method }) => method !== 'HEAD')) {
    const { failures } = await fuzzHttp({ ...target, operations: [operation] }, { requests: 500, seed: 1 });
    for (const failure of failures) found.add(failure.split('\n', 1)[0] ?? '');
  }
  expect([...found].toSorted()).toEqual([
    'GET /api/planted/mumbles/:id refused with 404 as application/json; charset=utf-8',
    'GET /api/planted/tells told of the inside',
    'POST /api/planted/throws answered 500',
    'POST /api/planted/trusts answered 500',
  ]);
});

describe('the judge', () => {
  const problem = { type: 'urn:x', title: 'No', status: 400, detail: 'No.', code: 'no', message: 'No.' };
  const refusal = (changes: object) => ({
    status: 400,
    type: 'application/problem+json',
    text: JSON.stringify({ ...problem, ...changes }),
  });

  it('lets a good answer and a whole problem pass', () => {
    expect(judge({ status: 200, type: 'text/html', text: 'at home' })).toBeNull();
    expect(judge(refusal({}))).toBeNull();
  });

  it.each([
    ['an answer of ours that failed', { ...refusal({ status: 503 }), status: 503 }],
    ['data of another workspace', { status: 200, type: 'application/json', text: CANARY }],
    ['a refusal without a code', refusal({ code: undefined })],
    ['another status than it says', refusal({ status: 404 })],
    ['a stack', refusal({ detail: 'Error\n    at run (file:///a.js:1:1)' })],
    ['the words of the database', refusal({ message: 'violates unique constraint "a"' })],
    ['a refusal of a field without its name', refusal({ code: 'validation_failed' })],
    ['half a problem', { ...refusal({}), text: '{' }],
  ])('does not let %s pass', (_what, answer) => {
    expect(judge(answer)).not.toBeNull();
  });
});
