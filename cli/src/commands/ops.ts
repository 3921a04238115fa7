import { InvalidArgumentError, type Command } from 'commander';
import type { Act, Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { plain } from '../text.ts';
import { call, cell, listOf, page, paged, positive, showAll, valueOf, whole, type PageOptions } from './ops-call.ts';
import { addInvoices } from './ops-invoices.ts';

/** `contacts=5000`, or `contacts=none` for no limit. */
function limit(text: string, before: Record<string, number | null> = {}): Record<string, number | null> {
  const [name = '', value = ''] = text.split('=');
  const number = value === 'none' ? null : Number(value || NaN);
  if (name === '' || (number !== null && !Number.isInteger(number)))
    throw new InvalidArgumentError('It must look like contacts=5000 or contacts=none.');
  return { ...before, [name]: number };
}

/** `cloudApi=on` or `cloudApi=off`. */
function feature(text: string, before: Record<string, boolean> = {}): Record<string, boolean> {
  const [name = '', value = ''] = text.split('=');
  if (name === '' || !['on', 'off'].includes(value)) throw new InvalidArgumentError('It must look like cloudApi=on.');
  return { ...before, [name]: value === 'on' };
}

const ONCE = 'They are shown this once, and kept nowhere.';

interface CodesOptions {
  count: number;
  credits: number;
  expiresAt?: string;
}

async function topupCodes(context: Context, { count, credits, expiresAt }: CodesOptions): Promise<number> {
  const said = await call(context, '/ops/topup-codes', { count, credits, expiresAt });
  context.out.json(said);
  context.out.text(
    listOf(said, 'codes')
      .map((code) => `${plain(String(code))}\n`)
      .join(''),
  );
  context.out.note(ONCE);
  return EXIT.done;
}

interface LicensesOptions {
  plan: string;
  count: number;
  days?: number;
  activateBy?: string;
  limit?: Record<string, number | null>;
  feature?: Record<string, boolean>;
}

async function licenses(context: Context, options: LicensesOptions): Promise<number> {
  const { plan, count, days, activateBy, limit: limits, feature: features } = options;
  const said = await call(context, '/ops/licenses', { plan, count, days, activateBy, limits, features });
  context.out.json(said);
  const rows = listOf(said, 'licenses').map((one) =>
    typeof one === 'object' && one !== null && 'id' in one && 'key' in one ? [String(one.key), String(one.id)] : [],
  );
  context.out.table(['key', 'id'], rows);
  context.out.note(ONCE);
  return EXIT.done;
}

async function revoke(context: Context, _options: object, [licenseId = '']: string[]): Promise<number> {
  context.out.json(await call(context, '/ops/licenses/revoke', { licenseId }));
  context.out.note('The licence is revoked.');
  return EXIT.done;
}

interface LicenseFilter extends PageOptions {
  status?: string;
  plan?: string;
  workspace?: string;
}

const LICENSE_COLUMNS = ['id', 'plan', 'status', 'workspaceId', 'activatedAt', 'expiresAt', 'createdAt'];
const BATCH_COLUMNS = ['batchId', 'credits', 'codes', 'redeemed', 'revoked', 'expiresAt', 'createdAt'];

const listLicenses = (
  context: Context,
  { status, plan, workspace: workspaceId, limit: most, cursor }: LicenseFilter,
): Promise<number> =>
  page(context, '/ops/licenses', LICENSE_COLUMNS, { status, plan, workspaceId, limit: most, cursor });

async function showLicense(context: Context, _options: object, [id = '']: string[]): Promise<number> {
  return showAll(context, await call(context, `/ops/licenses/${encodeURIComponent(id)}`));
}

const listBatches = (context: Context, { limit: most, cursor }: PageOptions): Promise<number> =>
  page(context, '/ops/topup-codes', BATCH_COLUMNS, { limit: most, cursor });

async function revokeBatch(context: Context, _options: object, [batchId = '']: string[]): Promise<number> {
  const said = await call(context, '/ops/topup-codes/revoke', { batchId });
  context.out.json(said);
  context.out.note(`Revoked ${cell(valueOf(said, 'revoked'))} codes that nobody had redeemed.`);
  return EXIT.done;
}

export function addOps(program: Command, act: Act): void {
  const ops = program
    .command('ops')
    .description('what operators do; with WHATSHYBRID_OPS_USER and WHATSHYBRID_OPS_PASSWORD, or asked for');
  ops
    .command('topup-codes')
    .description('make codes that add credits')
    .requiredOption('--count <n>', 'how many', whole)
    .requiredOption('--credits <m>', 'what each adds', positive)
    .option('--expires-at <time>', 'until when, like 2027-01-01T00:00:00Z')
    .action(act(topupCodes));
  const batches = ops.command('topup-batches').description('what became of codes');
  paged(batches.command('list').description('the batches of codes, and how many were redeemed')).action(
    act(listBatches),
  );
  batches
    .command('revoke')
    .argument('<batchId>')
    .description('end all codes of a batch that nobody has redeemed')
    .action(act(revokeBatch));
  const group = ops.command('licenses').description('make, list and revoke licences');
  group
    .command('create')
    .description('make licences')
    .requiredOption('--plan <plan>', 'starter, pro or enterprise')
    .option('--count <n>', 'how many', whole, 1)
    .option('--days <n>', 'how long each lasts once it is activated; else without an end', whole)
    .option('--activate-by <time>', 'until when it can be activated')
    .option('--limit <name=n>', 'another limit than the plan’s, or none; may be said again', limit)
    .option('--feature <name=on|off>', 'a feature more, or less; may be said again', feature)
    .action(act(licenses));
  paged(
    group
      .command('list')
      .description('licences, newest first; never their keys')
      .option('--status <status>', 'unused, active, replaced, expired or revoked')
      .option('--plan <plan>', 'starter, pro or enterprise')
      .option('--workspace <id>', 'those that a workspace has activated'),
  ).action(act(listLicenses));
  group.command('show').argument('<id>').description('all there is to know of a licence').action(act(showLicense));
  group.command('revoke').argument('<id>').description('end a licence for good').action(act(revoke));
  addInvoices(ops, act);
}
