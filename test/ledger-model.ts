import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type { Pool } from 'pg';
import { AppError } from '#src/errors.ts';
import { newId } from '#src/lib/ids.ts';
import { findBroken, lapseLots, reapReservations } from '#src/modules/billing/reconcile.query.ts';
import { createAccept, type NewJob } from '#src/modules/jobs/accept.query.ts';
import { createClaim } from '#src/modules/jobs/claim.query.ts';
import { createFinish } from '#src/modules/jobs/finish.query.ts';
import { cancelJob } from '#src/modules/jobs/jobs.query.ts';
import { cancelledProblem } from '#workers/outcome.ts';

/** What the ledger should do, in a few lines of memory; amounts in micro-credits. */
interface Model {
  free: number;
  /** In the order they came. */
  lots: { remaining: number; priority: number; expiresAt: number | null }[];
  open: { id: string; hold: number }[];
  /** Jobs that were charged, until they are refunded. */
  charged: { id: string; amount: number }[];
  refunded: string[];
  codes: { hash: Buffer; credits: number; isUsed: boolean }[];
  grants: string[];
  entries: number;
}

interface Real {
  pool: Pool;
  workspaceId: string;
  userId: string;
  accept: ReturnType<typeof createAccept>;
  claim: ReturnType<typeof createClaim>;
  /** Of two processes. */
  finishes: ReturnType<typeof createFinish>[];
}

type Command = fc.AsyncCommand<Model, Real>;

/** The order in which lots are spent and expire. */
const inOrder = ({ lots }: Model) =>
  lots
    .filter(({ remaining }) => remaining > 0)
    .toSorted(
      (one, other) => one.priority - other.priority || (one.expiresAt ?? Infinity) - (other.expiresAt ?? Infinity),
    );

function spend(model: Model, amount: number): void {
  let left = amount;
  for (const lot of inOrder(model)) {
    const taken = Math.min(left, lot.remaining);
    lot.remaining -= taken;
    left -= taken;
  }
}

function add(model: Model, remaining: number, priority: number, expiresAt: number | null): void {
  model.lots.push({ remaining, priority, expiresAt });
  model.free += remaining;
  model.entries += 1;
}

function mustBe(what: string, found: unknown, expected: unknown): void {
  if (JSON.stringify(found) !== JSON.stringify(expected))
    throw new Error(`${what}: ${JSON.stringify(found)} in Postgres, ${JSON.stringify(expected)} in the model`);
}

const ask = async <Row extends object>(pool: Pool, text: string, values: unknown[] = []): Promise<Row[]> =>
  (await pool.query<Row>(text, values)).rows;

/** Compares all there is of the workspace with the model. */
async function compare(model: Model, { pool, workspaceId }: Real): Promise<void> {
  const [account] = await ask<object>(
    pool,
    `select balance::int as free, held::int, last_entry::int as entries, (select coalesce(json_agg(l.remaining order by l.priority,
        l.expires_at nulls last, l.id), '[]') from credit_lot l where l.workspace_id = $1 and l.emptied_at is null) as lots,
      (select coalesce(sum(case when e.to_account = 'credits' then e.amount else -e.amount end), 0)::int from credit_entry e
        where e.workspace_id = $1) as sum
     from credit_account where workspace_id = $1`,
    [workspaceId],
  );
  const held = model.open.reduce((sum, { hold }) => sum + hold, 0);
  const lots = inOrder(model).map(({ remaining }) => remaining);
  const { free, entries } = model;
  mustBe('The account', account, { free, held, entries, lots, sum: free + held });
}

const command = (
  text: string,
  run: (model: Model, real: Real) => Promise<void>,
  check: (model: Model) => boolean,
): Command => ({
  check,
  toString: () => text,
  async run(model, real) {
    await run(model, real);
    await compare(model, real);
  },
});
const always = () => true;
const at = <Item>(items: Item[], index: number): Item | undefined => items[index % Math.max(1, items.length)];

const jobOf = ({ workspaceId, userId }: Real, hold: number): NewJob => ({
  workspaceId,
  id: newId(),
  userId,
  queue: 'ai-inference',
  engine: 'chat',
  band: 'normal',
  input: {},
  options: {},
  requestId: 'model',
  maxAttempts: 3,
  hold,
  idempotency: null,
});

