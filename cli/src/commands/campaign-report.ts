import type { CampaignReport } from '../../../client/src/index.ts';
import { REPORT } from '../answers.ts';
import type { Context } from '../context.ts';
import { download } from '../download.ts';
import { EXIT, usageError } from '../exit.ts';
import { count } from '../text.ts';
import { pathOf } from './campaign-watch.ts';

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** Amounts by reason, the largest first. */
const byReason = (heading: string, counts: Record<string, number>): string[][] =>
  Object.entries(counts)
    .toSorted(([, a], [, b]) => b - a)
    .map(([reason, amount]) => [`${heading}: ${reason}`, count(amount), '']);

function rowsOf({ counters, excluded, funnel, skipped, failed }: CampaignReport): string[][] {
  const ofTotal = (amount: number) => (counters.total === 0 ? '' : percent(amount / counters.total));
  const { reached, delivered, read, replied, optedOut } = funnel;
  const { total, unknown, cancelled } = counters;
  return Object.entries({
    recipients: total,
    reached,
    delivered,
    read,
    replied,
    'opted out': optedOut,
    unknown,
    cancelled,
  })
    .map(([name, amount]) => [name, count(amount), name === 'recipients' ? '' : ofTotal(amount)])
    .concat(byReason('failed', failed), byReason('skipped', skipped), byReason('left out', excluded));
}

/** What came of a campaign; with `--csv`, of each of its recipients. */
export async function reportCampaign(
  context: Context,
  { csv }: { csv?: string },
  [id = '']: string[],
): Promise<number> {
  const { out } = context;
  if (csv === '-' && out.isJson)
    throw usageError('stdout cannot be CSV and JSON: say --csv with a file, or no --json.');
  if (csv !== undefined) {
    await download(context, `${pathOf(id)}/report.csv`, csv);
    if (csv === '-') return EXIT.done;
    out.note(`Its recipients are in ${csv}.`);
  }
  const report = await context.request(REPORT, 'GET', `${pathOf(id)}/report`);
  out.json(report);
  out.table(['', 'Recipients', 'Of all'], rowsOf(report));
  if (report.variants.length < 2) return EXIT.done;
  out.text('\n');
  const variants = report.variants.map(({ key, sent, replied, replyRate }) => [
    key,
    count(sent),
    count(replied),
    replyRate === null ? '' : `${percent(replyRate.rate)} (${percent(replyRate.low)} to ${percent(replyRate.high)})`,
  ]);
  out.table(['Variant', 'Sent', 'Replied', 'Reply rate (95 %)'], variants);
  return EXIT.done;
}
