import { InvalidArgumentError, type Command } from 'commander';
import type { Act, Context } from '../context.ts';
import { usageError } from '../exit.ts';
import { call, cell, page, paged, showAll, valueOf, whole, type PageOptions } from './ops-call.ts';

const COLUMNS = ['id', 'workspaceId', 'plan', 'status', 'amountMinor', 'currency', 'held', 'dueAt', 'createdAt'];

const list = (context: Context, { waiting, limit, cursor }: PageOptions & { waiting: string }): Promise<number> =>
  page(context, '/ops/invoices', COLUMNS, { waiting, limit, cursor });

/** Does something with an invoice. @param path what, as the API names it @returns how the invoice is then */
const change = (context: Context, id: string, path: string, body: object = {}): Promise<object> =>
  call(context, `/ops/invoices/${encodeURIComponent(id)}/${path}`, body);

const changing =
  (path: string) =>
  async (context: Context, _options: object, [id = '']: string[]): Promise<number> =>
    showAll(context, await change(context, id, path));

interface RefundOptions {
  minor?: number;
  all?: boolean;
}

async function refund(context: Context, { minor, all }: RefundOptions, [id = '']: string[]): Promise<number> {
  if ((minor === undefined) !== (all === true)) throw usageError('Say how much: --minor, or --all.');
  const said = await change(context, id, 'refund', { refundedMinor: minor });
  const kept = valueOf(said, 'notRefundableMinor');
  if (kept !== 0)
    context.out.note(`A balance at the provider had paid ${cell(kept)} of it, which cannot be given back.`);
  return showAll(context, said);
}

const release = async (context: Context, { credits }: { credits?: number }, [id = '']: string[]): Promise<number> =>
  showAll(context, await change(context, id, 'release', { credits }));

/** Credits of a release, which may be none. */
function amount(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value < Infinity))
    throw new InvalidArgumentError('It must be a number, 0 or above.');
  return value;
}

/** What operators do with invoices. */
export function addInvoices(ops: Command, act: Act): void {
  const group = ops.command('invoices').description('what waits for an operator, and what came of it');
  paged(
    group
      .command('list')
      .description('invoices that wait for an operator, of all workspaces, newest first')
      .requiredOption('--waiting <what>', 'payment (to be paid by hand), release (held) or dispute'),
  ).action(act(list));
  group
    .command('paid')
    .argument('<id>')
    .description('its money has come, by hand')
    .action(act(changing('paid')));
  group
    .command('void')
    .argument('<id>')
    .description('it is not to be paid, by hand')
    .action(act(changing('void')));
  group
    .command('refund')
    .argument('<id>')
    .description('give its money back')
    .option('--minor <n>', 'so much in all, with what was given back before, in minor units', whole)
    .option('--all', 'everything that was collected for it')
    .action(act(refund));
  group
    .command('release')
    .argument('<id>')
    .description('let a held one give its credits')
    .option('--credits <m>', 'so many; else those of its plan', amount)
    .action(act(release));
}
