import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { isOneOf } from '#src/lib/egress-connect.ts';
import { createEgress, EgressFailed, EgressRefused, type EgressOptions } from '#src/lib/egress.ts';
import { BLOCKED_V4, BLOCKED_V6, blockedHosts, spellingsOfV4, trickyUrls } from '#test/blocked-urls.ts';
import { type Canary, openCanary } from '#test/canary.ts';

const POST: EgressOptions = {
  method: 'POST',
  headers: {},
  body: '{}',
  connectTimeoutMs: 8000,
  timeoutMs: 10_000,
  maxBytes: 1000,
};
/** Public by every list, and in a part of IPv6 that IANA gave to nobody: there is nothing to reach. */
const PUBLIC = '2d00::1';
const LOOPBACK = '127.0.0.1';
const outcome = (asked: Promise<unknown>) =>
  asked.then(
    () => 'answered',
    (error: unknown) => {
      if (error instanceof EgressRefused) return error.reason;
      if (error instanceof EgressFailed) return error.kind;
      throw error;
    },
  );

let canary: Canary;
beforeAll(async () => {
  canary = await openCanary();
});
afterAll(() => canary.close());

describe('a canary on this machine', () => {
  it('is reached by what is not guarded, in many spellings', async () => {
    const hosts = [...spellingsOfV4([127, 0, 0, 1]), ...spellingsOfV4([0, 0, 0, 0]), 'localhost', '[::1]'];
    const urls = hosts.flatMap((host) => URL.parse(`http://${host}:${canary.port}/`) ?? []);
    const local = urls.filter(({ hostname }) => /^(?:127\.|0\.|localhost|\[::1\]|\[::ffff:(?:7f00|0):)/.test(hostname));
    const before = canary.count();
    await Promise.all(
      local.map(
        (url) => new Promise((done) => void get(url, (answer) => answer.resume().on('end', done)).on('error', done)),
      ),
    );
    expect(canary.count() - before).toBeGreaterThan(40);
  });

  it('is reached by nothing that is guarded: not by any spelling, not by any entry', async () => {
    const egress = createEgress({ allow: [] });
    const before = canary.count();
    const urls = [
      ...blockedHosts().flatMap((host) => [`http://${host}:${canary.port}/`, `https://${host}:${canary.port}/a?b`]),
      ...trickyUrls(canary.port),
    ];
    expect(urls.length).toBeGreaterThan(300);
    for (const url of urls) {
      expect(() => egress.check(url)).toThrow(EgressRefused);
      expect(`${await outcome(egress.request(url, POST))} ${url}`).toMatch(
        /^(?:address|name|url|scheme|userinfo|port) /,
      );
    }
    expect(canary.count() - before).toBe(0);
    await egress.close();
  });

  it('is reached by no name, whatever its answers, alone or mixed', async () => {
    const answers = new Map<string, string[]>();
    const egress = createEgress({ allow: [], resolve: async (name) => answers.get(name) ?? [] });
    const before = canary.count();
    const blocked = [
      ...BLOCKED_V4.flatMap((four) => [four.join('.'), `::ffff:${four.join('.')}`, `::${four.join('.')}`]),
      ...BLOCKED_V6,
      'fe80::1%lo',
      'localhost',
      '127.1',
      '',
    ];
    const cases = blocked.flatMap((bad) => [[bad], [PUBLIC, bad], [bad, PUBLIC], ['8.8.8.8', PUBLIC, bad, PUBLIC]]);
    expect(cases.length).toBeGreaterThan(300);
    const outcomes = await Promise.all(
      cases.map(async (addresses, index) => {
        answers.set(`n${index}.example.com`, addresses);
        return outcome(egress.request(`http://n${index}.example.com:${canary.port}/`, POST));
      }),
    );
    expect(new Set(outcomes)).toEqual(new Set(['address']));
    expect(await outcome(egress.request(`https://nothing.example.com/`, POST))).toBe('dns');
    expect(canary.count() - before).toBe(0);
    await egress.close();
  });

  it('is not reached by a name that changes its answer after it was looked at', async () => {
    let asked = 0;
    let script: string[][] = [];
    const resolve = async () => script[asked++ % script.length] ?? [];
    const before = canary.count();
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      // First public, then loopback; loopback first; both at once; and each answer only after the memory of the last.
      for (const [one, two] of [
        [[PUBLIC], [LOOPBACK]],
        [[LOOPBACK], [PUBLIC]],
        [[PUBLIC], [PUBLIC, LOOPBACK]],
        [[PUBLIC], ['::1']],
        [[PUBLIC], ['::ffff:127.0.0.1']],
      ] as [string[], string[]][]) {
        script = [one, two];
        asked = 0;
        const egress = createEgress({ allow: [], resolve });
        const url = `http://rebind.example.com:${canary.port}/`;
        expect(egress.check(url).hostname).toBe('rebind.example.com');
        const seen: string[] = [];
        for (let round = 0; round < 6; round += 1) {
          seen.push(await outcome(egress.request(url, { ...POST, connectTimeoutMs: 300 })));
          vi.advanceTimersByTime(6000);
        }
        // One question for each connection: nothing asks again between the look and the call.
        expect(asked).toBe(6);
        expect(seen.filter((kind) => kind === 'address').length).toBe(3);
        expect(seen.filter((kind) => kind === 'connect' || kind === 'timeout').length).toBe(3);
        await egress.close();
      }
    } finally {
      vi.useRealTimers();
    }
    expect(canary.count() - before).toBe(0);
  });

  it('is not reached by a redirect, which is an answer', async () => {
    const server = createServer((request, response) => {
      const status = Number(request.url?.slice(1));
      response.writeHead(status, { location: `http://${LOOPBACK}:${canary.port}/` }).end('elsewhere');
    });
    await once(server.listen(0, LOOPBACK), 'listening');
    const { port } = server.address() as AddressInfo;
    const egress = createEgress({ allow: [`${LOOPBACK}:${port}`] });
    const before = canary.count();
    for (const status of [300, 301, 302, 303, 307, 308]) {
      for (const method of ['POST', 'GET'] as const) {
        const answer = await egress.request(`http://${LOOPBACK}:${port}/${status}`, { ...POST, method, body: '' });
        expect(answer.status).toBe(status);
        expect(answer.headers['location']).toContain(String(canary.port));
      }
    }
    expect(canary.count() - before).toBe(0);
    await egress.close();
    server.close();
  });

  it('is not reached as a proxy of the environment', async () => {
    const before = canary.count();
    const proxy = `http://${LOOPBACK}:${canary.port}`;
    const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy'];
    const code = `
      import { createEgress } from '#src/lib/egress.ts';
      const egress = createEgress({ allow: [], resolve: async () => ['${PUBLIC}'] });
      const options = { method: 'POST', headers: {}, connectTimeoutMs: 500, timeoutMs: 1000, maxBytes: 10 };
      for (const url of ['http://a.example.com/', 'https://a.example.com/', 'http://[${PUBLIC}]/']) {
        await egress.request(url, options).then(() => console.log('answered'), (error) => console.log(error.kind));
      }
      await egress.close();`;
    // Node's own client goes there, so the variables do work.
    const control = `await fetch('http://a.example.com/', { signal: AbortSignal.timeout(5000) }).catch(() => undefined); process.exit();`;
    const run = (text: string) =>
      promisify(execFile)(process.execPath, ['--input-type=module', '--eval', text], {
        cwd: `${import.meta.dirname}/../..`,
        env: { NODE_USE_ENV_PROXY: '1', ...Object.fromEntries(names.map((name) => [name, proxy])) },
      });
    const { stdout } = await run(code);
    expect(stdout).toMatch(/^(?:(?:connect|timeout)\n){3}$/);
    expect(canary.count() - before).toBe(0);
    await run(control);
    expect(canary.count() - before).toBeGreaterThan(0);
  });
});

