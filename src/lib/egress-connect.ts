import { lookup, Resolver } from 'node:dns/promises';
import { connect, isIP, type Socket } from 'node:net';
import { callbackify } from 'node:util';
import ipaddr from 'ipaddr.js';
import { buildConnector } from 'undici';
import { codeOf, EgressFailed } from '#src/lib/egress-failure.ts';
import { EgressRefused, isPublicAddress, targetOf } from '#src/lib/egress-rules.ts';

/** The addresses of a name, in the order to try. */
export type Resolve = (name: string, isExempt: boolean) => Promise<string[]>;

/** When a connection is given up, whoever waits for it. */
const CONNECT_LIMIT_MS = 10_000;
/** For how long an answer of DNS is used again, by connections that are opened together. Each looks at the addresses itself. */
const ANSWER_LIFE_MS = 5000;
const MAX_ANSWERS = 1000;

/** Opens connections to addresses that were looked at, and to no others; the name stays what the certificate and `Host` are about. */
export function createConnector(allowed: ReadonlySet<string>, resolve: Resolve): buildConnector.connector {
  // Said aloud: an environment variable of Node's could turn the checking of certificates off.
  const secure = buildConnector({ allowH2: false, timeout: CONNECT_LIMIT_MS, rejectUnauthorized: true });
  const addressesOf = shareAnswers(resolve);
  const open = callbackify(async (options: buildConnector.Options) => {
    const { hostname, port, protocol } = options;
    const isExempt = allowed.has(targetOf({ hostname, port, protocol }));
    // Nothing asks for the address of an address, so literals are judged here too.
    const addresses = isIP(hostname) === 0 ? await addressesOf(hostname, isExempt) : [hostname];
    // One address inside is enough to refuse all: an honest name has none.
    if (!isExempt && !addresses.every(isPublicAddress)) throw new EgressRefused('address');
    const isTls = protocol === 'https:';
    const socket = await openTcp(hostname, addresses, Number(port || (isTls ? 443 : 80)));
    return isTls ? await openTls(secure, { ...options, httpSocket: socket }) : socket;
  });
  return (options, callback) => {
    open(options, (error, socket) => (error ? callback(error, null) : callback(null, socket)));
  };
}

/** Connects to the first of the addresses that answers (RFC 8305), and makes sure that it is one of them. */
function openTcp(name: string, addresses: readonly string[], port: number): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const answer = addresses.map((address) => ({ address, family: isIP(address) }));
  const socket = connect({
    host: name,
    port,
    autoSelectFamily: true,
    noDelay: true,
    keepAlive: true,
    lookup: (_name, _options, callback) => callback(null, answer),
  });
  const timer = setTimeout(() => void socket.destroy(new EgressFailed('timeout', false)), CONNECT_LIMIT_MS);
  socket.once('connect', () => {
    clearTimeout(timer);
    if (isOneOf(addresses, socket.remoteAddress)) resolve(socket);
    else socket.destroy(new EgressRefused('address'));
  });
  // Stays for the life of the socket: without a listener, an error between two owners would end the process.
  socket.on('error', (error) => {
    clearTimeout(timer);
    const isOurs = error instanceof EgressFailed || error instanceof EgressRefused;
    reject(isOurs ? error : new EgressFailed(codeOf(error) === 'ETIMEDOUT' ? 'timeout' : 'connect', false, error));
  });
  return promise;
}

/** TLS on a connection that is there. */
function openTls(secure: buildConnector.connector, options: buildConnector.Options): Promise<Socket> {
  return new Promise((resolve, reject) => {
    secure(options, (...[error, socket]) => {
      if (error === null) resolve(socket);
      else reject(new EgressFailed(codeOf(error) === 'UND_ERR_CONNECT_TIMEOUT' ? 'timeout' : 'tls', false, error));
    });
  });
}

/** Whether a connected socket's address is one of those it was to connect to. */
export function isOneOf(addresses: readonly string[], remoteAddress: string | undefined): boolean {
  if (remoteAddress === undefined || !ipaddr.isValid(remoteAddress)) return false;
  const remote = ipaddr.process(remoteAddress).toString();
  return addresses.some((address) => ipaddr.process(address).toString() === remote);
}

/** Asks once for connections that are opened together. What is remembered is forgotten after `ANSWER_LIFE_MS`, a failure at once. */
function shareAnswers(resolve: Resolve): Resolve {
  const answers = new Map<string, { addresses: Promise<string[]>; untilMs: number }>();
  return (name, isExempt) => {
    const key = `${isExempt ? 'exempt' : 'public'} ${name}`;
    const known = answers.get(key);
    const nowMs = performance.now();
    if (known && nowMs < known.untilMs) return known.addresses;
    const addresses = ask(resolve, name, isExempt);
    addresses.catch(() => answers.delete(key));
    // Deleted first, so that the oldest stand in front.
    answers.delete(key);
    answers.set(key, { addresses, untilMs: nowMs + ANSWER_LIFE_MS });
    const [oldest] = answers.keys();
    if (answers.size > MAX_ANSWERS && oldest !== undefined) answers.delete(oldest);
    return addresses;
  };
}

async function ask(resolve: Resolve, name: string, isExempt: boolean): Promise<string[]> {
  const addresses = await resolve(name, isExempt).catch((error: unknown) => {
    throw new EgressFailed('dns', false, error);
  });
  if (addresses.length === 0) throw new EgressFailed('dns', false);
  return addresses;
}

/**
 * The names of the public are asked of DNS itself: the system's look-up holds one of four threads until a nameserver answers, and whoever
 * owns a name decides when that is. It would also complete names with the own network's suffixes. Exempt names may be in the hosts file.
 */
export function createResolve(): { resolve: Resolve; cancel: () => void } {
  const resolver = new Resolver({ timeout: 1000, tries: 3 });
  return {
    async resolve(name, isExempt) {
      if (isExempt) return (await lookup(name, { all: true })).map(({ address }) => address);
      const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
      const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
      const failed = answers.find((answer) => answer.status === 'rejected');
      if (addresses.length === 0 && failed) throw failed.reason;
      return addresses;
    },
    cancel: () => resolver.cancel(),
  };
}
