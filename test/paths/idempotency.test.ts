import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BackendClient } from '../../client/src/index.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';

const NAME = { name: 'Bia' };

let installation: Installation;
let api: Running & { url: string };
let token: string;
beforeAll(async () => {
  installation = await createInstallation();
  api = await installation.startApi();
  const client = new BackendClient({ baseUrl: api.url });
  const email = `ana-${randomUUID()}@example.com`;
  await client.register({ email, password: 'a long enough password', name: 'Ana' });
  client.close();
  const body = JSON.stringify({ email, password: 'a long enough password' });
  const headers = { 'content-type': 'application/json' };
  const signedIn = await fetch(`${api.url}/api/auth/login`, { method: 'POST', headers, body });
  ({ token } = (await signedIn.json()) as { token: string });
}, 240_000);
afterAll(() => installation.close());

const make = async (key: string) => {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': key };
  const answer = await fetch(`${api.url}/api/contacts`, { method: 'POST', headers, body: JSON.stringify(NAME) });
  const { code } = (await answer.json()) as { code?: string };
  return { status: answer.status, code, replayed: answer.headers.get('idempotent-replayed') };
};
const contacts = async (): Promise<number> =>
  (await installation.pool.query<{ n: number }>('select count(*)::int as n from contact')).rows[0]?.n ?? -1;

/** Has every statement of a kind on a table stop where it is, for as long as the work lasts. */
async function stopping(when: string, work: (stopped: () => Promise<void>) => Promise<void>): Promise<void> {
  const { pool } = installation;
  await pool.query(
    `create function stops() returns trigger language plpgsql as $$ begin perform pg_sleep(600); return new; end $$`,
  );
  await pool.query(`create trigger stops before ${when} for each row execute function stops()`);
  try {
    await work(async () => {
      const sleeping = `select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`;
      await expect.poll(async () => (await pool.query(sleeping)).rowCount).toBe(1);
    });
  } finally {
    const others = `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`;
    await pool.query(others);
    await pool.query('drop function stops cascade');
  }
}

describe('an API process that is killed at a POST with an Idempotency-Key', () => {
  it('before the change is there: nothing was done, and it is done when it is sent again', async () => {
    const [key, before] = [randomUUID(), await contacts()];
    await stopping('insert on contact', async (stopped) => {
      const cut = make(key).catch(() => 'cut');
      await stopped();
      await api.kill('SIGKILL');
      expect(await cut).toBe('cut');
    });
    api = await installation.startApi();
    expect(await contacts()).toBe(before);
    expect(await make(key)).toMatchObject({ status: 201, replayed: null });
    expect(await make(key)).toMatchObject({ status: 201, replayed: 'true' });
    expect(await contacts()).toBe(before + 1);
  }, 240_000);

  it('between the change and the keeping of its answer: it is done once, and nobody makes up an answer', async () => {
    const [key, before] = [randomUUID(), await contacts()];
    await stopping('update on idempotent_request', async (stopped) => {
      const cut = make(key).catch(() => 'cut');
      await stopped();
      await api.kill('SIGKILL');
      expect(await cut).toBe('cut');
    });
    expect(await contacts()).toBe(before + 1);
    api = await installation.startApi();
    expect(await make(key)).toEqual({ status: 409, code: 'idempotency_in_progress', replayed: null });
    // A minute later.
    await installation.pool.query(
      `update idempotent_request set created_at = created_at - interval '1 minute' where not is_over`,
    );
    expect(await make(key)).toEqual({ status: 409, code: 'idempotency_result_unknown', replayed: null });
    expect(await contacts()).toBe(before + 1);
  }, 240_000);
});
