import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkLedger, openField, POINTS, type Field } from '#test/drills/ledger-points.ts';
import { createInstallation, type Installation } from '#test/processes.ts';

interface Answer {
  token: string;
  workspace: { id: string };
  jobId: string;
}

describe('whoever is killed between the accept and the end of a job', () => {
  let field: Field;
  beforeAll(async () => {
    field = await openField();
  });
  afterAll(() => field.close());

  it.each(Object.entries(POINTS))('%s: the books are even once it is quiet', async (_name, strike) => {
    await strike(field);
    const { problems, jobs } = await checkLedger(field);
    expect(problems).toEqual([]);
    expect(jobs).toBeGreaterThan(0);
  });
});

describe('four API processes', () => {
  let installation: Installation;
  beforeAll(async () => {
    installation = await createInstallation({
      STARTING_CREDITS: '0',
      OPENAI_API_KEY: 'sk-simulated',
      OPENAI_MODELS: 'gpt-4o-mini',
      MAX_EVENT_LOOP_DELAY_MS: '0',
    });
  });
  afterAll(() => installation.close());

  it('admit 137 of 500 jobs between them where the credits pay for 137', async () => {
    const apis = await Promise.all([1, 2, 3, 4].map(() => installation.startApi()));
    const send = async (at: number, path: string, body: object, token?: string) => {
      const headers = { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) };
      const answer = await fetch(`${apis[at % 4]?.url}${path}`, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
      });
      return { status: answer.status, body: (await answer.json()) as Answer };
    };
    const person = { email: 'race@example.com', password: 'long enough for a race', name: 'Race' };
    const { body: session } = await send(0, '/api/auth/register', person);
    const workspaceId = session.workspace.id;
    const grant = (micro: number) =>
      installation.pool.query(`select credit_grant($1, 'grant', $2, $3, null, 0, null)`, [
        workspaceId,
        micro,
        randomUUID(),
      ]);
    const account = async () =>
      (
        await installation.pool.query(
          'select balance::float8 as free, held::float8 from credit_account where workspace_id = $1',
          [workspaceId],
        )
      ).rows[0];
    const ask = (at: number) =>
      send(
        at,
        '/api/ai/chat',
        { messages: [{ role: 'user', content: 'quanto custa?' }], options: { provider: 'openai' } },
        session.token,
      );

    // What one holds is what the platform says, not this test.
    await grant(10_000_000);
    const { body: first } = await ask(0);
    const hold = (await account()).held;
    expect(hold).toBeGreaterThan(0);
    await send(1, `/api/jobs/${first.jobId}/cancel`, {}, session.token);
    expect((await account()).held).toBe(0);
    await grant(137 * hold + Math.floor(hold / 2) - 10_000_000);

    const answers = await Promise.all(Array.from({ length: 500 }, (_, at) => ask(at)));
    const counts = Object.groupBy(answers, ({ status }) => `${status}`);
    expect(Object.fromEntries(Object.entries(counts).map(([status, of]) => [status, of?.length]))).toEqual({
      202: 137,
      402: 363,
    });
    expect(await account()).toEqual({ free: Math.floor(hold / 2), held: 137 * hold });
  }, 120_000);
});
