import { setTimeout as sleep } from 'node:timers/promises';
import type { NewWebhookView } from '#src/modules/webhooks/webhooks.schemas.ts';
import { createRandom, type Random } from '#test/fuzz/random.ts';
import type { Crew, Slot } from './webhook-crew.ts';
import { HAPPENINGS, post, script, type Endpoint, type Faults, type Field, type Happening } from './webhook-field.ts';

export interface StormPlan {
  seed: number;
  faults: Faults;
  events: number;
  perSecond: number;
  /** Each at a random moment: who is struck, in this order. */
  strikes: readonly Strike[];
  /** After how long what a killed worker had under way is taken for lost; null waits for the product to say so (25 s). */
  lostAfterMs: number | null;
}
export type Strike = 'kill worker' | 'kill control' | 'pause worker' | 'empty redis';

/** What the blows may have doubled or put out of order: `webhook event`, of deliveries that were under way at one. */
export type Touched = Set<string>;

const HURRY_EVERY_MS = 300;
/** What no retry waits longer than, in this drill. */
const WAIT_MS = 200;
const OVER_WITHIN_MS = 240_000;
/** Longer than a silent worker keeps its deliveries. */
const PAUSE_MS = 28_000;

/** Emits everything while blows fall, then waits until every endpoint that lives has everything. */
export async function storm(field: Field, plan: StormPlan): Promise<Touched> {
  const touched: Touched = new Set();
  const isOver = new AbortController();
  const hurrying = hurry(field, isOver.signal);
  const lastsMs = (plan.events / plan.perSecond) * 1000;
  await Promise.all([
    emitAll(field, plan, createRandom(plan.seed)),
    strikeAll(field, { plan, touched, lastsMs }, createRandom(plan.seed + 1)),
    rotate(field, plan, lastsMs * 0.15),
  ]);
  await delivered(field);
  isOver.abort();
  await hurrying;
  return touched;
}

/** @param paced events in groups of one to four, each group a transaction */
async function emitAll(field: Field, plan: StormPlan, random: Random): Promise<void> {
  const startedAt = performance.now();
  let left = plan.events;
  let made = 0;
  const open = new Set<Promise<void>>();
  while (left > 0) {
    const size = Math.min(left, 1 + random.int(4));
    const workspaceId = random.pick(field.workspaceIds) ?? '';
    const types = Array.from({ length: size }, (): Happening => random.pick(HAPPENINGS) ?? 'member.joined');
    const work = field.happen(workspaceId, types).finally(() => open.delete(work));
    open.add(work);
    left -= size;
    made += size;
    if (open.size >= 6) await Promise.race(open);
    const aheadMs = (made / plan.perSecond) * 1000 - (performance.now() - startedAt);
    if (aheadMs > 5) await sleep(aheadMs);
  }
  await Promise.all(open);
}

interface Blows {
  plan: StormPlan;
  touched: Touched;
  lastsMs: number;
}

async function strikeAll(field: Field, { plan, touched, lastsMs }: Blows, random: Random): Promise<void> {
  const { crew } = field;
  const everyMs = lastsMs / (plan.strikes.length + 1);
  const under: Promise<void>[] = [];
  for (const strike of plan.strikes) {
    await sleep(everyMs * (0.5 + random.int(1000) / 1000));
    if (strike === 'empty redis') {
      await field.redis.stop();
      await sleep(random.int(500));
      await field.redis.restart();
      continue;
    }
    const slot = strike === 'kill control' ? leaderOf(crew) : (random.pick(crew.workers) ?? leaderOf(crew));
    if (strike === 'pause worker') {
      await slot.running.kill('SIGSTOP');
      await touch(field, touched);
      under.push(sleep(PAUSE_MS).then(() => slot.running.kill('SIGCONT')));
      crew.workers = crew.workers.filter((one) => one !== slot);
      continue;
    }
    await slot.running.kill('SIGKILL');
    const tokens = strike === 'kill worker' ? await touch(field, touched) : [];
    if (plan.lostAfterMs !== null && tokens.length > 0) under.push(sayLost(field, tokens, plan.lostAfterMs));
    slot.running = await slot.start();
  }
  await Promise.all(under);
}

const leads = ({ running }: Slot): number => running.lines().filter(({ msg }) => msg === 'Leading').length;

/** The one that leads most: the relay of jobs, that of events, or both. */
function leaderOf({ controls }: Crew): Slot {
  const [leader] = controls.toSorted((a, b) => leads(b) - leads(a));
  if (!leader) throw new Error('Nobody leads');
  return leader;
}

