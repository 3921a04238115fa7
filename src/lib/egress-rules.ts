import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Why a request is not made, in words for the one who set its URL. They never say what a name led to: that would map the network. */
const REASONS = {
  url: 'must be a URL, without spaces or backslashes',
  scheme: 'must begin with http:// or https://',
  userinfo: 'must not contain a user name or password',
  port: 'must use port 80, 443, 8080 or 8443',
  name: 'must not name a host of an internal network',
  address: 'must not lead to an internal or reserved address',
  header: 'must not be called with such headers',
} as const;

export type EgressReason = keyof typeof REASONS;

/** A request the guard does not make; `message` goes behind the name of the field that holds the URL. */
export class EgressRefused extends Error {
  readonly reason: EgressReason;

  constructor(reason: EgressReason) {
    super(REASONS[reason]);
    this.name = 'EgressRefused';
    this.reason = reason;
  }
}

/** IPv4 that is no public host: IANA's special-purpose registry (RFC 6890 and after), and Azure's wire server, which lies in public space. */
const CLOSED_V4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
].map((range) => ipaddr.IPv4.parseCIDR(range));
/** The only IPv6 there is to the public. A list of what is closed would miss `::127.0.0.1`, and whatever is put to use next. */
const OPEN_V6 = ipaddr.IPv6.parseCIDR('2000::/3');
/** Within it: Teredo and other protocols, documentation, 6to4 (which holds any IPv4), documentation, AS112. */
const CLOSED_V6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20', '2620:4f:8000::/48'].map((range) =>
  ipaddr.IPv6.parseCIDR(range),
);

/** Whether an address, in the spelling of sockets, resolvers and URLs (without brackets), is one of the public internet. */
export function isPublicAddress(text: string): boolean {
  if (isIP(text) === 0 || text.includes('%')) return false;
  // An IPv4 address in the clothes of an IPv6 one is judged as what is called in the end.
  const address = ipaddr.process(text);
  if (address instanceof ipaddr.IPv4) return !CLOSED_V4.some((range) => address.match(range));
  return address.match(OPEN_V6) && !CLOSED_V6.some((range) => address.match(range));
}

/** Suffixes that networks use for themselves and that no public zone has, and the one public name of a cloud's metadata. */
const INNER_NAME =
  /(?:^|\.)(?:localhost|localdomain|local|internal|intranet|private|corp|home|lan|home\.arpa|metadata\.goog)$/;
/** At least two labels: a single one is a host of the own network, or the zone of a country. */
const PUBLIC_NAME = /^(?=.{1,253}$)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+$/;
const PORTS = new Set(['', '80', '443', '8080', '8443']);
const UNFIT = /[\p{Cc}\s\\]/u;
const AUTHORITY = /^https?:\/\/([^/?#]*)/i;

/** What `EGRESS_ALLOW` names: `host:port`, also where the port is the scheme's own. IPv6 in brackets. */
export function targetOf({ hostname, port, protocol }: Pick<URL, 'hostname' | 'port' | 'protocol'>): string {
  const host = hostname.includes(':') && !hostname.startsWith('[') ? `[${hostname}]` : hostname;
  return `${host}:${port || (protocol === 'https:' ? '443' : '80')}`;
}

/**
 * The URL as it will be called, when nothing in its text forbids that. What its name leads to is another question, asked at each connection.
 * @param allowed targets that are exempt, as `targetOf` spells them
 * @throws EgressRefused
 */
export function checkUrl(text: string, allowed: ReadonlySet<string>): URL {
  // The parser would take these away or turn them round, and people would read another URL than is called.
  const url = UNFIT.test(text) ? null : URL.parse(text);
  if (!url) throw new EgressRefused('url');
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new EgressRefused('scheme');
  if (url.username !== '' || url.password !== '') throw new EgressRefused('userinfo');
  if (isExempt(url, text, allowed)) return url;
  if (!PORTS.has(url.port)) throw new EgressRefused('port');
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (isIP(host) !== 0) {
    if (!isPublicAddress(host)) throw new EgressRefused('address');
    return url;
  }
  // A dot at the end is the same name to a resolver, and another one to certificates and to the lists above.
  const name = host.replace(/\.$/, '');
  if (!PUBLIC_NAME.test(name) || INNER_NAME.test(name)) throw new EgressRefused('name');
  if (name !== host) url.hostname = name;
  return url;
}

/** An exemption is of one target as the operator wrote it: `127.1` is not `127.0.0.1`, though the parser makes them the same. */
function isExempt(url: URL, text: string, allowed: ReadonlySet<string>): boolean {
  if (allowed.size === 0) return false;
  const target = targetOf(url);
  const [, written = ''] = AUTHORITY.exec(text) ?? [];
  return allowed.has(target) && (written === target || written === url.hostname);
}
