import type { TestUser } from '#test/factories.ts';
import type { TestRuntime } from '#test/harness.ts';
import type { App } from '#src/http/app-type.ts';
import type { Operation } from '#test/fuzz/operations.ts';
import type { Random } from '#test/fuzz/random.ts';
import type { FuzzRequest, Identities } from '#test/fuzz/requests.ts';
import type { Words } from '#test/fuzz/words.ts';
import { queues } from '#queues/index.ts';
import { buildApp } from '#src/app.ts';
import { aMember, aUser } from '#test/factories.ts';
import { CANARY, judge, type Answer } from '#test/fuzz/judge.ts';
import { collectOperations } from '#test/fuzz/operations.ts';
import { createRandom } from '#test/fuzz/random.ts';
import { makeRequest } from '#test/fuzz/requests.ts';
import { createWords } from '#test/fuzz/words.ts';
import { openTestRuntime } from '#test/harness.ts';

const AT_ONCE = 32;
const HANGS_AFTER_MS = 30_000;
/** A fuzzed request may well delete the workspace. */
const NEW_PEOPLE_EVERY = 2000;
const MOST_FAILURES = 10;
const LARGEST_LESSON = 20_000;

export interface Target extends TestRuntime {
  app: App;
  operations: Operation[];
}

/**
 * An app to fuzz, with all its routes: no limit of rate or credits stands before them, and no worker runs.
 * @param plant may add routes
 */
export async function openTarget(env: Record<string, string> = {}, plant?: (app: App) => void): Promise<Target> {
  const opened = await openTestRuntime({
    RATE_LIMIT_SCALE: '1000000',
    STARTING_CREDITS: '1000000',
    DEFAULT_PLAN: 'enterprise',
    // Accepted jobs only stay queued, so nobody ever calls it.
    OPENAI_API_KEY: 'none',
    ...env,
  });
  const { result: app, operations } = await collectOperations(async () => {
    const built = await buildApp(opened.rt);
    plant?.(built);
    await built.ready();
    return built;
  });
  const close = async () => {
    await app.close();
    await opened.close();
  };
  return { ...opened, app, operations, close };
}

export interface People {
  owner: TestUser;
  viewer: TestUser;
  stranger: TestUser;
}

/** People for requests to come from: a new owner's workspace with a viewer, and somebody with a workspace of their own. */
export async function meet({ rt }: TestRuntime, known: Partial<People> = {}): Promise<People> {
  const stranger = known.stranger ?? (await aUser(rt, { name: CANARY }));
  const owner = known.owner ?? (await aUser(rt));
  const viewer = known.viewer ?? (await aUser(rt));
  await aMember(rt, owner.workspace.id, viewer.user.id, 'viewer');
  return { owner, viewer, stranger };
}

/** How they sign in; what can be said of them is learned. */
export async function identify({ rt, config }: TestRuntime, people: People, words: Words): Promise<Identities> {
  const { owner, viewer, stranger } = people;
  const { email, password, refreshToken, user, workspace } = owner;
  words.learn('users', { ...user, email, password, currentPassword: password, refreshToken });
  words.learn('workspaces', workspace);
  words.add('userId', viewer.user.id);
  for (const { name } of queues) words.add('queueName', name);
  for (const id of [stranger.user.id, stranger.workspace.id]) words.add('uuid', id);
  const viewing = await rt.accessTokens.sign({ ...viewer.auth, workspaceId: workspace.id, role: 'viewer' });
  return {
    owner: owner.headers.authorization,
    viewer: `Bearer ${viewing}`,
    stranger: stranger.headers.authorization,
    ops: `Basic ${Buffer.from(`${config.OPS_USER}:${config.OPS_PASSWORD}`).toString('base64')}`,
    strangersWorkspaceId: stranger.workspace.id,
  };
}

export interface Report {
  statuses: Map<number, number>;
  /** By operation, how often it was asked and how often it did what it was asked. */
  operations: Map<string, { asked: number; good: number }>;
  /** What went wrong, each with the request that did it. */
  failures: string[];
  seconds: number;
}

