import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BLOCKED_NAMES, BLOCKED_V6, spellingsOfV4, trickyUrls } from '#test/blocked-urls.ts';
import { type Canary, openCanary } from '#test/canary.ts';
import { aUser, type TestUser } from '#test/factories.ts';
import { openWebhookTest, type WebhookTest } from '#test/webhooks.ts';

let test: WebhookTest;
let canary: Canary;
let owner: TestUser;
let id: string;
let urls: string[];
beforeAll(async () => {
  canary = await openCanary();
  test = await openWebhookTest();
  const hosts = [
    ...spellingsOfV4([127, 0, 0, 1]),
    ...spellingsOfV4([169, 254, 169, 254]),
    ...spellingsOfV4([168, 63, 129, 16]),
    ...BLOCKED_V6.map((address) => `[${address}]`),
    ...BLOCKED_NAMES,
  ];
  urls = [...hosts.map((host) => `https://${host}:${canary.port}/hooks`), ...trickyUrls(canary.port)];
});
afterAll(async () => {
  await test.close();
  await canary.close();
});
beforeEach(async () => {
  await test.forget();
  test.receiver.answers(() => ({}));
  owner = await aUser(test.rt);
  const made = await send('POST', '', { name: 'CRM', url: test.receiver.url, events: ['*'] });
  id = made.json().id;
});

const send = (method: 'GET' | 'POST' | 'PATCH', path: string, payload?: object) =>
  test.app.inject({ method, url: `/api/webhooks${path}`, headers: owner.headers, ...(payload && { payload }) });

/** So many addresses are looked at together: what a workspace of the largest plan may have. */
const AT_ONCE = 100;

/**
 * Puts addresses where the check at the door would have refused them, as if they had been stored before there was one.
 * @param work gets the webhooks that have them
 */
async function smuggle(work: (ids: string[]) => Promise<void>): Promise<void> {
  await test.pool.query(`update workspace set plan = 'enterprise' where id = $1`, [owner.workspace.id]);
  const ids = [id];
  while (ids.length < AT_ONCE) {
    ids.push((await send('POST', '', { name: 'CRM', url: test.receiver.url, events: ['*'] })).json().id);
  }
  for (let at = 0; at < urls.length; at += AT_ONCE) {
    const some = urls.slice(at, at + AT_ONCE);
    const { rowCount } = await test.pool.query(
      `update webhook set url = to_store.url, revision = revision + 1
        from unnest($1::uuid[], $2::text[]) as to_store (id, url) where webhook.id = to_store.id`,
      [ids.slice(0, some.length), some],
    );
    expect(rowCount).toBe(some.length);
    await test.pool.query('update webhook_flow set failures = 0, open_until = null');
    await work(ids.slice(0, some.length));
  }
}
async function errorsOf(cause: string): Promise<(string | null)[]> {
  const { rows } = await test.pool.query<{ error: string | null }>(
    `select error from webhook_delivery where workspace_id = $1 and (cause = 'test') = $2 and status <> 'delivered' order by id`,
    [owner.workspace.id, cause === 'test'],
  );
  return rows.map(({ error }) => error);
}

describe('a webhook to an address inside', () => {
  it('is made and changed with none of 150 spellings, and the field is named', async () => {
    expect(urls.length).toBeGreaterThan(150);
    const before = canary.count();
    for (const url of urls) {
      for (const answer of [
        await send('POST', '', { name: 'CRM', url, events: ['*'] }),
        await send('PATCH', `/${id}`, { url }),
      ]) {
        const { code, errors } = answer.json();
        expect([url, answer.statusCode, code, errors?.[0]]).toEqual([
          url,
          400,
          'validation_failed',
          { path: 'url', code: expect.any(String), message: expect.stringMatching(/^(?:must |Too small)/) },
        ]);
      }
    }
    expect((await send('GET', `/${id}`)).json().url).toBe(test.receiver.url);
    expect((await send('GET', '')).json().data).toHaveLength(1);
    expect(canary.count() - before).toBe(0);
  });

  it('is delivered to by none of 150 spellings, should it ever be stored', async () => {
    const before = canary.count();
    await smuggle(async (ids) => {
      await test.pool.query('delete from webhook where workspace_id = $1 and id <> all ($2)', [
        owner.workspace.id,
        ids,
      ]);
      await test.happen(owner.workspace.id, 'inside');
      await test.flow();
    });
    const errors = await errorsOf('event');
    expect(errors).toHaveLength(urls.length);
    expect(errors.filter((error) => !error?.startsWith('refused_'))).toEqual([]);
    expect(canary.count() - before).toBe(0);
    expect(test.receiver.received).toEqual([]);
  });

  it('is tested with none of 150 spellings, should it ever be stored', async () => {
    const before = canary.count();
    await smuggle(async (ids) => {
      for (const one of ids) await send('POST', `/${one}/test`);
      await test.flow();
      await test.sweep();
    });
    const errors = await errorsOf('test');
    expect(errors).toHaveLength(urls.length);
    expect(errors.filter((error) => !error?.startsWith('refused_'))).toEqual([]);
    expect(canary.count() - before).toBe(0);
    expect(test.receiver.received).toEqual([]);
  });

  it('is not reached by a redirect of an address outside', async () => {
    const before = canary.count();
    test.receiver.answers(() => ({ status: 307, headers: { location: `http://127.0.0.1:${canary.port}/` } }));
    await test.happen(owner.workspace.id, 'away');
    await test.flow();
    expect(test.receiver.received).toHaveLength(1);
    expect(await errorsOf('event')).toEqual(['status_307']);
    expect(canary.count() - before).toBe(0);
  });
});
