import { once } from 'node:events';
import { connect } from 'node:net';

/** A prepared HTTP request, sent again and again; `expect` is the status every answer must have. */
export interface Shot {
  /** POST by default. */
  method?: string;
  url: string;
  path: string;
  headers: Record<string, string>;
  body: string;
  expect: number;
}

/** One keep-alive connection that sends the next request when the answer to the last has arrived whole. */
async function shoot(shot: Shot, until: () => boolean, count: () => void): Promise<void> {
  const { hostname, port } = new URL(shot.url);
  const socket = connect(Number(port), hostname).setNoDelay(true);
  await once(socket, 'connect');
  const headers = Object.entries({
    host: hostname,
    'content-type': 'application/json',
    'content-length': `${Buffer.byteLength(shot.body)}`,
    ...shot.headers,
  });
  const request = `${shot.method ?? 'POST'} ${shot.path} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${shot.body}`;
  let answer = '';
  let failure: Error | undefined;
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on('data', (bytes) => {
    answer += bytes.toString('latin1');
    const end = answer.indexOf('\r\n\r\n');
    if (end < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(answer)?.[1] ?? 0);
    if (answer.length < end + 4 + length) return;
    if (Number(answer.slice(9, 12)) !== shot.expect) {
      failure = new Error(`Expected ${shot.expect}, got: ${answer}`);
      return resolve();
    }
    answer = '';
    count();
    if (until()) resolve();
    else socket.write(request);
  });
  socket.on('error', (error) => {
    failure = error;
    resolve();
  });
  socket.write(request);
  await promise;
  socket.destroy();
  if (failure) throw failure;
}

/** @returns answers per second over `connections` closed-loop connections, after a warm-up of a quarter of the time. */
export async function rate(shot: Shot, connections: number, seconds: number): Promise<number> {
  let counted = 0;
  const start = performance.now() + (seconds * 1000) / 4;
  const end = start + seconds * 1000;
  await Promise.all(
    Array.from({ length: connections }, () =>
      shoot(
        shot,
        () => performance.now() > end,
        () => {
          const now = performance.now();
          if (now > start && now <= end) counted += 1;
        },
      ),
    ),
  );
  return counted / seconds;
}

/** @returns the value below which the given share (0..1) of the samples lies. */
export function percentile(samples: number[], share: number): number {
  const sorted = [...samples].toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}