/** Several at once; those of one size, so that how many are admitted does not depend on who comes first. */
const hold = (amount: number, count: number) =>
  command(
    `hold ${count} x ${amount}`,
    async (model, real) => {
      const jobs = Array.from({ length: count }, () => jobOf(real, amount));
      const settled = await Promise.allSettled(jobs.map((job) => real.accept(job)));
      const admitted = jobs.filter((_, index) => settled[index]?.status === 'fulfilled');
      for (const one of settled)
        if (one.status === 'rejected' && !(one.reason instanceof AppError && one.reason.status === 402))
          throw one.reason;
      mustBe('Admitted', admitted.length, Math.min(count, Math.floor(model.free / amount)));
      for (const { id } of admitted) model.open.push({ id, hold: amount });
      model.free -= admitted.length * amount;
    },
    always,
  );

/** Ends the job by its worker, twice, of which one must be refused. `charge` may be more than was held. */
const end = (index: number, status: 'completed' | 'failed' | 'cancelled', charge: number) =>
  command(
    `${status} at ${charge}`,
    async (model, real) => {
      const job = at(model.open, index);
      if (!job) return;
      const key = { workspaceId: real.workspaceId, id: job.id, leaseToken: randomUUID() };
      await real.claim(key);
      const rest = {
        result: {},
        problem: null,
        streamedText: null,
        usage: null,
        calls: [],
        delayMs: 0,
        isFailure: false,
      };
      const ends = await Promise.all(real.finishes.map((finish) => finish({ ...key, ...rest, status, charge })));
      mustBe('Ends', ends.map(({ kind }) => kind).toSorted(), ['done', 'refused']);
      const taken = Math.min(charge, job.hold);
      resolve(model, job.id, taken);
    },
    ({ open }) => open.length > 0,
  );

function resolve(model: Model, id: string, taken: number): void {
  const job = model.open.find((one) => one.id === id);
  if (!job) return;
  model.open = model.open.filter((one) => one !== job);
  model.free += job.hold - taken;
  if (taken === 0) return;
  spend(model, taken);
  model.charged.push({ id, amount: taken });
  model.entries += 1;
}

const cancel = (index: number) =>
  command(
    'cancel',
    async (model, real) => {
      const job = at(model.open, index);
      if (!job) return;
      const key = { workspaceId: real.workspaceId, id: job.id };
      const both = await Promise.all([1, 2].map(() => cancelJob(real.pool, key, cancelledProblem())));
      mustBe('Cancels', both.map(({ kind }) => kind).toSorted(), ['cancelled', 'over']);
      resolve(model, job.id, 0);
    },
    ({ open }) => open.length > 0,
  );

/** Jobs vanish behind the ledger's back: the reaper frees what they held, of them alone. */
const reap = (index: number) =>
  command(
    'reap',
    async (model, real) => {
      const job = at(model.open, index);
      if (!job) return;
      await ask(real.pool, 'delete from job where workspace_id = $1 and id = $2', [real.workspaceId, job.id]);
      await reapReservations(real.pool);
      resolve(model, job.id, 0);
    },
    ({ open }) => open.length > 0,
  );

const grant = (amount: number, priority: number, expiresInMs: number | null) =>
  command(
    `grant ${amount}${expiresInMs === null ? '' : expiresInMs < 0 ? ' that has expired' : ' that expires'}`,
    async (model, real) => {
      const id = randomUUID();
      // No two of one workspace expire at the same moment.
      const expiresAt = expiresInMs === null ? null : Date.now() + expiresInMs + model.lots.length;
      const values = [real.workspaceId, amount, id, expiresAt === null ? null : new Date(expiresAt), priority];
      const granting = () =>
        ask<{ free: string | null }>(
          real.pool,
          `select credit_grant($1, 'grant', $2, $3, $4, $5, null)::int as free`,
          values,
        );
      const both = (await Promise.all([granting(), granting()])).flat();
      add(model, amount, priority, expiresAt);
      mustBe(
        'Granted',
        both.map(({ free }) => free).filter((free) => free !== null),
        [model.free],
      );
      model.grants.push(id);
    },
    always,
  );

const makeCode = (credits: number) =>
  command(
    `make a code of ${credits}`,
    async (model, real) => {
      const hash = Buffer.from(randomUUID());
      await ask(real.pool, 'insert into topup_code (code_hash, batch_id, credits) values ($1, $2, $3)', [
        hash,
        randomUUID(),
        credits,
      ]);
      model.codes.push({ hash, credits, isUsed: false });
    },
    always,
  );

