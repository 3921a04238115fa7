import { afterAll, beforeAll, expect, it } from 'vitest';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { readConfig } from '#src/config.ts';
import { openOrm } from '#src/db/orm.ts';
import { createLog } from '#src/lib/log.ts';
import type { SignedInView } from '#src/modules/auth/auth.schemas.ts';
import { entities } from '#src/modules/entities.ts';
import { addContacts, checkCounters, somePeople } from '#test/campaigns.ts';
import { post } from '#test/drills/webhook-field.ts';
import { createInstallation, type Installation, type Running } from '#test/processes.ts';

const PEOPLE = 50;
const CREDENTIALS = {
  phoneNumberId: '106540352242922',
  accessToken: 'EAAG-a-token-of-a-system-user',
  appSecret: 'the-secret-of-the-app',
  verifyToken: 'chosen-by-the-owner',
};

let simulator: Simulator;
let installation: Installation;
let api: Running & { url: string };
let worker: Running;
beforeAll(async () => {
  simulator = await createSimulator();
  installation = await createInstallation({
    EGRESS_ALLOW: new URL(simulator.url).host,
    WHATSAPP_CLOUD_BASE_URL: `${simulator.url}/whatsapp/v25.0`,
    CAMPAIGN_LEASE_MS: '4000',
    JOB_LEASE_MS: '2000',
  });
  [api, worker] = await Promise.all([
    installation.startApi(),
    installation.startWorker('campaigns'),
    installation.startControl(),
  ]);
});
afterAll(async () => {
  await installation.close();
  await simulator.close();
});

it('writes to fifty people through every process, once each, whatever Meta answers and whoever is killed', async () => {
  const account = { email: 'ana@example.com', password: 'long enough for a path', name: 'Ana' };
  const { token, workspace } = await post<SignedInView>(`${api.url}/api/auth/register`, account);
  const orm = openOrm(readConfig(installation.env), entities, { role: 'wh_app', log: createLog('silent', 'path') });
  await addContacts({ orm }, workspace.id, somePeople(PEOPLE));
  await orm.close();
  const channel = { name: 'Loja', kind: 'cloud_api', phone: '+551133334444', credentials: CREDENTIALS };
  const { id: channelId } = await post<{ id: string }>(`${api.url}/api/channels`, channel, token);
  simulator.cloud.script(CREDENTIALS.phoneNumberId, {
    accessToken: CREDENTIALS.accessToken,
    webhook: { url: `${api.url}/api/hooks/meta/${channelId}`, appSecret: CREDENTIALS.appSecret },
    templates: [{ name: 'natal', language: 'pt_BR', parameters: 1 }],
    faults: [
      { share: 0.06, code: 131026 },
      { share: 0.06, code: 131000 },
      { share: 0.06, code: 130429 },
      { share: 0.04, code: 131056 },
      { share: 0.04, lost: 'cut' },
      { share: 0.04, lost: 'html_502' },
    ],
    fates: [{ share: 0.1, code: 131049 }],
    tell: { times: 3, shuffled: true, delayMs: 1500 },
    delayMs: 20,
    seed: 20_261_129,
  });
  const body = {
    name: 'Natal',
    channelId,
    content: { text: 'Oi {{contact.first_name|"amigo"}}', cloudTemplate: { name: 'natal', language: 'pt_BR' } },
    audience: { all: true },
  };
  const { id } = await post<{ id: string }>(`${api.url}/api/campaigns`, body, token);
  const ask = (verb: string) =>
    fetch(`${api.url}/api/campaigns/${id}/${verb}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'idempotency-key': `${id}-start` },
    });
  await ask('start');
  await expect.poll(() => simulator.cloud.journal.length, { timeout: 60_000 }).toBeGreaterThan(8);
  await worker.kill('SIGKILL');
  worker = await installation.startWorker('campaigns');

  // Waits for tries again are moved forward; a campaign that paused for its unknown messages is resumed.
  const { pool } = installation;
  const isOver = async (): Promise<boolean> => {
    await pool.query(
      `update campaign_item set next_attempt_at = now() where status = 'pending' and next_attempt_at > now()`,
    );
    await pool.query(
      `update channel_flow set not_before = '-infinity', blocked_until = '-infinity', slowed_until = '-infinity'`,
    );
    const { rows } = await pool.query<{ status: string }>('select status from campaign');
    if (rows[0]?.status === 'paused') await ask('resume');
    return rows[0]?.status.startsWith('completed') ?? false;
  };
  await expect.poll(isOver, { timeout: 120_000, interval: 100 }).toBe(true);
  await simulator.cloud.idle();

  const items = (await pool.query<{ id: string; status: string }>('select id, status from campaign_item')).rows;
  expect(items).toHaveLength(PEOPLE);
  const problems: string[] = [];
  const { journal } = simulator.cloud;
  for (const { id: itemId, status } of items) {
    const sent = journal.filter(({ callback, effect }) => effect && callback.startsWith(itemId));
    const fate = sent[0]?.fate ?? null;
    // A worker that was killed between its begin and its call leaves what nobody knows.
    const right = sent.length === 0 ? ['failed', 'unknown'] : fate === null ? ['delivered', 'read'] : ['failed'];
    if (sent.length > 1 || !right.includes(status))
      problems.push(`${itemId}: ${sent.length} sent, ${fate}, is ${status}`);
  }
  expect(problems).toEqual([]);
  const attempts = journal.map(({ callback }) => callback);
  expect(new Set(attempts).size).toBe(attempts.length);
  expect(await checkCounters(pool)).toEqual([]);
  // Otherwise it would have proved little.
  for (const answered of [131026, 131000, 130429, 'lost'])
    expect(journal.map((one) => one.answered)).toContain(answered);
  // An API that is overloaded says so, and is told again.
  const answers = new Set(simulator.cloud.answersOf(CREDENTIALS.phoneNumberId)).difference(new Set([200, 503]));
  expect([...answers]).toEqual([]);
  expect(worker.crash()).toBeNull();
}, 600_000);
