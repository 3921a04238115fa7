// The API, the worker or control is killed with kill -9 at each point between the accept and the end of a job; then the ledger is checked.
// Run: npm run bench -- ledger-kill. LEDGER_KILLS (50) says how often at each point, LEDGER_POINT (all) at which: a part of
// their names, as a regular expression. Two installations share the points: one starts a process
// while the other waits for something to happen.
import { checkField, openField, POINTS } from '#test/drills/ledger-points.ts';

const KILLS = Number(process.env['LEDGER_KILLS'] ?? 50);
const LANES = 2;
const print = (text: string) => process.stdout.write(`${text}\n`);
const startedAt = performance.now();

const wanted = new RegExp(process.env['LEDGER_POINT'] ?? '');
const left = Object.entries(POINTS).filter(([name]) => wanted.test(name));
const count = left.length;
async function runLane(): Promise<void> {
  const field = await openField();
  try {
    for (let point = left.shift(); point; point = left.shift()) {
      const [name, strike] = point;
      const since = performance.now();
      for (let kills = 0; kills < KILLS; kills += 1) {
        await strike(field);
        field.simulator.clear();
      }
      const { problems, jobs } = await checkField(field);
      print(
        `${name}: ${KILLS} kills, ${((performance.now() - since) / 1000 / KILLS).toFixed(1)} s each, ${jobs} jobs so far, ${problems.length === 0 ? 'the books are even' : problems.join('; ')}`,
      );
      if (problems.length > 0) process.exitCode = 1;
    }
  } finally {
    await field.close();
  }
}

const lanes = await Promise.allSettled(Array.from({ length: LANES }, runLane));
for (const lane of lanes) if (lane.status === 'rejected') throw lane.reason;
print(`${count} points in ${Math.round((performance.now() - startedAt) / 1000)} s`);
