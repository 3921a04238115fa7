import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { callCli } from '../../test/cli.ts';
import { type Reply, says, Stranger } from '../test/stranger.ts';

const KEY = `wh_live_${'k'.repeat(40)}`;

let folder: string;
const strangers: Stranger[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wh-cli-'));
});
afterEach(async () => {
  for (const stranger of strangers.splice(0)) stranger.close();
  await rm(folder, { recursive: true });
});

async function open(reply: (request: string) => Reply): Promise<Stranger> {
  const stranger = await Stranger.open(reply);
  strangers.push(stranger);
  return stranger;
}
const cli = (
  args: string[],
  { env = {}, ...more }: { env?: Record<string, string> } & Parameters<typeof callCli>[2] = {},
) => callCli(args, { XDG_CONFIG_HOME: folder, WHATSHYBRID_API_KEY: KEY, ...env }, more);

const account = () => join(folder, 'whatshybrid', 'account.json');
async function keep(content: string): Promise<void> {
  await mkdir(join(folder, 'whatshybrid'), { recursive: true });
  await writeFile(account(), content, { mode: 0o600 });
}

const COUNTERS = {
  total: 20,
  pending: 8,
  claimed: 0,
  dispatching: 0,
  sent: 11,
  delivered: 0,
  read: 0,
  failed: 1,
  skipped: 0,
  cancelled: 0,
  unknown: 0,
};
const OPERATION = { id: 'o', kind: 'contacts.import', done: 2, total: 2, counts: {}, problem: null };
const IMPORT = {
  id: randomUUID(),
  fileName: null,
  status: 'uploaded',
  format: 'csv',
  encoding: 'utf-8',
  delimiter: ',',
  rows: 1,
  columns: [{ column: 0, header: 'Nome', to: 'name', samples: ['Ana'] }],
  done: 0,
  counts: { created: 0, updated: 0, skipped: 0, invalid: 0 },
  operationId: null,
  dryRun: false,
  mode: null,
  problem: null,
};

describe('an API key', () => {
  it('that cannot be one is sent nowhere and never shown', async () => {
    const server = await open(() => says({}));
    for (const bad of [`${KEY}\n`, `${KEY}\nx: y`, `${KEY} ç`]) {
      const given = await cli(['campaigns', 'list', '--url', server.url, '--json'], {
        env: { WHATSHYBRID_API_KEY: bad },
      });
      expect(given.exitCode).toBe(2);
      await keep(JSON.stringify({ url: server.url, apiKey: bad }));
      const kept = await cli(['campaigns', 'list'], { env: { WHATSHYBRID_API_KEY: '' } });
      expect(kept.exitCode).toBe(3);
      expect(given.stdout + given.stderr + kept.stdout + kept.stderr).not.toContain('kkk');
    }
    expect(server.seen).toEqual([]);
  });

  it('is taken out of whatever is told', async () => {
    const detail = `${KEY} is not known.`;
    const server = await open(() => ({ ...says({ code: 'invalid_key', detail, message: detail }), status: 401 }));
    const told = await cli(['campaigns', 'list', '--url', server.url, '--json']);
    expect(told.json()).toMatchObject([{ problem: { detail: 'wh_live_… is not known.' } }]);
    const unknown = await cli([KEY]);
    expect(told.stdout + told.stderr + unknown.stderr).not.toContain('kkk');
    expect((await cli(['campaigns', 'list', '--url', 'https://ana:secret@a.example'])).stderr).not.toContain('secret');
  });
});

