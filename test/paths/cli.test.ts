import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { callCli, startCli } from '#test/cli.ts';
import { manyPeople } from '#test/imports.ts';
import { createInstallation, freePort, type Installation, type Running } from '#test/processes.ts';
import { startReceiver } from '#test/webhooks.ts';

const PEOPLE = 12;
/** A campaign begins when its turn comes, and others' tests have the processor too. */
const PATIENTLY = { timeout: 180_000 };
let gateway: Awaited<ReturnType<typeof startReceiver>>;
let installation: Installation;
let api: Running & { url: string };
let folder: string;
let home: string;
let token: string;
let apiKey: string;
let channelId: string;

async function post<Answer extends object>(path: string, body: object): Promise<Answer> {
  const headers = { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const answer = await fetch(`${api.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  const said = (await answer.json()) as Answer;
  if (!answer.ok) throw new Error(JSON.stringify(said));
  return said;
}

const aKey = async (scopes: string[]) =>
  (await post<{ secret: string }>('/api/api-keys', { name: 'Runner', scopes })).secret;

beforeAll(async () => {
  gateway = await startReceiver();
  folder = await mkdtemp(`${tmpdir()}/wh-test-cli-`);
  installation = await createInstallation({ EGRESS_ALLOW: gateway.target });
  [api] = await Promise.all([
    installation.startApi(await freePort()),
    installation.startWorker('campaigns', 'bulk-operations', 'sentiment'),
    installation.startControl(),
  ]);
  token = '';
  const account = { email: 'runner@example.com', password: 'a long enough password', name: 'Ana' };
  ({ token } = await post<{ token: string }>('/api/auth/register', account));
  const scopes = ['campaigns:read', 'campaigns:run', 'channels:write', 'contacts:read', 'contacts:write'];
  apiKey = await aKey([...scopes, 'jobs:read', 'ai:run']);
  ({ id: channelId } = await post<{ id: string }>('/api/channels', {
    name: 'Gateway',
    kind: 'webhook',
    url: gateway.url,
  }));
}, 300_000);
afterAll(async () => {
  await installation.close();
  await gateway.close();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  home = join(folder, randomUUID());
});

const start = (args: string[], env: Record<string, string> = {}, input?: string) =>
  startCli(args, { XDG_CONFIG_HOME: home, WHATSHYBRID_URL: api.url, WHATSHYBRID_API_KEY: apiKey, ...env }, input);
const run = (...given: Parameters<typeof start>) => start(...given).ended;
const call = (args: string[], env: Record<string, string> = {}) =>
  callCli(args, { XDG_CONFIG_HOME: home, WHATSHYBRID_URL: api.url, WHATSHYBRID_API_KEY: apiKey, ...env });

const stored = () => join(home, 'whatshybrid', 'account.json');

/** Holds every message at the gateway until it is let go. */
function hold() {
  const { promise, resolve } = Promise.withResolvers<void>();
  gateway.answers(async ({ body }) => {
    await promise;
    return { status: 200, text: JSON.stringify({ messageId: JSON.stringify(body['data']).slice(0, 60) }) };
  });
  return {
    letGo: resolve,
    async arrived(): Promise<void> {
      await expect.poll(() => gateway.received.length, PATIENTLY).toBeGreaterThan(0);
    },
  };
}

async function aDraft(): Promise<string> {
  const words = [
    '--name',
    'Natal',
    '--channel',
    channelId,
    '--text',
    'Oi, {{contact.first_name|"amigo"}}!',
    '--label',
    'cli',
  ];
  const { exitCode, stdout, stderr } = await run(['campaigns', 'create', ...words]);
  expect(exitCode).toBe(0);
  expect(stderr).toContain("breaks WhatsApp's terms");
  expect(stderr).toContain('Cloud API');
  return stdout.trim();
}

describe('whatshybrid login', PATIENTLY, () => {
  const signedOut = { WHATSHYBRID_URL: '', WHATSHYBRID_API_KEY: '' };

  it('keeps a key that is good, for its owner alone, and sends it to its own address only', async () => {
    const login = await run(['login', '--url', api.url], signedOut, `${apiKey}\n`);
    expect(login).toMatchObject({ exitCode: 0, stdout: '' });
    expect((await stat(stored())).mode & 0o777).toBe(0o600);
    expect(await run(['campaigns', 'list', '--json'], signedOut)).toMatchObject({ exitCode: 0, stdout: '[]\n' });

    const asked: string[] = [];
    const other = createServer(({ url }, response) => {
      asked.push(url ?? '');
      response.end('{}');
    }).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const elsewhere = await run(['campaigns', 'list', '--url', `http://127.0.0.1:${port}`], signedOut);
    other.close();
    expect(elsewhere.exitCode).toBe(3);
    expect(elsewhere.stderr).toContain(`The stored key is for ${api.url}`);
    expect(asked).toEqual([]);

    expect((await run(['logout'], signedOut)).exitCode).toBe(0);
    expect((await run(['campaigns', 'list'], signedOut)).exitCode).toBe(3);
  });

  it('keeps nothing that the backend refuses, and never shows it', async () => {
    const wrong = `${apiKey.slice(0, -8)}AAAAAAAA`;
    const login = await run(['login', '--url', api.url, '--json'], signedOut, wrong);
    expect(login.exitCode).toBe(3);
    expect(login.json()).toMatchObject([{ problem: { status: 401, code: 'invalid_key' } }]);
    expect(login.stdout + login.stderr).not.toContain(wrong);
    await expect(stat(stored())).rejects.toThrow('ENOENT');
  });
});

