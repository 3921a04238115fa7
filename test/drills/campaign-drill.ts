// Campaigns through every process of the platform to a gateway that fails at random, while workers end by kill -9 behind each of their steps,
// while workers, control and the API are killed, also at the very moment a message has arrived, Redis loses everything and Postgres crashes;
// then what the gateway sent is compared with what the platform says.
// Run: npm run bench -- campaign-drill. DRILL_SEED repeats a run's choices; DRILL_ITEMS (10000) and DRILL_WORKERS (4) set its size.
import { runCampaignDrill } from '#test/drills/campaign-field.ts';
import type { CampaignStrike } from '#test/drills/campaign-strikes.ts';
import { createRandom } from '#test/fuzz/random.ts';

const SEED = Number(process.env['DRILL_SEED'] ?? Date.now() % 1_000_000);
const ITEMS = Number(process.env['DRILL_ITEMS'] ?? 10_000);
const WORKERS = Number(process.env['DRILL_WORKERS'] ?? 4);
const CAMPAIGNS = Math.min(8, Math.ceil(ITEMS / 100));
/** Each of these once in every round, in an order that the seed makes. */
const STRIKES: readonly CampaignStrike[] = [
  'kill a worker',
  'kill all workers when a message has arrived',
  'kill a control',
  'kill the api',
  'empty redis',
  'crash postgres',
];
const ROUNDS = Math.max(1, Math.round(ITEMS / 1000));
const print = (text: string) => process.stdout.write(`${text}\n`);

print(`seed ${SEED}, ${ITEMS} items of ${CAMPAIGNS} campaigns, ${WORKERS} workers`);
const random = createRandom(SEED + 1);
const { problems, figures } = await runCampaignDrill({
  seed: SEED,
  campaigns: CAMPAIGNS,
  people: Math.ceil(ITEMS / CAMPAIGNS),
  workers: WORKERS,
  controls: 2,
  deaths: 4 * Math.max(2, ROUNDS),
  faults: { refused: 0.02, busy: 0.03, cut: 0.003, vague: 0.003 },
  strikes: Array.from({ length: ROUNDS }, () =>
    STRIKES.map((name) => ({ name, place: random.int(1_000_000) })).toSorted((a, b) => a.place - b.place),
  ).flatMap((round) => round.map(({ name }) => name)),
  // So slow that campaigns outlast the strikes.
  slowestMs: 3000,
  everyMs: 1000,
  giveUpMs: 600_000,
});
for (const [what, count] of Object.entries(figures)) print(`  ${what}: ${count}`);
for (const problem of problems.slice(0, 30)) print(`PROBLEM ${problem}`);
print(
  problems.length === 0
    ? 'Nobody was written to twice, and nobody is lost.'
    : `seed ${SEED}: ${problems.length} problems`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