describe('a stored account', () => {
  it('does not matter where the environment says all, and is named where it cannot be read', async () => {
    const server = await open(() => says({ data: [], page: { hasMore: false, nextCursor: null } }));
    await mkdir(account(), { recursive: true });
    expect((await cli(['campaigns', 'list'], { env: { WHATSHYBRID_URL: server.url } })).exitCode).toBe(0);
    for (const args of [['campaigns', 'list'], ['logout']]) {
      const told = await cli(args, { env: { WHATSHYBRID_API_KEY: '' } });
      expect(told).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(`${account()} cannot be`) });
    }
  });

  it('that is damaged is called so, and forgotten by a logout', async () => {
    for (const content of ['{"url":', '{"url":"nowhere","apiKey":"k"}', '[]']) {
      await keep(content);
      const told = await cli(['campaigns', 'list'], { env: { WHATSHYBRID_API_KEY: '' } });
      expect(told).toMatchObject({ exitCode: 3, stderr: expect.stringContaining(`${account()} is damaged`) });
      expect((await cli(['logout'])).exitCode).toBe(0);
      expect(await readdir(join(folder, 'whatshybrid'))).toEqual([]);
    }
    expect((await cli(['logout'])).exitCode).toBe(1);
  });

  it('is kept only for what answers as the backend does', async () => {
    for (const reply of [says({}), says([]), { body: '<p>Hello</p>' }, { status: 204 }, says({ ticket: 1 })]) {
      const server = await open(() => reply);
      const told = await cli(['login', '--url', server.url, '--json'], { input: KEY });
      expect(told.exitCode).toBe(5);
      expect(told.json()).toMatchObject([{ problem: { code: 'not_the_backend' } }]);
      await expect(stat(account())).rejects.toThrow('ENOENT');
    }
    const backend = await open(() => says({ ticket: 't', expiresInSeconds: 30 }));
    expect((await cli(['login', '--url', backend.url], { input: KEY })).exitCode).toBe(0);
    expect(JSON.parse(await readFile(account(), 'utf8'))).toEqual({ url: backend.url, apiKey: KEY });
  });
});

describe('with --json stdout', () => {
  it('has JSON whatever the command line is', async () => {
    const wrong = [['campaigns', 'fly'], [], ['campaigns', 'pause'], ['campaigns', 'list', '--nothing'], ['campaigns']];
    for (const args of wrong) {
      const told = await cli([...args, '--json']);
      expect(told.exitCode).toBe(2);
      expect(told.json()).toEqual([{ problem: { code: 'usage', detail: expect.stringMatching(/^\S/) } }]);
      expect(told.stderr).not.toBe('');
    }
    expect((await cli(['--version', '--json'])).json()).toEqual([{ version: expect.stringMatching(/^\d/) }]);
    expect((await cli(['campaigns', '--help', '--json'])).json()).toEqual([
      { help: expect.stringContaining('campaigns') },
    ]);
  });

  it('is no file at the same time', async () => {
    const server = await open(() => says({}));
    const env = { WHATSHYBRID_URL: server.url };
    const both = [
      ['campaigns', 'report', 'x', '--csv', '-'],
      ['contacts', 'import', '--continue', 'x', '--yes', '--rejected', '-'],
    ];
    for (const args of both) {
      const told = await cli([...args, '--json'], { env });
      expect(told.exitCode).toBe(2);
      expect(told.json()).toMatchObject([{ problem: { code: 'usage' } }]);
    }
    expect(server.seen).toEqual([]);
  });
});

describe('what is not the backend', () => {
  it('is called so, whatever is asked', async () => {
    const commands = [
      ['campaigns', 'list'],
      ['campaigns', 'show', 'x'],
      ['campaigns', 'start', 'x'],
      ['campaigns', 'watch', 'x'],
      ['campaigns', 'report', 'x'],
      ['campaigns', 'report', 'x', '--csv', join(folder, 'x.csv')],
      ['campaigns', 'items', 'x'],
      ['channels', 'list'],
      ['jobs', 'watch', 'x'],
      ['operations', 'watch', 'x'],
      ['operations', 'watch'],
      ['contacts', 'import', '--continue', 'x', '--dry-run'],
    ];
    for (const reply of [says({}), says(null), { status: 204 }, { status: 404, body: '<p>Nothing</p>' }]) {
      const server = await open(() => reply);
      const told = await Promise.all(
        commands.map((args) => cli([...args, '--json'], { env: { WHATSHYBRID_URL: server.url } })),
      );
      for (const { exitCode, json } of told) {
        expect(json()).toMatchObject([{ problem: { code: 'not_the_backend' } }]);
        expect(exitCode).toBe(5);
      }
    }
    expect(await readdir(folder)).toEqual([]);
  });

  it('gets nothing that was meant for another', async () => {
    const other = await open(() => says(IMPORT));
    const file = join(folder, 'people.csv');
    await writeFile(file, 'Nome,Fone\nAna,5511987654321\n');
    for (const status of [301, 302, 307, 308]) {
      const server = await open((request) => ({
        status,
        headers: { location: `${other.url}${request.split(' ')[1]}` },
      }));
      const told = await cli(['contacts', 'import', file, '--dry-run', '--url', server.url]);
      expect(told).toMatchObject({ exitCode: 5, stderr: expect.stringContaining(`redirected to ${other.url}`) });
      expect(server.seen).toHaveLength(1);
    }
    expect(other.seen).toEqual([]);
  });
});

