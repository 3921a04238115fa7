import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runLedgerModel } from '#test/ledger-model.ts';
import { openTestRuntime, type TestRuntime } from '#test/harness.ts';

let test: TestRuntime;
beforeAll(async () => {
  test = await openTestRuntime();
});
afterAll(() => test.close());

const RUNS = 200;
const SEED = 20_261_127;

describe('the ledger', () => {
  it('does what its model does, whatever comes in whatever order', async () => {
    await expect(runLedgerModel(test.rt.systemPool, RUNS, SEED)).resolves.toBeUndefined();
  }, 300_000);
});
