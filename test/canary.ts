import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

/** The ports a guard lets URLs have; a canary has to stand at one of them, or the port alone would protect it. */
const PORTS = [8080, 8443, 80, 443];

export interface Canary {
  port: number;
  /** Connections that were made to any address of this machine at `port`. */
  count(): number;
  close(): Promise<void>;
}

/** What nobody may reach: counts every connection to this machine, by whatever address, and answers 200 so that nothing else stops a caller. */
export async function openCanary(): Promise<Canary> {
  let count = 0;
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    count += 1;
    open.add(socket);
    socket.on('error', () => undefined).on('close', () => open.delete(socket));
    socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\ncanary'));
  });
  for (const port of PORTS) {
    try {
      // Without an address: all of IPv6 and IPv4.
      await once(server.listen(port), 'listening');
    } catch {
      continue;
    }
    return {
      port,
      count: () => count,
      async close() {
        for (const socket of open) socket.destroy();
        server.close();
        await once(server, 'close');
      },
    };
  }
  throw new Error(`The canary needs one of the ports ${PORTS.join(', ')}, and all are taken`);
}
