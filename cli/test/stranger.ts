import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';

/** What it answers; 200 if nothing is said. */
export interface Reply {
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  /** It breaks off behind the body. */
  isCut?: boolean;
}

/** Any server: it answers each path as it is told, and remembers what it was sent. */
export class Stranger {
  readonly seen: { request: string; body: string; headers: IncomingMessage['headers'] }[] = [];
  readonly #server: Server;

  private constructor(reply: (request: string) => Reply) {
    this.#server = createServer((request, response) => void this.#answer(request, response, reply));
  }

  async #answer(request: IncomingMessage, response: ServerResponse, reply: (request: string) => Reply): Promise<void> {
    const name = `${request.method} ${request.url?.split('?')[0]}`;
    this.seen.push({ request: name, body: await text(request), headers: request.headers });
    const { status = 200, headers = {}, body = '', isCut = false } = reply(name);
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    if (isCut) response.write(body, () => setTimeout(() => request.socket.destroy(), 20));
    else response.end(body);
  }

  static async open(reply: (request: string) => Reply): Promise<Stranger> {
    const stranger = new Stranger(reply);
    stranger.#server.listen(0, '127.0.0.1');
    await once(stranger.#server, 'listening');
    return stranger;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('The server is not open.');
    return `http://127.0.0.1:${address.port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

export const says = (value: unknown): Reply => ({ body: JSON.stringify(value) });
