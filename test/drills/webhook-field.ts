import { readConfig } from '#src/config.ts';
import { openOrm } from '#src/db/orm.ts';
import { inWorkspaceTx } from '#src/db/tenant.ts';
import { emitEvent } from '#src/events/outbox.query.ts';
import { newId } from '#src/lib/ids.ts';
import { createLog } from '#src/lib/log.ts';
import type { SignedInView } from '#src/modules/auth/auth.schemas.ts';
import { entities } from '#src/modules/entities.ts';
import type { NewWebhookView } from '#src/modules/webhooks/webhooks.schemas.ts';
import type { HookScriptInput } from '../../simulator/hook-script.ts';
import { createSimulator, type Simulator } from '../../simulator/server.ts';
import { openCrew, type Crew } from './webhook-crew.ts';
import { createInstallation, freePort, startRedis, type Installation } from '#test/processes.ts';

/** How an endpoint behaves: always well; badly at random; nothing listens; never answers; answers 410. */
export type Kind = 'clean' | 'faulty' | 'refused' | 'silent' | 'gone';

export interface Endpoint {
  /** Its name at the receiver. */
  hook: string;
  id: string;
  workspaceId: string;
  token: string;
  secret: string;
  types: readonly Happening[];
  isOrdered: boolean;
  kind: Kind;
}

/** What happened, as the one who did it knows it. `at` is when, in epoch milliseconds. */
export interface Emitted {
  id: string;
  workspaceId: string;
  type: Happening;
  at: number;
}

export const HAPPENINGS = ['workspace.changed', 'member.changed', 'member.joined', 'member.removed'] as const;
export type Happening = (typeof HAPPENINGS)[number];

export interface FieldPlan {
  seed: number;
  /** Each has five endpoints. */
  workspaces: number;
  /** Processes that deliver. */
  workers: number;
  /** Of the requests to the endpoints that behave badly, the share that gets each answer. */
  faults: Faults;
  /** A file the receiver writes every request to. */
  journalFile?: string;
}
export interface Faults {
  error: number;
  reset: number;
  never: number;
}

/** A whole installation, its receiver, and all endpoints; nothing has happened yet. */
export interface Field {
  installation: Installation;
  redis: Awaited<ReturnType<typeof startRedis>>;
  simulator: Simulator;
  crew: Crew;
  apiUrl: string;
  endpoints: Endpoint[];
  workspaceIds: string[];
  emitted: Emitted[];
  /** Events of one workspace, in one transaction. */
  happen(workspaceId: string, types: readonly Happening[]): Promise<void>;
  close(): Promise<void>;
}

interface Place {
  types: readonly Happening[];
  isOrdered: boolean;
  kind: Kind;
}

/** The fifth endpoint of the first workspaces is dead, each in its way; it subscribes to one of the types the clean ones have. */
const DEAD: readonly Kind[] = ['refused', 'silent', 'gone'];
const placesOf = (at: number): Place[] => [
  { types: ['workspace.changed', 'member.changed'], isOrdered: false, kind: 'clean' },
  { types: ['workspace.changed', 'member.changed'], isOrdered: true, kind: 'clean' },
  { types: ['member.joined', 'member.removed'], isOrdered: false, kind: 'faulty' },
  { types: ['member.joined'], isOrdered: at % 2 === 0, kind: 'faulty' },
  DEAD[at]
    ? { types: ['member.changed'], isOrdered: false, kind: DEAD[at] }
    : { types: ['member.removed'], isOrdered: false, kind: 'faulty' },
];

/** In the order of a day on which everything goes wrong. One id has at most three of them. */
const instead = ({ error, reset, never }: Faults): NonNullable<HookScriptInput['instead']> => [
  { share: error / 2, status: 500 },
  { share: error / 8, status: 503, headers: { 'retry-after': '1' } },
  { share: error / 8, status: 429, headers: { 'retry-after': '2' } },
  { share: error / 8, status: 302, headers: { location: '/hooks/canary' } },
  { share: error / 8, status: 404 },
  { share: reset / 3, cut: 'before_body' },
  { share: reset / 3, cut: 'after_body' },
  { share: reset / 3, cut: 'in_answer' },
  { share: never / 2, cut: 'never' },
  { share: never / 2, delayMs: 16_000 },
  { share: 0.02, delayMs: 200 },
];

