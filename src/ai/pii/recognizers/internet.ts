import { isIP } from 'node:net';
import type { Subject } from '#src/ai/pii/recognizers/context.ts';
import type { Found } from '#src/ai/pii/span.ts';

const MAX_LOCAL = 64;
const LOCAL = /[\p{L}\p{N}.!#$%&'*+/=?^_`{|}~-]/u;
const DOMAIN = /(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.){1,8}[\p{L}]{2,24}(?![\p{L}\p{N}@])/uy;

/** E-mail addresses, from each `@` to both sides. */
export function emails({ text }: Subject): Found[] {
  const all: Found[] = [];
  for (let at = text.indexOf('@'); at !== -1; at = text.indexOf('@', at + 1)) {
    let start = at;
    while (start > 0 && at - start < MAX_LOCAL && LOCAL.test(text.charAt(start - 1))) start -= 1;
    while (start < at && /[.'`*/=?!{|}&~^]/.test(text.charAt(start))) start += 1;
    DOMAIN.lastIndex = at + 1;
    if (start === at || text.charAt(at - 1) === '.' || !DOMAIN.test(text)) continue;
    const end = DOMAIN.lastIndex;
    all.push({ type: 'email', start, end, normalized: text.slice(start, end).toLowerCase(), score: 0.95 });
  }
  return all;
}

const URL_START = /(?:https?:\/\/|\bwww\.|\bwa\.me\/|\bt\.me\/)(?=[0-9A-Za-z\u00c0-\u024f[])/gi;
const URL_REST = /[^\s<>"'`\\^{|}]{2,2000}/y;
/** Of the sentence around it, not of the address. */
const AFTER_URL = new Set(').,;:!?]*_~');

/** Web addresses with a scheme, `www.`, or of the messengers' short links. */
export function urls({ text }: Subject): Found[] {
  const all: Found[] = [];
  URL_START.lastIndex = 0;
  for (let match = URL_START.exec(text); match; match = URL_START.exec(text)) {
    URL_REST.lastIndex = URL_START.lastIndex;
    if (!URL_REST.test(text)) continue;
    let end = URL_REST.lastIndex;
    while (end > URL_START.lastIndex && AFTER_URL.has(text.charAt(end - 1))) end -= 1;
    all.push({ type: 'url', start: match.index, end, normalized: text.slice(match.index, end), score: 0.9 });
    URL_START.lastIndex = end;
  }
  return all;
}

const V4 = /(?<![\d.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\d.]*\d)/g;
const V6 = /(?<![0-9A-Za-z:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![0-9A-Za-z:])/gi;

/** IPv4 and IPv6 addresses. */
export function ips({ text }: Subject): Found[] {
  const all: Found[] = [];
  for (const pattern of [V4, V6]) {
    for (const { 0: normalized, index } of text.matchAll(pattern)) {
      if (isIP(normalized) === 0 || !/\d|[a-f]{2}/i.test(normalized)) continue;
      const end = index + normalized.length;
      all.push({ type: 'ip', start: index, end, normalized: normalized.toLowerCase(), score: 0.8 });
    }
  }
  return all;
}
