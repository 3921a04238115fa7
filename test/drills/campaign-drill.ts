// Campaigns through every process of the platform to a gateway that fails at random, while workers, control and the API are killed, also at
// the very moment a message has arrived, and Redis loses everything; then what the gateway sent is compared with what the platform says.
// Run: npm run bench -- campaign-drill. DRILL_SEED repeats a run's choices; DRILL_ITEMS (10000) and DRILL_WORKERS (4) set its size.
import { runCampaignDrill, type CampaignStrike } from '#test/drills/campaign-field.ts';
import { createRandom } from '#test/fuzz/random.ts';

const SEED = Number(process.env['DRILL_SEED'] ?? Date.now() % 1_000_000);
const ITEMS = Number(process.env['DRILL_ITEMS'] ?? 10_000);
const WORKERS = Number(process.env['DRILL_WORKERS'] ?? 4);
const CAMPAIGNS = Math.min(8, Math.ceil(ITEMS / 100));
const STRIKES: [CampaignStrike, ...CampaignStrike[]] = [
  'kill a worker',
  'kill a worker',
  'kill all workers when a message has arrived',
  'kill a control',
  'kill the api',
  'empty redis',
];
const print = (text: string) => process.stdout.write(`${text}\n`);

print(`seed ${SEED}, ${ITEMS} items of ${CAMPAIGNS} campaigns, ${WORKERS} workers`);
const random = createRandom(SEED + 1);
const { problems, figures } = await runCampaignDrill({
  seed: SEED,
  campaigns: CAMPAIGNS,
  people: Math.ceil(ITEMS / CAMPAIGNS),
  workers: WORKERS,
  faults: { refused: 0.02, busy: 0.03, cut: 0.003, vague: 0.003 },
  strikes: Array.from({ length: 100 }, () => random.pick(STRIKES)),
  everyMs: 2000,
});
for (const [what, count] of Object.entries(figures)) print(`  ${what}: ${count}`);
for (const problem of problems.slice(0, 30)) print(`PROBLEM ${problem}`);
print(
  problems.length === 0
    ? 'Nobody was written to twice, and nobody is lost.'
    : `seed ${SEED}: ${problems.length} problems`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
