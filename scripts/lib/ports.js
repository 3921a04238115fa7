// @ts-check
import { createServer } from 'node:net';
import { codeOf, StartError } from './start-error.js';

/**
 * @param {string} host
 * @param {number} port 0: any
 * @returns {Promise<number>} the port, free a moment ago
 */
function tryPort(host, port) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(address && typeof address === 'object' ? address.port : port));
    });
  });
}

/**
 * @param {number | undefined} wanted the port of last time
 * @returns {Promise<number>} that one when it is free, else any, on loopback
 */
export async function loopbackPort(wanted) {
  if (!wanted) return tryPort('127.0.0.1', 0);
  return tryPort('127.0.0.1', wanted).catch(() => tryPort('127.0.0.1', 0));
}

/** @type {Record<string, (host: string, port: number) => string>} */
const PORT_ERRORS = {
  EADDRINUSE: (host, port) => `PORT ${port} is in use on ${host}: stop what listens there, or set another PORT`,
  EACCES: (_host, port) => `PORT ${port} is not allowed for this user: set a PORT above 1023`,
  EADDRNOTAVAIL: (host) => `HOST ${host} is not an address of this machine`,
  ENOTFOUND: (host) => `HOST ${host} is not a known name`,
  EAI_AGAIN: (host) => `HOST ${host} could not be looked up`,
};

/**
 * Asked before anything is started, so that a busy port costs nothing.
 * @param {string} host
 * @param {number} port 0: any free one
 * @returns {Promise<number>} the port to use
 * @throws {StartError} naming the port
 */
export async function publicPort(host, port) {
  try {
    return await tryPort(host, port);
  } catch (error) {
    const line = PORT_ERRORS[codeOf(error) ?? '']?.(host, port);
    throw new StartError(line ?? `Cannot listen on ${host}:${port}: ${String(error)}`, { cause: error });
  }
}

/**
 * @param {string | undefined} text
 * @returns {number} 3000 when none is given
 * @throws {StartError} when it is no port
 */
export function parsePort(text) {
  if (!text) return 3000;
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new StartError(`PORT "${text}" is not a port number (0 to 65535)`);
  return port;
}

/**
 * @param {string} host what the server listens on
 * @param {number} port
 * @returns {string} the base URL by which this machine reaches it
 */
export function localUrl(host, port) {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}