/** Remembers what is under way at a blow. @returns the leases */
async function touch({ installation, endpoints }: Field, touched: Touched): Promise<string[]> {
  const { rows } = await installation.pool.query<{ name: string; webhook_id: string; lease_token: string }>(
    `select webhook_id || ' ' || event_id as name, webhook_id, lease_token from webhook_delivery where status = 'sending'`,
  );
  for (const { name } of rows) touched.add(name);
  // What goes to one that never answers is under way for a reason of its own.
  const silent = new Set(endpoints.flatMap(({ kind, id }) => (kind === 'silent' ? [id] : [])));
  return rows.flatMap((row) => (silent.has(row.webhook_id) ? [] : [row.lease_token]));
}

/** What is still under way has nobody who could end it: its worker is said to have been silent for its 25 seconds. */
async function sayLost({ installation }: Field, tokens: string[], afterMs: number): Promise<void> {
  await sleep(afterMs);
  await installation.pool.query(
    `update webhook_delivery set next_attempt_at = now() where status = 'sending' and lease_token = any($1::uuid[])`,
    [tokens],
  );
}

/** Keeps the waits of the schedule, which are hours, from being hours here; only those of endpoints that will come round. */
async function hurry({ installation, endpoints }: Field, over: AbortSignal): Promise<void> {
  const ids = endpoints.flatMap(({ kind, id }) => (kind === 'clean' || kind === 'faulty' ? [id] : []));
  while (!over.aborted) {
    await installation.pool.query(
      `update webhook_delivery set next_attempt_at = now() + $2 * interval '1 millisecond'
       where webhook_id = any($1::uuid[]) and status = 'pending' and next_attempt_at > now() + $2 * interval '1 millisecond'`,
      [ids, WAIT_MS],
    );
    await sleep(HURRY_EVERY_MS, undefined, { signal: over }).catch(() => undefined);
  }
}

/** New secrets for a third of the endpoints. Their receivers know only the old one for a while, and then only the new one. */
async function rotate(field: Field, plan: StormPlan, afterMs: number): Promise<void> {
  await sleep(afterMs);
  const rotated: [Endpoint, string][] = [];
  for (const [at, endpoint] of field.endpoints.entries()) {
    if (at % 3 !== 0 || (endpoint.kind !== 'clean' && endpoint.kind !== 'faulty')) continue;
    const url = `${field.apiUrl}/api/webhooks/${endpoint.id}/rotate-secret`;
    const { secret } = await post<NewWebhookView>(url, { graceHours: 1 }, endpoint.token);
    rotated.push([endpoint, secret]);
  }
  await goneOut(field, rotated);
  for (const [endpoint, secret] of rotated) {
    if (secret === endpoint.secret) throw new Error('A rotation made no new secret');
    script(field.simulator, endpoint, plan, secret);
  }
}

/** Waits until what was taken before is signed and sent: a try that was begun with the old secret alone is no fault. */
async function goneOut({ installation }: Field, rotated: readonly [Endpoint, string][]): Promise<void> {
  const underWay = `select lease_token as token from webhook_delivery where status = 'sending' and webhook_id = any($1::uuid[])`;
  const ids = rotated.map(([{ id }]) => id);
  const before = new Set(
    (await installation.pool.query<{ token: string }>(underWay, [ids])).rows.map(({ token }) => token),
  );
  for (let left = before; left.size > 0;) {
    await sleep(200);
    const { rows } = await installation.pool.query<{ token: string }>(underWay, [ids]);
    left = before.intersection(new Set(rows.map(({ token }) => token)));
  }
}

/** Waits until all events are handed over and nothing is left to be delivered to the living. */
export async function delivered({ installation, endpoints }: Field): Promise<void> {
  const ids = endpoints.flatMap(({ kind, id }) => (kind === 'clean' || kind === 'faulty' ? [id] : []));
  const giveUpAt = performance.now() + OVER_WITHIN_MS;
  for (;;) {
    const { rows } = await installation.pool.query<{ waiting: number; open: number }>(
      `select (select count(*) from outbox_event e where e.position is null
          or e.position > (select c.position from event_consumer c where c.name = 'webhooks'))::int as waiting,
        (select count(*) from webhook_delivery where next_attempt_at is not null and webhook_id = any($1::uuid[]))::int as open`,
      [ids],
    );
    const [row] = rows;
    if (row?.waiting === 0 && row.open === 0) return;
    if (performance.now() > giveUpAt) return;
    await sleep(200);
  }
}