/** Sends `requests` requests that `seed` chooses, some dozens at once; gives up after a few failures. */
export async function fuzzHttp(
  target: Target,
  { requests, seed }: { requests: number; seed: number },
): Promise<Report> {
  const startedAt = performance.now();
  const words = createWords();
  const deck = createDeck(target.operations);
  const report: Report = {
    statuses: new Map(),
    operations: new Map(target.operations.map(({ name }) => [name, { asked: 0, good: 0 }])),
    failures: [],
    seconds: 0,
  };
  const cast = await createCast(target, words);
  let sent = 0;
  const lane = async (): Promise<void> => {
    while (sent < requests && report.failures.length < MOST_FAILURES) {
      sent += 1;
      // By number, not in the order of the answers: a seed asks the same of each operation again.
      const random = createRandom(seed + sent * 7919);
      if (sent % NEW_PEOPLE_EVERY === 0) await cast.replace('owner');
      const request = makeRequest(deck(random), random, words, cast.who());
      const answer = await ask(target.app, request);
      note(report, words, request, answer);
      if (answer?.status === 401) await cast.check(request);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  report.seconds = (performance.now() - startedAt) / 1000;
  return report;
}

/** Deals every operation once before any is chosen by its weight. */
function createDeck(operations: Operation[]): (random: Random) => Operation {
  const untried = [...operations];
  const choices = operations.map((operation): [number, () => Operation] => [operation.weight, () => operation]);
  return (random) => untried.pop() ?? random.one(...choices);
}

/** The people who ask, with somebody new for whoever was signed out by what they asked. */
async function createCast(target: Target, words: Words) {
  let people = await meet(target);
  let who = await identify(target, people, words);
  let replacing: Promise<void> | undefined;
  const renew = async (one: 'owner' | 'viewer'): Promise<void> => {
    people = await meet(target, { ...people, [one]: undefined });
    who = await identify(target, people, words);
    replacing = undefined;
  };
  const replace = (one: 'owner' | 'viewer'): Promise<void> => (replacing ??= renew(one));
  return {
    who: () => who,
    replace,
    /** To be told of each request that was refused as nobody's. */
    async check({ operation, headers: { authorization } }: FuzzRequest): Promise<void> {
      if (operation.access === 'public' || operation.access === 'ops') return;
      if (authorization === who.owner) await replace('owner');
      else if (authorization === who.viewer) await replace('viewer');
    },
  };
}

/** @returns the answer, or null when there was none in time */
async function ask(app: App, { operation, url, headers, payload }: FuzzRequest): Promise<Answer | null> {
  const late = Promise.withResolvers<null>();
  const timer = setTimeout(() => late.resolve(null), HANGS_AFTER_MS);
  try {
    return await Promise.race([late.promise, read()]);
  } finally {
    clearTimeout(timer);
  }
  async function read(): Promise<Answer> {
    const method = operation.method as 'GET';
    // As a stream: an answer of events need never end, and hearing that it began is enough.
    const answer = await app.inject({ method, url, headers, payloadAsStream: true, ...(payload ? { payload } : {}) });
    const type = answer.headers['content-type'] ?? '';
    const status = answer.statusCode;
    if (type.startsWith('text/event-stream')) {
      answer.raw.res.destroy();
      return { status, type, text: '' };
    }
    const chunks: Buffer[] = [];
    for await (const chunk of answer.stream()) chunks.push(chunk as Buffer);
    return { status, type, text: Buffer.concat(chunks).toString() };
  }
}

function note(report: Report, words: Words, request: FuzzRequest, answer: Answer | null): void {
  const { operation } = request;
  const status = answer?.status ?? 0;
  report.statuses.set(status, (report.statuses.get(status) ?? 0) + 1);
  const count = report.operations.get(operation.name);
  if (count) count.asked += 1;
  if (count && status >= 200 && status < 300) count.good += 1;
  const wrong = answer ? judge(answer, operation) : `did not answer within ${HANGS_AFTER_MS} ms`;
  if (wrong) report.failures.push(`${operation.name} ${wrong}\n${describe(request)}\n→ ${answer?.text.slice(0, 500)}`);
  if (!answer || status < 200 || status >= 300 || !answer.type.startsWith('application/json')) return;
  if (answer.text === '' || answer.text.length > LARGEST_LESSON) return;
  words.learn(resourceOf(operation.url), JSON.parse(answer.text));
}

/** The last word of a path that is not a parameter, a verb behind one aside: `jobs` of `/api/jobs/:id/cancel`. */
const resourceOf = (url: string): string => /\/([^/:]+)(?:\/:.*)?$/.exec(url)?.[1] ?? '';

function describe({ operation, url, headers, payload }: FuzzRequest): string {
  const body = payload instanceof Buffer ? `base64 ${payload.toString('base64')}` : (payload ?? '');

  return `${operation.method} ${url.slice(0, 500)} ${JSON.stringify(headers)}\n${String(body).slice(0, 400)}`;
}

/** For people: how many, how fast, which statuses, and which operations never did what they were asked. */
export function summary({ statuses, operations, seconds }: Report): string {
  const total = [...statuses.values()].reduce((sum, count) => sum + count, 0);
  const all = [...operations];
  const never = all.filter(([, { good }]) => good === 0).map(([name]) => name);
  const asked = all.filter(([, count]) => count.asked > 0).length;
  return [
    `${total} requests in ${seconds.toFixed(1)} s (${Math.round(total / seconds)}/s) to ${asked} of ${all.length} operations`,
    `statuses: ${JSON.stringify(Object.fromEntries([...statuses].toSorted(([a], [b]) => a - b)))}`,
    `never with success: ${never.join(', ') || 'none'}`,
  ].join('\n');
}