const imports = () => open((request) => (request === 'POST /api/imports' ? says(IMPORT) : { status: 500, body: '{}' }));

describe('contacts import', () => {
  it('names a file that cannot be read, and asks nobody', async () => {
    const server = await imports();
    const loop = join(folder, 'loop.csv');
    await symlink(loop, loop);
    for (const [path, why] of [
      [loop, 'cannot be read: ELOOP'],
      [folder, 'is a directory'],
      [join(folder, 'none.csv'), 'There is no file'],
    ] as const) {
      const told = await cli(['contacts', 'import', path, '--dry-run', '--url', server.url]);
      expect(told).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(why) });
    }
    expect(server.seen).toEqual([]);
  });

  it('sees before it begins where the refused rows cannot go', async () => {
    const server = await imports();
    const file = join(folder, 'people.csv');
    await writeFile(file, 'Nome\nAna\n');
    await symlink(file, join(folder, 'link.csv'));
    for (const [rejected, why] of [
      [join(folder, 'none', 'x.csv'), 'ENOENT'],
      [folder, 'EISDIR'],
      [file, 'is the file that is imported'],
      [join(folder, 'link.csv'), 'is the file that is imported'],
    ] as const) {
      const told = await cli(['contacts', 'import', file, '--yes', '--rejected', rejected, '--url', server.url]);
      expect(told).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(why) });
    }
    expect(server.seen).toEqual([]);
    expect(await readFile(file, 'utf8')).toBe('Nome\nAna\n');
    expect((await readdir(folder)).toSorted()).toEqual(['link.csv', 'people.csv']);
  });

  it('takes stdin, and says what to do where no column is a phone', async () => {
    const server = await imports();
    const rejected = join(folder, 'x.csv');
    const args = ['contacts', 'import', '-', '--yes', '--rejected', rejected, '--url', server.url];
    const told = await cli(args, { input: 'Nome\nAna\n' });
    expect(server.seen).toMatchObject([{ body: 'Nome\nAna\n', headers: { 'content-type': 'text/csv' } }]);
    expect(told).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('No column is a phone: say --map N=phone'),
    });
    expect(told.stderr).toContain('1 Nome');
    await cli(args, { input: 'PK\u0003\u0004' });
    expect(server.seen.at(-1)?.headers['content-type']).toContain('spreadsheetml');
  });

  it('tells what was done before it fails to keep the refused rows', async () => {
    const counts = { created: 1, updated: 0, skipped: 0, invalid: 1 };
    const done = { ...IMPORT, status: 'completed', operationId: 'o', counts };
    const operation = { ...OPERATION, status: 'completed', counts };
    const server = await open((request) => {
      if (request.endsWith('/rejected.csv')) return { status: 500, body: '{"code":"broken","detail":"Broken."}' };
      return says(request.includes('/operations/') ? operation : done);
    });
    const rejected = join(folder, 'x.csv');
    const args = ['contacts', 'import', '--continue', IMPORT.id, '--yes', '--json', '--rejected', rejected];
    const told = await cli(args, { env: { WHATSHYBRID_URL: server.url } });
    expect(told.exitCode).toBe(1);
    expect(told.json().slice(-2)).toMatchObject([
      { step: 'done', import: { counts } },
      { problem: { code: 'broken' } },
    ]);
    expect(await readdir(folder)).toEqual([]);
  });
});

const report = (): Reply => ({ headers: { 'content-type': 'text/csv; charset=utf-8' }, body: 'id\n1\n' });

describe('a file with people in it', () => {
  it('is for its owner alone, whoever could read the one before, and whole or not at all', async () => {
    let reply = report();
    const server = await open((request) => (request.endsWith('.csv') ? reply : says({})));
    const [file, link] = [join(folder, 'x.csv'), join(folder, 'link.csv')];
    await writeFile(file, 'before', { mode: 0o644 });
    await symlink(file, link);
    await cli(['campaigns', 'report', 'x', '--csv', link, '--url', server.url]);
    expect(await readFile(file, 'utf8')).toBe('id\n1\n');
    expect((await stat(file)).mode & 0o777).toBe(0o600);

    reply = { ...report(), isCut: true };
    const broken = await cli(['campaigns', 'report', 'x', '--csv', file, '--url', server.url]);
    expect(broken.exitCode).toBe(5);
    expect(await readFile(file, 'utf8')).toBe('id\n1\n');
    expect((await readdir(folder)).toSorted()).toEqual(['link.csv', 'x.csv']);
  });

  it('may be none', async () => {
    const server = await open((request) => (request.endsWith('.csv') ? report() : says({})));
    await cli(['campaigns', 'report', 'x', '--csv', '/dev/null', '--url', server.url]);
    expect((await stat('/dev/null')).isCharacterDevice()).toBe(true);
    const told = await cli(['campaigns', 'report', 'x', '--csv', '-', '--url', server.url]);
    expect(told).toMatchObject({ exitCode: 0, stdout: 'id\n1\n' });
  });
});

