import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { FastifyInstance, RouteOptions } from 'fastify';
import type { Json } from '#test/fuzz/fit.ts';
import { isRecord } from '#src/lib/record.ts';
import { jsonSchemaOf } from '#test/fuzz/fit.ts';

export interface Operation {
  /** As people name it: `POST /api/jobs/:id/cancel`. */
  name: string;
  method: string;
  url: string;
  access: string;
  /** How often it is asked, against the others. */
  weight: number;
  body?: Json;
  query?: Json;
  params?: Json;
}

/** Collects every route of the apps that are built while `build` runs, also those the API document hides. */
export async function collectOperations<Result>(
  build: () => Promise<Result>,
): Promise<{ result: Result; operations: Operation[] }> {
  const routes: RouteOptions[] = [];
  // Fastify tells of each instance it makes before anything is registered on it, so nothing in the product has to help.
  const onInstance = (message: unknown): void => {
    if (!isRecord(message)) return;
    const { fastify } = message as { fastify: FastifyInstance };
    fastify.addHook('onRoute', (route) => void routes.push(route));
  };
  subscribe('fastify.initialization', onInstance);
  try {
    const result = await build();
    return { result, operations: routes.flatMap(operationsOf) };
  } finally {
    unsubscribe('fastify.initialization', onInstance);
  }
}

function operationsOf({ method, url, schema, config }: RouteOptions): Operation[] {
  const body = jsonSchemaOf(schema?.body);
  const query = jsonSchemaOf(schema?.querystring);
  const params = jsonSchemaOf(schema?.params);
  const access = config?.access ?? 'public';
  return [method]
    .flat()
    .filter((name) => name !== 'OPTIONS')
    .map((name) => ({
      name: `${name} ${url}`,
      method: name,
      url,
      access,
      weight: weightOf(name, url, body),
      ...(body ? { body } : {}),
      ...(query ? { query } : {}),
      ...(params ? { params } : {}),
    }));
}

function weightOf(method: string, url: string, body: Json | undefined): number {
  if (method === 'HEAD' || !url.startsWith('/api/')) return 0.1;
  // A password that gets as far as being hashed costs 20 MB and 30 ms, and so does somebody new for one who was signed out.
  if (/assword"|refreshToken"/.test(JSON.stringify(body ?? '')) || url.includes('logout')) return 0.5;
  return body ? 3 : 1;
}
