// What an import costs, and whether a worker that is killed in the middle of one leaves its mark. Run: npm run bench -- import
import { drillImport } from '#test/drills/import-drill.ts';

const ROWS = Number(process.env['IMPORT_ROWS'] ?? 200_000);
const print = (text: string) => process.stdout.write(`${text}\n`);

const { problems, uploadMs, killedAtRow, rowsPerSecond, bareRowsPerSecond, rssGrowthMb } = await drillImport(ROWS);
print(
  `${ROWS} rows: read in ${(uploadMs / 1000).toFixed(1)} s; the worker was killed at row ${killedAtRow}, and another went on`,
);
print(
  `  imported ${rowsPerSecond.toFixed(0)} rows/s; bare inserts of the same contacts ${bareRowsPerSecond.toFixed(0)} rows/s`,
);
print(`  ${(rowsPerSecond / bareRowsPerSecond).toFixed(2)} of bare`);
print(`  resident memory over idle, at its peak: ${rssGrowthMb.map((mb) => `${mb.toFixed(0)} MB`).join(', then ')}`);
for (const problem of problems) print(`PROBLEM ${problem}`);
print(problems.length === 0 ? 'Every row is there once.' : `${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
