import { BackendClient, type BackendClientOptions } from '../src/client.ts';
import type { Loopback } from './loopback.ts';

/** A signed-in client of the loopback backend that loses no time between its tries. */
export async function signedIn(backend: Loopback, options: Partial<BackendClientOptions> = {}): Promise<BackendClient> {
  const client = newClient(backend, options);
  await client.login({ email: 'ana@example.com', password: 'right password' });
  return client;
}

export function newClient(backend: Loopback, options: Partial<BackendClientOptions> = {}): BackendClient {
  return new BackendClient({
    baseUrl: backend.baseUrl,
    backoffBaseMs: 2,
    backoffCapMs: 50,
    ...options,
    live: { drainSpreadMs: 5, ...options.live },
  });
}