describe('an exempt target', () => {
  it('is reached, and neither its neighbours nor other names of it are, also while a connection to it is open', async () => {
    const port = canary.port;
    const allow = [`hooks.test:${port}`, `${LOOPBACK}:${port}`];
    const asked: [string, boolean][] = [];
    const egress = createEgress({
      allow,
      resolve: async (name, isExempt) => {
        asked.push([name, isExempt]);
        return [LOOPBACK];
      },
    });
    let before = canary.count();
    expect((await egress.request(`http://hooks.test:${port}/a`, POST)).body.toString()).toBe('canary');
    expect((await egress.request(`http://${LOOPBACK}:${port}/a`, POST)).body.toString()).toBe('canary');
    expect(canary.count() - before).toBe(2);
    before = canary.count();
    const others = spellingsOfV4([127, 0, 0, 1]).filter((host) => host !== LOOPBACK);
    for (const url of [
      ...others.map((host) => `http://${host}:${port}/`),
      `http://127.0.0.2:${port}/`,
      `http://[::1]:${port}/`,
      `http://localhost:${port}/`,
      `http://a.hooks.test:${port}/`,
      `http://other.test:${port}/`,
      `http://${LOOPBACK}:${port === 80 ? 443 : 80}/`,
      `http://${LOOPBACK}:${port + 1}/`,
      `http://hooks.test:${port === 80 ? 443 : 80}/`,
    ]) {
      expect(`${await outcome(egress.request(url, POST))} ${url}`).toMatch(/^(?:address|name|url|port) /);
    }
    expect(canary.count() - before).toBe(0);
    expect(asked.filter(([, isExempt]) => isExempt)).toEqual([['hooks.test', true]]);
    await egress.close();
  });

  it('shares no open connection with another name at the same address', async () => {
    const server = createServer((request, response) => response.end(request.headers.host));
    await once(server.listen(0, LOOPBACK), 'listening');
    const { port } = server.address() as AddressInfo;
    let connections = 0;
    server.on('connection', () => (connections += 1));
    const egress = createEgress({ allow: [`a.test:${port}`, `b.test:${port}`], resolve: async () => [LOOPBACK] });
    for (const name of ['a.test', 'b.test', 'a.test', 'b.test']) {
      expect((await egress.request(`http://${name}:${port}/`, POST)).body.toString()).toBe(`${name}:${port}`);
    }
    expect(connections).toBe(2);
    await egress.close();
    server.close();
  });
});

it('asks once for the name of connections that are opened together', async () => {
  let asked = 0;
  const resolve = async () => [(asked += 1) > 0 ? LOOPBACK : ''];
  const egress = createEgress({ allow: [], resolve });
  const all = await Promise.all(
    Array.from({ length: 50 }, () => outcome(egress.request('https://a.example.com/', POST))),
  );
  expect([...new Set(all)]).toEqual(['address']);
  expect(asked).toBe(1);
  await egress.close();
});

it('knows whether a connection is to one of the addresses it was to be to', () => {
  expect(isOneOf(['8.8.8.8'], '8.8.8.8')).toBe(true);
  expect(isOneOf(['8.8.8.8'], '::ffff:8.8.8.8')).toBe(true);
  expect(isOneOf(['2D00:0::1', '8.8.8.8'], '2d00::1')).toBe(true);
  for (const other of ['127.0.0.1', '::1', '::ffff:127.0.0.1', '8.8.8.9', '', 'a', undefined]) {
    expect(isOneOf(['8.8.8.8', '2d00::1'], other)).toBe(false);
  }
});
