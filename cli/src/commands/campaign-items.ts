import { type Command, Option } from 'commander';
import { ITEM, RESOLVED, RETRIED } from '../answers.ts';
import type { Act, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { limitOption, readRows } from '../pages.ts';
import { count } from '../text.ts';
import { pathOf, watchCampaign } from './campaign-watch.ts';

interface Resolving {
  as: 'sent' | 'failed' | 'resend';
  item?: string;
  watch?: boolean;
}

async function listItems(
  context: Context,
  { status, limit }: { status?: string; limit?: number },
  [id = '']: string[],
): Promise<number> {
  const { out } = context;
  const { rows, hasMore } = await readRows(context, ITEM, `${pathOf(id)}/items`, { status, most: limit ?? Infinity });
  out.json(rows);
  const lines = rows.map(({ id: item, contactId, status, attempts, skipReason, errorCode, sentAt }) => [
    item,
    contactId ?? '',
    status,
    String(attempts),
    skipReason ?? errorCode ?? '',
    sentAt ?? '',
  ]);
  out.table(['Item', 'Contact', 'Status', 'Attempts', 'Why', 'Sent'], lines);
  if (hasMore) out.note('There are more.');
  return EXIT.done;
}

async function retryFailed(context: Context, { watch }: { watch?: boolean }, [id = '']: string[]): Promise<number> {
  const { out, request } = context;
  const answer = await request(RETRIED, 'POST', `${pathOf(id)}/retry-failed`);
  out.json(answer);
  out.note(
    answer.retried === 0 ? 'Nothing of it can be tried again.' : `${count(answer.retried)} are tried once more.`,
  );
  return watch ? watchCampaign(context, id) : EXIT.done;
}

async function resolve(context: Context, { as, item, watch }: Resolving, [id = '']: string[]): Promise<number> {
  const { out, request } = context;
  const body = { as };
  const said = as === 'resend' ? 'sent again' : `held for ${as}`;
  if (item === undefined) {
    const answer = await request(RESOLVED, 'POST', `${pathOf(id)}/resolve-unknown`, { body });
    out.json(answer);
    out.note(answer.resolved === 0 ? 'Nothing of it is unknown.' : `${count(answer.resolved)} are ${said}.`);
  } else {
    out.json(await request(ITEM, 'POST', `${pathOf(id)}/items/${encodeURIComponent(item)}/resolve`, { body }));
    out.note(`It is ${said}.`);
  }
  return watch ? watchCampaign(context, id) : EXIT.done;
}

/** What is done with the recipients of a campaign. */
export function addItems(campaigns: Command, act: Act): void {
  campaigns
    .command('items')
    .argument('<id>')
    .description('its recipients, and what became of each')
    .option('--status <status>', 'only those: unknown, failed, skipped, …')
    .addOption(limitOption('so many of them; else all'))
    .action(act(listItems));
  campaigns
    .command('retry-failed')
    .argument('<id>')
    .description('try what failed and reached nobody once more')
    .option('--watch', 'and watch it')
    .action(act(retryFailed));
  campaigns
    .command('resolve')
    .argument('<id>')
    .description('say how its unknown messages ended, or have them sent again')
    .addOption(new Option('--as <end>').choices(['sent', 'failed', 'resend']).makeOptionMandatory())
    .option('--item <id>', 'of one of them alone')
    .option('--watch', 'and watch it')
    .action(act(resolve));
}
