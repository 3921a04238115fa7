// What the ledger costs where jobs are accepted and where they end: two databases, one without its migrations. Run: npm run bench -- ledger-accept
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { openPool } from '#src/db/pool.ts';
import { newId } from '#src/lib/ids.ts';
import { createLog } from '#src/lib/log.ts';
import { createAccept, type NewJob } from '#src/modules/jobs/accept.query.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import { createFinish } from '#src/modules/jobs/finish.query.ts';
import { percentile } from '#test/bench/load.ts';
import { createTestDatabase } from '#test/harness.ts';
import { createDatabaseBefore } from '#test/migrations.ts';

const ROUNDS = Number(process.env['LEDGER_ROUNDS'] ?? 40);
const SECONDS = Number(process.env['LEDGER_SECONDS'] ?? 0.4);
const GOAL = 0.9;
const FIRST_OF_LEDGER = '20261127001100-credit-ledger';
const HOLD = 1000;
const CHARGE = 400;
/** More than all rounds can hold. */
const CREDITS = 1_000_000_000_000;
const print = (text: string) => process.stdout.write(`${text}\n`);

/** Clients that each wait for their answer, as requests of one API process do, and the workspaces they are of. */
const CROWDS = [
  { clients: 1, workspaces: 1 },
  { clients: 20, workspaces: 1 },
  { clients: 20, workspaces: 20 },
  { clients: 200, workspaces: 20 },
] as const;
const SIDES = ['before', 'ledger'] as const;
type Side = (typeof SIDES)[number];

interface Bed {
  pool: Pool;
  workspaceIds: string[];
  accept: ReturnType<typeof createAccept>;
  claim: ReturnType<typeof createClaim>;
  finish: ReturnType<typeof createFinish>;
}

async function openBed(url: string, isLedger: boolean): Promise<Bed> {
  const log = createLog('silent', 'bench');
  const systemPool = openPool({ DATABASE_URL: url }, { name: 'bench-system', role: 'wh_system', max: 1 }, log);
  const pool = openPool({ DATABASE_URL: url }, { name: 'bench', role: 'wh_app', max: 4 }, log);
  const workspaceIds = Array.from({ length: 20 }, newId);
  for (const id of workspaceIds) {
    await systemPool.query(`insert into workspace (id, name) values ($1, 'Bench')`, [id]);
    await systemPool.query('insert into credit_account (workspace_id, balance) values ($1, $2)', [
      id,
      isLedger ? 0 : CREDITS,
    ]);
    if (isLedger)
      await systemPool.query(`select credit_grant($1, 'grant', $2, $3, null, 0, null)`, [id, CREDITS, randomUUID()]);
  }
  await systemPool.end();
  return {
    pool,
    workspaceIds,
    accept: createAccept(pool),
    claim: createClaim(pool, 60_000),
    finish: createFinish(pool),
  };
}

const jobOf = (workspaceId: string, userId: string): NewJob => ({
  workspaceId,
  id: newId(),
  userId,
  queue: 'ai-inference',
  engine: 'chat',
  band: 'normal',
  input: { messages: [{ role: 'user', content: 'Oi, quanto custa a entrega para Campinas?' }] },
  options: { provider: 'openai', model: 'gpt-4o-mini' },
  requestId: 'bench',
  maxAttempts: 3,
  hold: HOLD,
  idempotency: null,
});

const WORK = {
  accept: async (bed: Bed, job: NewJob) => {
    await bed.accept(job);
  },
  'accept, claim and end': async ({ accept, claim, finish }: Bed, job: NewJob) => {
    await accept(job);
    const key = { workspaceId: job.workspaceId, id: job.id, leaseToken: randomUUID() };
    await claim(key);
    const end = { status: 'completed', problem: null, streamedText: null, delayMs: 0, isFailure: false } as const;
    await finish({ ...key, ...end, result: { text: 'São R$ 20,00.' }, usage: null, calls: [], charge: CHARGE });
  },
};

/** @returns how often the work was done in a second */
async function rate(
  bed: Bed,
  work: (bed: Bed, job: NewJob) => Promise<void>,
  crowd: (typeof CROWDS)[number],
): Promise<number> {
  const userId = randomUUID();
  const startedAt = performance.now();
  const endsAt = startedAt + SECONDS * 1000;
  let count = 0;
  await Promise.all(
    Array.from({ length: crowd.clients }, async (_, at) => {
      const workspaceId = bed.workspaceIds[at % crowd.workspaces] ?? '';
      while (performance.now() < endsAt) {
        await work(bed, jobOf(workspaceId, userId));
        count += 1;
      }
    }),
  );
  return (count * 1000) / (performance.now() - startedAt);
}

const databases = {
  before: await createDatabaseBefore(process.env['DATABASE_URL'] ?? '', FIRST_OF_LEDGER),
  ledger: await createTestDatabase(),
};
const beds = { before: await openBed(databases.before.url, false), ledger: await openBed(databases.ledger.url, true) };
try {
  print(`per second, median of ${ROUNDS} rounds of ${SECONDS} s in turns; ratio: median of the rounds' (quartiles)`);
  for (const [what, work] of Object.entries(WORK))
    for (const crowd of CROWDS) {
      const rates: Record<Side, number[]> = { before: [], ledger: [] };
      for (let round = 0; round <= ROUNDS; round += 1)
        for (const side of round % 2 === 0 ? SIDES : SIDES.toReversed()) {
          const done = await rate(beds[side], work, crowd);
          // The first round warms up.
          if (round > 0) rates[side].push(done);
        }
      const ratios = rates.ledger.map((one, at) => one / (rates.before[at] ?? NaN));
      const [low, ratio, high] = [0.25, 0.5, 0.75].map((share) => percentile(ratios, share).toFixed(3));
      print(
        `  ${what}, ${crowd.clients} clients of ${crowd.workspaces} workspaces: ${percentile(rates.ledger, 0.5).toFixed(0)} with the ledger, ${percentile(rates.before, 0.5).toFixed(0)} before; ratio ${ratio} (${low} to ${high})`,
      );
      if (what === 'accept' && Number(ratio) < GOAL) process.exitCode = 1;
    }
} finally {
  for (const side of SIDES) {
    await beds[side].pool.end();
    await databases[side].drop();
  }
}
