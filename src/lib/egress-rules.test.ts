import { BlockList } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkUrl, EgressRefused, isPublicAddress } from '#src/lib/egress-rules.ts';
import { BLOCKED_V4, BLOCKED_V6, blockedHosts, spellingsOfV4, trickyUrls } from '#test/blocked-urls.ts';

const NOBODY: ReadonlySet<string> = new Set();
/** Why a URL is refused, or '' when it is not. */
function reasonOf(url: string, allowed = NOBODY): string {
  try {
    checkUrl(url, allowed);
    return '';
  } catch (error) {
    if (error instanceof EgressRefused) return error.reason;
    throw error;
  }
}
const octet = fc.integer({ min: 0, max: 255 });
const octets = fc.tuple(octet, octet, octet, octet);

const dotted = (whole: number) => [24, 16, 8, 0].map((shift) => (whole >>> shift) & 255).join('.');

describe('a URL in text', () => {
  it('is refused in every spelling of a blocked host, for its host', () => {
    const hosts = blockedHosts();
    expect(hosts.length).toBeGreaterThan(150);
    const urls = hosts.flatMap((host) => [`http://${host}/`, `https://${host}:8443/a?b#c`, `HTTP://${host}:8080`]);
    const reasons = urls.map((url) => [url, reasonOf(url)]);
    // Some spellings are no URL at all.
    expect(reasons.filter(([, reason = '']) => !['address', 'name', 'url'].includes(reason))).toEqual([]);
    expect(reasons.filter(([, reason]) => reason === 'address').length).toBeGreaterThan(urls.length * 0.8);
  });

  it('is refused in every tricky form', () => {
    const urls = trickyUrls(8080);
    expect(urls.length).toBeGreaterThan(50);
    expect(urls.filter((url) => reasonOf(url) === '')).toEqual([]);
  });

  it.each([
    ['scheme', 'ftp://example.com/'],
    ['userinfo', 'https://me:secret@example.com/'],
    ['port', 'https://example.com:8444/'],
    ['name', 'https://redis/'],
    ['address', 'https://10.1.2.3/'],
    ['url', 'https://exam ple.com/'],
  ])('is refused for its %s, in words and never with what it contains', (reason, url) => {
    expect(reasonOf(url)).toBe(reason);
    expect(() => checkUrl(url, NOBODY)).toThrow(/^must /);
    expect(() => checkUrl(url, NOBODY)).not.toThrow(/secret|10\.1/);
  });

  it.each([
    ['https://example.com/hooks?a=b', 'https://example.com/hooks?a=b'],
    ['http://example.com', 'http://example.com/'],
    ['https://EXAMPLE.com:443/A', 'https://example.com/A'],
    ['https://example.com.:8443/', 'https://example.com:8443/'],
    ['https://hooks.example.co.uk:8080/x', 'https://hooks.example.co.uk:8080/x'],
    ['https://ação.com.br/', 'https://xn--ao-siap.com.br/'],
    ['https://xn--ao-siap.com.br/', 'https://xn--ao-siap.com.br/'],
    ['https://my_host.example.com/', 'https://my_host.example.com/'],
    ['https://localhost.example.com/', 'https://localhost.example.com/'],
    ['https://internal.example.com/', 'https://internal.example.com/'],
    ['https://not.locals/', 'https://not.locals/'],
    ['https://127.0.0.1.example.com/', 'https://127.0.0.1.example.com/'],
    ['https://8.8.8.8/', 'https://8.8.8.8/'],
    ['https://134744072/', 'https://8.8.8.8/'],
    ['https://9.255.255.255/', 'https://9.255.255.255/'],
    ['https://11.0.0.0/', 'https://11.0.0.0/'],
    ['https://172.15.255.255/', 'https://172.15.255.255/'],
    ['https://172.32.0.0/', 'https://172.32.0.0/'],
    ['https://100.128.0.0/', 'https://100.128.0.0/'],
    ['https://168.63.129.17/', 'https://168.63.129.17/'],
    ['https://[2606:4700:4700::1111]/', 'https://[2606:4700:4700::1111]/'],
    ['https://[2001:4860:4860::8888]:8443/', 'https://[2001:4860:4860::8888]:8443/'],
    ['https://[2001:200::1]/', 'https://[2001:200::1]/'],
    ['https://[::ffff:8.8.8.8]/', 'https://[::ffff:808:808]/'],
    ['https://example.com/?next=http://127.0.0.1/', 'https://example.com/?next=http://127.0.0.1/'],
    ['https://example.com/@127.0.0.1', 'https://example.com/@127.0.0.1'],
  ])('%s is called as %s', (url, called) => {
    expect(checkUrl(url, NOBODY).href).toBe(called);
  });

  it('may name an exempt target, in the one spelling, and nothing beside it', () => {
    const allowed = new Set(['127.0.0.1:9000', '[::1]:9000', 'hooks.intranet:443', '10.0.0.1:80']);
    for (const url of [
      'http://127.0.0.1:9000/a',
      'https://127.0.0.1:9000',
      'http://[::1]:9000/?a',
      'https://hooks.intranet/a#b',
      'https://hooks.intranet:443',
      'http://10.0.0.1',
    ]) {
      expect([url, reasonOf(url, allowed)]).toEqual([url, '']);
    }
    const others = spellingsOfV4([127, 0, 0, 1]).filter((host) => host !== '127.0.0.1');
    for (const url of [
      ...others.map((host) => `http://${host}:9000/`),
      'http://127.0.0.1:9001/',
      'http://127.0.0.1:90000/',
      'http://127.0.0.1/',
      'http://127.0.0.2:9000/',
      'http://localhost:9000/',
      'http://[0:0:0:0:0:0:0:1]:9000/',
      'http://[::1]:9001/',
      'http://hooks.intranet/',
      'https://hooks.intranet:8443/',
      'https://hooks.intranet./',
      'https://a.hooks.intranet/',
      'https://HOOKS.intranet/',
      'https://10.0.0.1/',
      'http://user@127.0.0.1:9000/',
      'ftp://127.0.0.1:9000/',
      'http://127.0.0.1:9000@10.0.0.2/',
    ]) {
      expect([url, reasonOf(url, allowed)]).not.toEqual([url, '']);
    }
  });
});