describe('what goes wrong', PATIENTLY, () => {
  it('is told with the path of the field and a code for scripts', async () => {
    const [help, unknown, none, gone, invalid, other, nobody] = await Promise.all([
      call(['--help']),
      call(['campaigns', 'fly']),
      call([]),
      call(['campaigns', 'watch', randomUUID()]),
      call(['campaigns', 'create', '--name', 'x', '--channel', channelId, '--text', 'Oi', '--all', '--holdout', '70']),
      call(['campaigns', 'list'], { WHATSHYBRID_API_KEY: await aKey(['jobs:read']) }),
      call(['campaigns', 'pause', randomUUID(), '--json'], { WHATSHYBRID_URL: `http://127.0.0.1:${await freePort()}` }),
    ]);
    expect([help, unknown, none, gone, invalid, other, nobody].map(({ exitCode }) => exitCode)).toEqual([
      0, 2, 2, 1, 2, 3, 5,
    ]);
    expect(unknown.stderr).toContain("unknown command 'fly'");
    expect(gone).toMatchObject({ stdout: '', stderr: expect.stringContaining('404') });
    expect(invalid.stderr).toContain('holdoutPercent');
    expect(other.stderr).toContain('campaigns:read');
    expect(nobody.json()).toMatchObject([{ problem: { code: 'no_answer' } }]);
    expect(nobody.stderr).toContain('ECONNREFUSED');
  });

  it('is seen before anything is asked for', async () => {
    const both = [
      'campaigns',
      'create',
      '--name',
      'x',
      '--channel',
      channelId,
      '--text',
      'Oi',
      '--all',
      '--label',
      'vip',
    ];
    expect(await call(both)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('one of --all, --label') });
    expect(await call(['contacts', 'import', 'nothing.csv'])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('--yes'),
    });
  });
});

describe('whatshybrid contacts import', PATIENTLY, () => {
  it('says what a file is and would become, imports it, and keeps the refused rows with why', async () => {
    const file = join(folder, 'pessoas.csv');
    await writeFile(file, `${manyPeople(PEOPLE)}Ninguém;123;;Nada\n`);

    const dry = await call(['contacts', 'import', file, '--dry-run', '--map', 'Empresa=ignore']);
    expect(dry.exitCode).toBe(4);
    expect(dry.stdout.split('\n').map((line) => line.split('\t').slice(0, 3))).toEqual([
      ['1', 'Nome', 'name'],
      ['2', 'Celular', 'phone'],
      ['3', 'E-mail', 'email'],
      ['4', 'Empresa', 'left out'],
      [''],
    ]);
    expect(dry.stderr).toContain(`It would be: ${PEOPLE} created · 1 invalid`);
    expect(dry.stderr).toContain('row 13, Celular: invalid_phone');

    const done = await call(['contacts', 'import', file, '--yes', '--json', '--label', 'cli']);
    expect(done.exitCode).toBe(4);
    const steps = done.json();
    expect(steps.at(0)).toMatchObject({ step: 'uploaded', import: { rows: PEOPLE + 1, fileName: 'pessoas.csv' } });
    const counts = { created: PEOPLE, updated: 0, skipped: 0, invalid: 1 };
    expect(steps.at(-1)).toMatchObject({
      step: 'done',
      rejected: `${file}.rejected.csv`,
      import: { status: 'completed', counts },
    });
    expect(new Set(steps.slice(1, -1).map(({ step }) => step))).toEqual(new Set(['progress']));
    const rejected = await readFile(`${file}.rejected.csv`, 'utf8');
    expect(rejected.trim().split(/\r?\n/)).toEqual([
      '"Nome","Celular","E-mail","Empresa","reason","column"',
      '"Ninguém","123","","Nada","invalid_phone","Celular"',
    ]);

    const { import: made } = steps[0] as { import: { id: string } };
    const again = await call([
      'contacts',
      'import',
      '--continue',
      made.id,
      '--yes',
      '--rejected',
      join(folder, 'again.csv'),
    ]);
    expect(again.exitCode).toBe(4);
    expect(await readFile(join(folder, 'again.csv'), 'utf8')).toBe(rejected);
  });

  it('names a column that is not there, and the rows of a mapping that cannot be', async () => {
    const file = join(folder, 'poucas.csv');
    await writeFile(file, manyPeople(2, 500));
    const missing = await call(['contacts', 'import', file, '--yes', '--map', 'Fone=phone']);
    expect(missing).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('Nome, Celular, E-mail, Empresa') });
    const twice = await call(['contacts', 'import', file, '--yes', '--map', '1=email']);
    expect(twice).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('only one column can be email') });
  });
});

