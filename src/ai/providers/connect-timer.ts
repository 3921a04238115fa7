import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import { isRecord } from '#src/lib/record.ts';

/*
 * The global fetch says nothing of connections, and gives up on one only after 10 s. What it is built on (undici) tells of each request
 * on diagnostics channels: that it exists, in the context of the call that made it, and that its headers went out, which takes a connection.
 */
const connecting = new AsyncLocalStorage<() => void>();
const connected = new WeakMap<object, () => void>();

const requestIn = (message: unknown): object | undefined => {
  const request = isRecord(message) ? message['request'] : undefined;
  return typeof request === 'object' && request !== null ? request : undefined;
};
subscribe('undici:request:create', (message) => {
  const onConnected = connecting.getStore();
  const request = requestIn(message);
  if (onConnected && request) connected.set(request, onConnected);
});
subscribe('undici:client:sendHeaders', (message) => {
  const request = requestIn(message);
  if (request) connected.get(request)?.();
});

/**
 * Makes a request with the global fetch under a clock for its connection, name look-up and TLS included.
 * @param late called when there is none after `limitMs`; it is to abort the request
 */
export async function withConnectTimer<Answer>(
  limitMs: number,
  late: () => void,
  request: () => Promise<Answer>,
): Promise<Answer> {
  const timer = setTimeout(late, limitMs);
  try {
    return await connecting.run(() => clearTimeout(timer), request);
  } finally {
    clearTimeout(timer);
  }
}
