import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aUser, type TestUser } from '#test/factories.ts';
import { openTestApp, type TestApp } from '#test/harness.ts';
import { doOperations, upload } from '#test/imports.ts';

let test: TestApp;
let ana: TestUser;
beforeAll(async () => {
  test = await openTestApp();
  ana = await aUser(test.rt);
});
afterAll(() => test.close());

async function call(method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) {
  const answer = await test.app.inject({ method, url, headers: ana.headers, ...(payload ? { payload } : {}) });
  return { status: answer.statusCode, body: answer.json() };
}
const names = (count: number, from = 0) => Array.from({ length: count }, (_, at) => `l${from + at}`);
const contact = async (phone: string, labels: string[]): Promise<string> =>
  (await call('POST', '/api/contacts', { name: 'Ana', phone, labels })).body.id;
const labelsOf = async (id: string): Promise<{ id: string; name: string }[]> =>
  (await call('GET', `/api/contacts/${id}`)).body.labels;

describe('the limit of 50 labels', () => {
  it('may be passed by a merge, and then labels can be taken away but not given', async () => {
    const [winnerId, loserId] = [
      await contact('+5511985050001', names(50)),
      await contact('+5511985050002', names(5, 50)),
    ];
    expect((await call('POST', '/api/contacts/merge', { winnerId, loserIds: [loserId] })).status).toBe(200);
    const [first] = await labelsOf(winnerId);
    expect((await call('DELETE', `/api/contacts/${winnerId}/labels/${first?.id}`)).status).toBe(200);
    expect(await labelsOf(winnerId)).toHaveLength(54);
    expect((await call('POST', `/api/contacts/${winnerId}/labels`, { labels: ['mais'] })).status).toBe(400);
    expect((await call('POST', `/api/contacts/${winnerId}/labels`, { labels: names(3, 40) })).status).toBe(200);
  });

  it('is kept where many contacts get labels, and those left out are counted', async () => {
    const [full, has, free] = [
      await contact('+5511985050003', names(49)),
      await contact('+5511985050004', names(50)),
      await contact('+5511985050005', []),
    ];
    const ids = await Promise.all(
      ['l0', 'l49', 'novo'].map(
        async (name) =>
          (await call('POST', '/api/labels/bulk', { labels: [{ name, color: '#000000' }] })).body.results[0].label.id,
      ),
    );
    const run = async (labelIds: string[]) => {
      const { body } = await call('POST', '/api/contacts/bulk', {
        action: 'addLabels',
        labelIds,
        ids: [full, has, free],
      });
      await doOperations(test);
      return (await call('GET', `/api/operations/${body.operationId}`)).body.counts;
    };
    expect(await run(ids)).toEqual({ changed: 1, unchanged: 0, tooManyLabels: 2, missing: 0 });
    expect(await run(ids.slice(0, 2))).toEqual({ changed: 1, unchanged: 2, tooManyLabels: 0, missing: 0 });
    expect(await Promise.all([full, has, free].map(async (id) => (await labelsOf(id)).length))).toEqual([50, 50, 3]);
  });

  it('is kept by an import, whose rows say so', async () => {
    const id = await contact('+5511985050006', names(49));
    const file = 'telefone,empresa,etiquetas\n11985050006,Nova,"l0, l49, l50"\n11985050006,Outra,"l1, l49"\n';
    const { id: importId } = (await upload(test, ana, file)).json();
    await call('POST', `/api/imports/${importId}/start`, { mode: 'update' });
    await doOperations(test);
    const { data } = (await call('GET', `/api/imports/${importId}/rows`)).body;
    expect(data).toMatchObject([
      { status: 'invalid', reason: 'too_many_labels', column: 'etiquetas' },
      { status: 'updated', reason: null },
    ]);
    expect(await labelsOf(id)).toHaveLength(50);
  });
});