describe('whatshybrid campaigns', PATIENTLY, () => {
  it('are watched through the death of the API, and what happened meanwhile is not missed', async () => {
    const held = hold();
    const id = await aDraft();
    const watching = start(['campaigns', 'start', id, '--watch', '--json']);
    await watching.said(/"status":"running"/);
    await held.arrived();
    const port = Number(new URL(api.url).port);
    await api.kill('SIGKILL');
    await watching.said(/Trying again/);
    held.letGo();
    await expect.poll(() => gateway.received.length, PATIENTLY).toBe(PEOPLE);
    api = await installation.startApi(port);
    const { exitCode, stderr, json } = await watching.ended;
    expect(exitCode).toBe(0);
    expect(stderr).toContain('It answers again.');
    const [started, ...told] = json();
    expect(started).toMatchObject({ id });
    expect(told.every(({ campaignId }) => campaignId === id)).toBe(true);
    expect(told.at(-1)).toMatchObject({ status: 'completed', counters: { total: PEOPLE, sent: PEOPLE, pending: 0 } });
    const items = gateway.received.map(({ body }) => (body['data'] as { itemId: string }).itemId);
    expect(new Set(items).size).toBe(PEOPLE);

    const csv = join(folder, 'items.csv');
    const report = await run(['campaigns', 'report', id, '--csv', csv]);
    expect(report.exitCode).toBe(0);
    expect(report.stdout).toContain(`reached\t${PEOPLE}\t100.0 %`);
    expect((await readFile(csv, 'utf8')).trim().split(/\r?\n/)).toHaveLength(PEOPLE + 1);
  });

  it('go on when the watching ends, are paused and resumed, and asking twice is no error', async () => {
    const held = hold();
    const id = await aDraft();
    const watching = start(['campaigns', 'start', id, '--watch']);
    await watching.said(/^running/m);
    await held.arrived();
    watching.kill('SIGINT');
    const left = await watching.ended;
    expect(left.exitCode).toBe(130);
    expect(left.stderr).toContain(`The campaign goes on. Watch it again: whatshybrid campaigns watch ${id}`);

    const second = start(['campaigns', 'watch', id]);
    await second.said(/^running/m);
    expect((await run(['campaigns', 'pause', id])).stderr).toContain('Natal is paused.');
    expect(await second.ended).toMatchObject({ exitCode: 4, stdout: '', stderr: expect.stringContaining('resume') });
    expect(await run(['campaigns', 'pause', id])).toMatchObject({ exitCode: 0, stderr: 'Natal is already paused.\n' });
    held.letGo();
    expect((await run(['campaigns', 'resume', id])).exitCode).toBe(0);
    expect(await run(['campaigns', 'watch', id])).toMatchObject({ exitCode: 0, stdout: '' });
    expect(gateway.received).toHaveLength(PEOPLE);
    const ended = await run(['campaigns', 'cancel', id]);
    expect(ended).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('409') });
  });
});

