import { fuzzHttp, openTarget, summary } from '#test/fuzz/http.ts';

const requests = Number(process.env['FUZZ_REQUESTS'] ?? 100_000);
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
const say = (text: string) => process.stdout.write(`${text}\n`);

say(`FUZZ_SEED=${seed} FUZZ_REQUESTS=${requests}`);
const target = await openTarget();
try {
  const report = await fuzzHttp(target, { requests, seed });
  say(summary(report));
  for (const failure of report.failures) say(`\n${failure}`);
  say(report.failures.length > 0 ? '\nFAILED' : 'No answer of 500 or above, none that hung, every error a problem.');
  process.exitCode = report.failures.length > 0 ? 1 : 0;
} finally {
  await target.close();
}
