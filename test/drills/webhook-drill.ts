// Webhooks through every process of the platform to endpoints that fail at random, while workers and the relay's leader are killed, one
// worker is paused until it counts as dead, and Redis loses everything; then what arrived is compared with what happened.
// Run: npm run bench -- webhook-drill. DRILL_SEED repeats a run's choices, DRILL_EVENTS (20000) and DRILL_RATE (250 events per second) set
// its size; DRILL_JOURNAL names a file the receiver writes every request to, synced before it answers.
//
// The waits of the retry schedule are hours: here none of an endpoint that will come round is longer than 0.2 s, since the drill keeps moving
// the times of waiting deliveries forward in the database. Everything else (leases, timeouts, breakers) keeps its own time.
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile } from '#test/bench/load.ts';
import { readBooks } from '#test/drills/webhook-books.ts';
import { openField, type Field, type Happening } from '#test/drills/webhook-field.ts';
import { delivered, storm, type Strike } from '#test/drills/webhook-storm.ts';
import { createRandom } from '#test/fuzz/random.ts';

const SEED = Number(process.env['DRILL_SEED'] ?? Date.now() % 1_000_000);
const EVENTS = Number(process.env['DRILL_EVENTS'] ?? 20_000);
const RATE = Number(process.env['DRILL_RATE'] ?? 250);
const JOURNAL = process.env['DRILL_JOURNAL'];
/** Of the phases that are compared, events per second and seconds. */
const CALM_RATE = 50;
const CALM_SECONDS = 5;
const ROUNDS = 4;
const FAULTS = { error: 0.08, reset: 0.03, never: 0.001 };
const print = (text: string) => process.stdout.write(`${text}\n`);

/** Milliseconds from the event to its arrival at the clean endpoints of the workspaces with a dead one, for one type of event. */
async function calm(field: Field, type: Happening): Promise<number[]> {
  const workspaces = field.workspaceIds.slice(0, 2);
  const random = createRandom(SEED);
  const from = field.simulator.hooks.journal.counts.requests;
  const startedAt = performance.now();
  for (let at = 0; at < CALM_RATE * CALM_SECONDS; at += 1) {
    await field.happen(random.pick(workspaces) ?? '', [type]);
    const aheadMs = (at / CALM_RATE) * 1000 - (performance.now() - startedAt);
    if (aheadMs > 0) await sleep(aheadMs);
  }
  await delivered(field);
  const happened = new Map(field.emitted.map(({ id, at }) => [id, at]));
  const clean = new Set(field.endpoints.flatMap(({ kind, hook }) => (kind === 'clean' ? [hook] : [])));
  const requests = field.simulator.hooks.journal.page(from, Infinity).filter(({ hook }) => clean.has(hook));
  return requests.map(({ id, at }) => at - (happened.get(id) ?? NaN));
}

/** The dead endpoints subscribed to one of two types: alternating rounds of both. @returns what is wrong */
async function compare(field: Field): Promise<string[]> {
  const without: number[] = [];
  const beside: number[] = [];
  await calm(field, 'workspace.changed');
  for (let round = 0; round < ROUNDS; round += 1) {
    without.push(...(await calm(field, 'workspace.changed')));
    beside.push(...(await calm(field, 'member.changed')));
  }
  const problems: string[] = [];
  for (const [share, most] of [
    [0.5, 1.5],
    [0.95, 2],
  ] as const) {
    const [a, b] = [percentile(without, share), percentile(beside, share)];
    print(`p${share * 100} to a healthy endpoint: ${b} ms beside dead ones ÷ ${a} ms = ${(b / a).toFixed(2)}`);
    if (b / a > most && b - a > 20)
      problems.push(`a dead endpoint slows the others: p${share * 100} ${b} ms after ${a} ms`);
  }
  return problems;
}

print(`seed ${SEED}, ${EVENTS} events, ${RATE}/s, to 50 endpoints of 10 workspaces`);
const field = await openField({
  seed: SEED,
  workspaces: 10,
  workers: 3,
  faults: FAULTS,
  ...(JOURNAL === undefined ? {} : { journalFile: JOURNAL }),
});
try {
  const problems = await compare(field);
  const random = createRandom(SEED + 2);
  const kills = Array.from({ length: Math.ceil(EVENTS / 1000) }, (): Strike =>
    random.chance(0.7) ? 'kill worker' : 'kill control',
  );
  // The pause comes when the rotation is over: what a paused worker had begun would be signed with the old secret alone.
  const late = Math.ceil(kills.length * 0.7);
  const strikes: Strike[] = kills.toSpliced(late, 0, 'pause worker').toSpliced(Math.floor(late / 2), 0, 'empty redis');
  const events = Math.max(1000, EVENTS - field.emitted.length);
  const startedAt = performance.now();
  const touched = await storm(field, {
    seed: SEED,
    faults: FAULTS,
    events,
    perSecond: RATE,
    strikes,
    lostAfterMs: null,
  });
  print(
    `storm of ${events} events and ${strikes.length} blows: ${Math.round((performance.now() - startedAt) / 1000)} s`,
  );
  const books = await readBooks(field, touched);
  problems.push(...books.problems);
  for (const running of field.crew.everStarted) {
    const crash = running.crash();
    if (crash !== null) problems.push(crash);
    for (const line of running.lines())
      if (JSON.stringify(line).includes('40P01')) problems.push(`a deadlock: ${JSON.stringify(line)}`);
  }
  print(`  under way at a blow: ${touched.size}`);
  for (const [what, times] of Object.entries(books.figures)) print(`  ${what}: ${times}`);
  for (const problem of problems.slice(0, 30)) print(`PROBLEM ${problem}`);
  print(problems.length === 0 ? 'All books are right.' : `seed ${SEED}: ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  await field.close();
}
