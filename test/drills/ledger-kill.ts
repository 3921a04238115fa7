// The API or the worker is killed with kill -9 at each point between the accept and the end of a job; then the ledger is checked.
// Run: npm run bench -- ledger-kill. LEDGER_KILLS (50) says how often at each point.
import { checkField, openField, POINTS } from '#test/drills/ledger-points.ts';

const KILLS = Number(process.env['LEDGER_KILLS'] ?? 50);
const print = (text: string) => process.stdout.write(`${text}\n`);

const field = await openField();
try {
  for (const [name, strike] of Object.entries(POINTS)) {
    for (let kills = 0; kills < KILLS; kills += 1) {
      await strike(field);
      field.simulator.clear();
    }
    const { problems, jobs } = await checkField(field);
    print(
      `${name}: ${KILLS} kills, ${jobs} jobs so far, ${problems.length === 0 ? 'the books are even' : problems.join('; ')}`,
    );
    if (problems.length > 0) process.exitCode = 1;
  }
} finally {
  await field.close();
}