export async function openField(plan: FieldPlan): Promise<Field> {
  const simulator = await createSimulator(plan.journalFile === undefined ? {} : { hooksFile: plan.journalFile });
  const redis = await startRedis();
  const closedPort = await freePort();
  const installation = await createInstallation({
    REDIS_URL: redis.url,
    JOB_LEASE_MS: '2000',
    DATABASE_POOL: '8',
    EGRESS_ALLOW: `${new URL(simulator.url).host},127.0.0.1:${closedPort}`,
  });
  const [api, crew] = await Promise.all([installation.startApi(), openCrew(installation, plan.workers)]);
  const orm = openOrm(readConfig(installation.env), entities, { role: 'wh_app', log: createLog('silent', 'drill') });
  const emitted: Emitted[] = [];
  const endpoints: Endpoint[] = [];
  const workspaceIds: string[] = [];
  for (let at = 0; at < plan.workspaces; at += 1) {
    const account = { email: `drill-${at}@example.com`, password: 'long enough for a drill', name: `Drill ${at}` };
    const { token, workspace } = await post<SignedInView>(`${api.url}/api/auth/register`, account);
    workspaceIds.push(workspace.id);
    for (const [place, { types, isOrdered, kind }] of placesOf(at).entries()) {
      const hook = `${at}-${place}`;
      const url = kind === 'refused' ? `http://127.0.0.1:${closedPort}/` : `${simulator.url}/hooks/${hook}`;
      const body = { name: hook, url, events: types, ordered: isOrdered, asymmetric: place === 2 };
      const { id, secret } = await post<NewWebhookView>(`${api.url}/api/webhooks`, body, token);
      endpoints.push({ hook, id, workspaceId: workspace.id, token, secret, types, isOrdered, kind });
      script(simulator, { hook, kind, isOrdered }, plan, secret);
    }
  }
  return {
    installation,
    redis,
    simulator,
    crew,
    apiUrl: api.url,
    endpoints,
    workspaceIds,
    emitted,
    async happen(workspaceId, types) {
      const at = Date.now();
      const ids = await inWorkspaceTx(orm, { workspaceId }, async (em) => {
        const made: string[] = [];
        for (const type of types) made.push(await emit(em, type));
        return made;
      });
      for (const [index, type] of types.entries()) emitted.push({ id: ids[index] ?? '', workspaceId, type, at });
    },
    async close() {
      await orm.close();
      await installation.close();
      await redis.stop();
      await simulator.close();
    },
  };
}

function emit(em: Parameters<typeof emitEvent>[0], type: Happening): Promise<string> {
  const [userId, subjectId, actorId] = [newId(), null, null];
  if (type === 'workspace.changed') return emitEvent(em, { type, data: { changed: ['name'] }, subjectId, actorId });
  if (type === 'member.removed') return emitEvent(em, { type, data: { userId, role: 'member' }, subjectId, actorId });
  return emitEvent(em, { type, data: { userId, role: 'viewer' }, subjectId, actorId });
}

/** Has the receiver know an endpoint by one secret. */
export function script(
  simulator: Simulator,
  { hook, kind, isOrdered }: Pick<Endpoint, 'hook' | 'kind' | 'isOrdered'>,
  { seed, faults }: Pick<FieldPlan, 'seed' | 'faults'>,
  secret: string,
): void {
  const known = { secrets: [secret], seed, insteadPerId: 3 };
  // A try that waits holds up all of an ordered endpoint.
  const mine = isOrdered ? { error: faults.error / 3, reset: faults.reset / 3, never: faults.never / 3 } : faults;
  if (kind === 'faulty') simulator.hooks.script(hook, { ...known, instead: instead(mine) });
  else if (kind === 'silent') simulator.hooks.script(hook, { ...known, answer: { cut: 'never' } });
  else if (kind === 'gone') simulator.hooks.script(hook, { ...known, answer: { status: 410 } });
  else simulator.hooks.script(hook, known);
}

/** @throws Error with the problem, when the answer is not a 2xx */
export async function post<Answer>(url: string, body: object, token?: string): Promise<Answer> {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const headers = { 'content-type': 'application/json', ...authorization };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Answer;
}