describe('by hand', PATIENTLY, () => {
  it('a draft is shown, looked at, tried, planned, copied and deleted', async () => {
    const id = await aDraft();
    const shown = await call(['campaigns', 'show', id]);
    expect(shown).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('text\tOi, {{contact.first_name') });
    const people = await call(['campaigns', 'preview', id]);
    expect(people).toMatchObject({ exitCode: 0, stdout: `would get it\t${PEOPLE}\n` });
    expect(people.stderr).toMatch(/^Like .+\(\+55\d+\)/);

    gateway.answers(() => ({ status: 200, text: JSON.stringify({ messageId: 'tried-1' }) }));
    const tried = await call(['campaigns', 'test', id, '--to', '+5511987654321', '--json']);
    expect(tried.json()).toMatchObject([{ results: [{ to: '+5511987654321', outcome: 'sent', text: 'Oi, amigo!' }] }]);
    expect(tried.exitCode).toBe(0);
    expect((await call(['campaigns', 'test', id, '--to', 'nobody'])).exitCode).toBe(2);

    const planned = await call(['campaigns', 'schedule', id, '--at', '2099-01-15T09:00:00-03:00', '--json']);
    expect(planned.json()).toMatchObject([{ status: 'scheduled', scheduledAt: '2099-01-15T12:00:00.000Z' }]);
    const copy = await call(['campaigns', 'duplicate', id]);
    expect(copy).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^[\da-f-]{36}\n$/) });
    expect(copy.stderr).toContain("breaks WhatsApp's terms");
    const other = copy.stdout.trim();
    expect((await call(['campaigns', 'delete', other, '--json'])).json()).toEqual([{ id: other, deleted: true }]);
    expect((await call(['campaigns', 'show', other])).exitCode).toBe(1);
    expect((await call(['campaigns', 'list', '--limit', '1', '--json'])).json()[0]).toHaveLength(1);
  });

  it('a channel is shown, paused and resumed', async () => {
    const listed = await call(['channels', 'list']);
    expect(listed.stdout).toContain(`${channelId}\twebhook\tactive`);
    expect((await call(['channels', 'pause', channelId])).stderr).toBe('Gateway is paused.\n');
    expect((await call(['channels', 'show', channelId])).stdout).toContain('state\tpaused');
    expect((await call(['channels', 'resume', channelId, '--json'])).json()).toMatchObject([{ state: 'active' }]);
    expect(await call(['channels', 'test', channelId])).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('409'),
    });
  });

  it('what failed is tried again, and of what is unknown is said how it ended', async () => {
    gateway.answers(() => ({ status: 400, text: '{}' }));
    const id = await aDraft();
    const failed = await call(['campaigns', 'start', id, '--watch']);
    expect(failed.stderr).toContain(`campaigns retry-failed ${id}`);
    expect(failed.exitCode).toBe(4);
    const items = await call(['campaigns', 'items', id, '--status', 'failed', '--json']);
    expect(items.json()[0]).toHaveLength(PEOPLE);
    gateway.answers(() => ({ status: 200, text: JSON.stringify({ messageId: randomUUID() }) }));
    const again = await call(['campaigns', 'retry-failed', id, '--watch']);
    expect(again).toMatchObject({ exitCode: 0, stderr: expect.stringContaining(`${PEOPLE} are tried once more.`) });

    // As when nothing came back of the post: which takes a quarter of an hour by itself.
    const { rows } = await installation.pool.query<{ id: string }>(
      `update campaign_item set status = 'unknown' where campaign_id = $1 returning id`,
      [id],
    );
    await installation.pool.query(`update campaign set status = 'completed_with_unknown' where id = $1`, [id]);
    const watched = await call(['campaigns', 'watch', id]);
    expect(watched.exitCode).toBe(4);
    expect(watched.stderr).toContain(`Nobody knows whether ${PEOPLE} arrived`);
    expect(watched.stderr).toContain(`campaigns resolve ${id} --as`);
    const one = await call(['campaigns', 'resolve', id, '--as', 'sent', '--item', rows[0]?.id ?? '', '--json']);
    expect(one.json()).toMatchObject([{ id: rows[0]?.id, status: 'sent' }]);
    const rest = await call(['campaigns', 'resolve', id, '--as', 'failed', '--json']);
    expect(rest.json()).toEqual([{ resolved: PEOPLE - 1 }]);
    expect((await call(['campaigns', 'resolve', id])).exitCode).toBe(2);
  });
});

describe('what is under way', PATIENTLY, () => {
  it('is shown until it has ended', async () => {
    const { jobId } = await post<{ jobId: string }>('/api/ai/sentiment', { text: 'Adorei, muito obrigada!' });
    const page = await fetch(`${api.url}/api/operations`, { headers: { authorization: `Bearer ${token}` } });
    const { data } = (await page.json()) as { data: { id: string; kind: string }[] };
    const [job, told, nothing, operation] = await Promise.all([
      run(['jobs', 'watch', jobId]),
      run(['jobs', 'watch', jobId, '--json']),
      run(['operations', 'watch']),
      run(['operations', 'watch', data[0]?.id ?? '', '--json']),
    ]);
    expect(job.exitCode).toBe(0);
    expect(JSON.parse(job.stdout)).toMatchObject({ sentiment: 'positive' });
    expect(told.json().at(-1)).toMatchObject({ event: 'job.completed', data: { id: jobId, status: 'completed' } });
    expect(nothing).toMatchObject({ exitCode: 0, stderr: 'Nothing is under way.\n' });
    expect(operation.json()).toMatchObject([{ kind: 'contacts.import', status: 'completed' }]);
    for (const args of [
      ['jobs', 'cancel', jobId],
      ['operations', 'cancel', data[0]?.id ?? ''],
      ['imports', 'cancel', randomUUID()],
    ])
      expect(await call(args)).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/completed|404/) });
  });
});