const redeem = (index: number) =>
  command(
    'redeem',
    async (model, real) => {
      const code = at(model.codes, index);
      if (!code) return;
      const redeeming = () =>
        ask(real.pool, 'select credits from credit_redeem($1, $2, $3)', [real.workspaceId, code.hash, real.userId]);
      const both = (await Promise.all([redeeming(), redeeming(), redeeming()])).flat();
      mustBe('Redeemed', both.length, code.isUsed ? 0 : 1);
      if (!code.isUsed) add(model, code.credits, 100, null);
      code.isUsed = true;
    },
    ({ codes }) => codes.length > 0,
  );

const refund = (index: number, part: number | null) =>
  command(
    'refund',
    async (model, real) => {
      const job = at(model.charged, index);
      if (!job) return;
      const refunding = () =>
        ask<{ free: number | null }>(real.pool, 'select credit_refund($1, $2, $3, null)::int as free', [
          real.workspaceId,
          job.id,
          part,
        ]);
      const both = (await Promise.all([refunding(), refunding()])).flat();
      const isFirst = !model.refunded.includes(job.id);
      mustBe('Refunded', both.filter(({ free }) => free !== null).length, isFirst ? 1 : 0);
      if (isFirst) add(model, Math.min(job.amount, part ?? job.amount), 0, null);
      model.refunded.push(job.id);
    },
    ({ charged }) => charged.length > 0,
  );

const lapse = command(
  'lapse',
  async (model, real) => {
    await lapseLots(real.pool);
    for (const lot of inOrder(model)) {
      const lost = lot.expiresAt !== null && lot.expiresAt <= Date.now() ? Math.min(lot.remaining, model.free) : 0;
      if (lost === 0) continue;
      lot.remaining -= lost;
      model.free -= lost;
      model.entries += 1;
    }
  },
  always,
);

const amount = fc.integer({ min: 1, max: 1000 });
const index = fc.nat(20);
const COMMANDS: fc.Arbitrary<Command>[] = [
  fc.tuple(amount, fc.integer({ min: 1, max: 8 })).map(([of, count]) => hold(of, count)),
  fc.tuple(index, fc.integer({ min: 0, max: 1200 })).map(([of, charge]) => end(of, 'completed', charge)),
  fc.tuple(index, fc.constantFrom('failed' as const, 'cancelled' as const)).map(([of, status]) => end(of, status, 0)),
  index.map(cancel),
  index.map(reap),
  fc
    .tuple(amount, fc.integer({ min: -1, max: 1 }), fc.constantFrom(null, -60_000, 3_600_000))
    .map(([of, priority, expires]) => grant(of, priority, expires)),
  amount.map(makeCode),
  index.map(redeem),
  fc.tuple(index, fc.option(amount)).map(([of, part]) => refund(of, part)),
  fc.constant(lapse),
];

/**
 * Runs random interleavings of all that moves credits against Postgres and a model beside it, each in a workspace of its own.
 * @param systemPool as `wh_system`
 * @throws with the seed and the shortest interleaving found that diverges
 */
export async function runLedgerModel(systemPool: Pool, runs: number, seed: number): Promise<void> {
  const doors = {
    accept: createAccept(systemPool),
    claim: createClaim(systemPool, 60_000),
    finishes: [createFinish(systemPool), createFinish(systemPool)],
  };
  const property = fc.asyncProperty(fc.commands(COMMANDS, { maxCommands: 25, size: 'max' }), async (commands) => {
    const real = { pool: systemPool, workspaceId: newId(), userId: newId(), ...doors };
    await ask(systemPool, 'insert into workspace (id, name) values ($1, $2)', [real.workspaceId, 'Model']);
    await ask(systemPool, 'insert into credit_account (workspace_id) values ($1)', [real.workspaceId]);
    const model: Model = { free: 0, lots: [], open: [], charged: [], refunded: [], codes: [], grants: [], entries: 0 };
    await fc.asyncModelRun(() => ({ model, real }), commands);
    mustBe(
      'Broken invariants',
      (await findBroken(systemPool, 60)).filter((one) => one.workspaceId === real.workspaceId),
      [],
    );
    for (const { id } of model.open) await cancelJob(systemPool, { ...real, id }, cancelledProblem());
  });
  await fc.assert(property, { numRuns: runs, seed });
}