describe('people', () => {
  it('see percent and counts on a narrow terminal', async () => {
    const progress = { pauseReason: null, counters: COUNTERS, etaSeconds: null };
    const server = await open(() => says({ ...progress, status: 'completed_with_unknown' }));
    const args = ['campaigns', 'watch', 'x', '--url', server.url];
    const { stdout } = await cli(args, { columns: 30 });
    const lines = stripVTControlCharacters(stdout).trimEnd().split('\n');
    expect(lines).toEqual(['completed_with_unknown', '60 % 12/20  11 sent  1 failed']);
    const wide = stripVTControlCharacters((await cli(args, { columns: 100 })).stdout);
    expect(wide).toMatch(/^completed_with_unknown {2}█+░+ {2}60 % 12\/20 {2}11 sent · 1 failed\n$/);
  });

  it('are told once that it is busy', async () => {
    let asked = 0;
    const page = { data: [], page: { hasMore: false, nextCursor: null } };
    const busy = { status: 503, ...says({ code: 'busy', detail: 'Busy.' }) };
    const server = await open(() => ((asked += 1) < 4 ? busy : says(page)));
    const told = await cli(['campaigns', 'list', '--url', server.url, '--json']);
    expect(told).toMatchObject({ exitCode: 0, stdout: '[]\n', stderr: 'Busy. (503 busy) Trying again …\n' });
  });

  it('may ask for help in words', async () => {
    expect(await cli(['help'])).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Usage: whatshybrid') });
    expect((await cli(['help', 'campaigns'])).stdout).toContain('retry-failed');
  });
});

describe('long work', () => {
  const conflict: Reply = { status: 409, ...says({ code: 'operation_over', detail: 'The operation is over.' }) };

  it('is cancelled, and asking twice is no error', async () => {
    let state = 'active';
    let asked: Reply = says({ ...OPERATION, status: state });
    const server = await open((request) =>
      request.startsWith('POST') ? asked : says({ ...OPERATION, status: state }),
    );
    const cancel = () => cli(['operations', 'cancel', 'o', '--url', server.url]);
    expect(await cancel()).toMatchObject({ exitCode: 0, stderr: 'It is active, and ends before its next step.\n' });
    [state, asked] = ['cancelled', conflict];
    expect(await cancel()).toMatchObject({ exitCode: 0, stderr: 'It is cancelled.\n' });
    state = 'completed';
    expect(await cancel()).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('409') });
    expect(server.seen[0]?.request).toBe('POST /api/operations/o/cancel');
  });
});

describe('lists', () => {
  it('are read page after page, as far as is asked', async () => {
    const rows = Array.from({ length: 250 }, (_, at) => ({
      id: `c${at}`,
      name: 'Natal',
      status: 'draft',
      createdAt: '2026-11-26T00:00:00Z',
      channelId: 'x',
      audience: {},
      variants: [],
      counters: COUNTERS,
    }));
    const pages: string[] = [];
    const server = createServer((request, response) => {
      const query = new URL(request.url ?? '', 'http://x').searchParams;
      const [limit, from] = [Number(query.get('limit')), Number(query.get('cursor') ?? 0)];
      pages.push(`${from}+${limit}`);
      const to = from + limit;
      const page = { hasMore: to < rows.length, nextCursor: to < rows.length ? String(to) : null };
      response.end(JSON.stringify({ data: rows.slice(from, to), page }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const env = { WHATSHYBRID_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
    const some = await cli(['campaigns', 'list', '--limit', '120'], { env });
    expect(some.stdout.split('\n')).toHaveLength(121);
    expect(some.stderr).toContain('Only the newest 120');
    expect((await cli(['campaigns', 'list', '--limit', '1000', '--json'], { env })).json()[0]).toHaveLength(250);
    expect(pages).toEqual(['0+100', '100+20', '0+100', '100+100', '200+100']);
    expect((await cli(['campaigns', 'list', '--limit', '0'], { env })).exitCode).toBe(2);
    server.close();
    server.closeAllConnections();
  });
});
