// @ts-check
import { connect as connectPlain } from 'node:net';
import { connect as connectTls } from 'node:tls';

const TIMEOUT_MS = 5000;

/** @param {string[]} words one command in RESP, the protocol of Redis (redis.io/docs/reference/protocol-spec) */
const command = (words) =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;

/**
 * Asks a Redis whether it serves.
 * @param {string} address redis:// or rediss://
 * @returns {Promise<void>}
 * @throws {Error} with its answer (`LOADING …`, `WRONGPASS …`) or the socket's error
 */
export function pingRedis(address) {
  const url = new URL(address);
  const port = Number(url.port || 6379);
  const host = url.hostname.replace(/^\[|\]$/g, '') || '127.0.0.1';
  const password = decodeURIComponent(url.password);
  const user = decodeURIComponent(url.username);
  const login = password ? [['AUTH', ...(user ? [user] : []), password]] : [];
  const expected = login.length + 1;
  return new Promise((resolve, reject) => {
    const socket =
      url.protocol === 'rediss:' ? connectTls({ host, port, servername: host }) : connectPlain({ host, port });
    let answer = '';
    const settle = (/** @type {Error | undefined} */ error) => {
      socket.destroy();
      if (error) reject(error);
      else resolve();
    };
    socket.setTimeout(TIMEOUT_MS, () => settle(new Error('no answer in time')));
    socket.once('error', settle);
    socket.once('close', () => settle(new Error('closed the connection')));
    socket.write([...login, ['PING']].map(command).join(''));
    socket.on('data', (bytes) => {
      answer += bytes.toString();
      const lines = answer.split('\r\n').slice(0, -1);
      const refused = lines.find((line) => !line.startsWith('+'));
      if (refused !== undefined)
        settle(new Error(refused.startsWith('-') ? refused.slice(1) : 'it does not speak Redis'));
      else if (lines.length >= expected) settle(undefined);
    });
  });
}
