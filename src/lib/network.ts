import { isIPv4, isIPv6 } from 'node:net';

const MAPPED = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i;

/**
 * The network a caller cannot change within: an IPv4 address itself, the first 64 bits of an IPv6 address, of which everybody has more
 * than they could use up. What is no address is one network of its own.
 */
export function networkOf(ip: string): string {
  const [address = ''] = ip.split('%', 1);
  const mapped = MAPPED.exec(address)?.[1] ?? address;
  if (isIPv4(mapped)) return mapped;
  if (!isIPv6(address)) return 'unknown';
  const [head = '', tail] = address.split('::', 2);
  const groups = head === '' ? [] : head.split(':');
  // Without `::` all eight groups are there; with it, zeros fill up to the tail, of which only what reaches into the first half counts.
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const width = last.length + (last.at(-1)?.includes('.') ? 1 : 0);
  const zeros = tail === undefined ? 0 : 8 - groups.length - width;
  const all = [...groups, ...Array.from({ length: zeros }, () => '0'), ...last].slice(0, 4);
  return `${all.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}