describe('an address', () => {
  it.each([
    '',
    'example.com',
    '1.2.3',
    '0x7f.0.0.1',
    '127.1',
    '8.8.8.8.',
    'fe80::1%eth0',
    '2606:4700::1%1',
    '[2606::1]',
  ])('%j is none of the public internet', (text) => {
    expect(isPublicAddress(text)).toBe(false);
  });

  it('is blocked as listed', () => {
    expect(BLOCKED_V4.filter((four) => isPublicAddress(four.join('.')))).toEqual([]);
    expect(BLOCKED_V6.filter((text) => isPublicAddress(text))).toEqual([]);
  });

  // Another implementation, on the same ranges: both edges of each, and anything.
  const list = new BlockList();
  const ranges = [
    '0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24',
    '192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3',
  ].flatMap((line) =>
    line.split(' ').map((range): [string, number] => [range.split('/')[0] ?? '', Number(range.split('/')[1])]),
  );
  for (const [start, bits] of ranges) list.addSubnet(start, bits);

  it('is judged like the list of ranges at each edge', () => {
    const edges = ranges.flatMap(([start, bits]) => {
      const first = start.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
      const last = first + 2 ** (32 - bits) - 1;
      return [first - 1, first, last, last + 1].filter((whole) => whole >= 0 && whole < 2 ** 32);
    });
    for (const text of edges.map(dotted)) expect([text, isPublicAddress(text)]).toEqual([text, !list.check(text)]);
  });

  it('is judged like the list of ranges anywhere, also inside IPv6', () => {
    const wrong = fc.check(
      fc.property(octets, (four) => {
        const text = four.join('.');
        const isOpen = !list.check(text);
        return isPublicAddress(text) === isOpen && isPublicAddress(`::ffff:${text}`) === isOpen;
      }),
      { numRuns: 20_000 },
    );
    expect(wrong.counterexample).toBeNull();
  });
});

it('lets no generated spelling of a blocked address through, of a hundred thousand', () => {
  const nearBlocked = fc.tuple(fc.constantFrom(...BLOCKED_V4), octet, fc.nat(7)).map(([[a, b, c, d], other, place]) => {
    const near: [number, number, number, number] = [a, b, c, place < 3 ? other : d];
    // The blocked one itself where its neighbour is public.
    return isPublicAddress(near.join('.')) ? ([a, b, c, d] as const) : near;
  });
  const inV6 = fc
    .tuple(
      fc.constantFrom('0', '64', '100', '1000', '2001:db8', '2002', '3fff:0', '5f00', 'fc00', 'fd00', 'fe80', 'ff02'),
      fc.array(fc.integer({ min: 0, max: 65_535 }), { minLength: 6, maxLength: 6 }),
    )
    .map(([prefix, groups]) => {
      const all = [...prefix.split(':'), ...groups.map((group) => group.toString(16))].slice(0, 8);
      return `[${[...all, ...Array.from({ length: 8 - all.length }, () => '0')].join(':')}]`;
    });
  const host = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.tuple(nearBlocked, fc.nat(1000)).map(([four, pick]) => {
        const spellings = spellingsOfV4(four);
        return spellings[pick % spellings.length] ?? '';
      }),
    },
    { weight: 1, arbitrary: inV6 },
  );
  const cased = fc.tuple(host, fc.boolean()).map(([text, isUpper]) => (isUpper ? text.toUpperCase() : text));
  const url = fc
    .tuple(
      fc.constantFrom('http', 'https', 'HTTP', 'hTtPs'),
      cased,
      fc.constantFrom('', ':80', ':443', ':8080', ':8443', ':'),
      fc.constantFrom('/', '/a?b=c#d', '?a', '#a'),
    )
    .map(([scheme, name, port, path]) => `${scheme}://${name}${port}${path}`);
  const kinds = new Set<string>();
  fc.assert(
    fc.property(url, (text) => {
      const reason = reasonOf(text);
      kinds.add(reason);
      return reason !== '';
    }),
    { numRuns: 100_000 },
  );
  // Nothing was refused for a port or a scheme: it was the address each time, or no URL.
  expect([...kinds].toSorted()).toEqual(expect.arrayContaining(['address']));
  expect([...kinds].filter((reason) => ['port', 'scheme', 'userinfo', ''].includes(reason))).toEqual([]);
}, 600_000);
