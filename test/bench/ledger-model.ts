import { randomInt } from 'node:crypto';
import { openTestRuntime } from '#test/harness.ts';
import { runLedgerModel } from '#test/ledger-model.ts';

/** The model of the ledger at full length: `LEDGER_RUNS` random interleavings (5 000), from `LEDGER_SEED`. A divergence ends with its shortest form. */
const runs = Number(process.env['LEDGER_RUNS'] ?? 5000);
const seed = Number(process.env['LEDGER_SEED'] ?? randomInt(2 ** 31));
const test = await openTestRuntime();
const startedAt = performance.now();
try {
  await runLedgerModel(test.rt.systemPool, runs, seed);
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  process.stdout.write(`${runs} interleavings, seed ${seed}: 0 divergences, ${seconds} s\n`);
} finally {
  await test.close();
}
