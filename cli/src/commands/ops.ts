import { InvalidArgumentError, type Command } from 'commander';
import { ApiError, NetworkError, type Problem } from '../../../client/src/index.ts';
import { isInClear, readStored, readUrl } from '../account.ts';
import type { Act, Context } from '../context.ts';
import { CliError, EXIT, usageError } from '../exit.ts';
import { ask, canAsk } from '../prompt.ts';
import { plain } from '../text.ts';

const TIMEOUT_MS = 60_000;

async function findUrl({ env, out, options }: Context): Promise<string> {
  const named = options.url ?? (env['WHATSHYBRID_URL'] || undefined);
  const url = named ?? (await readStored(env, (text) => out.note(text)))?.url;
  if (url === undefined) throw usageError('Say where: --url https://…, or set WHATSHYBRID_URL.');
  return readUrl(url);
}

/** Never from the command line, where others could read it. */
async function findCredentials(context: Context): Promise<string> {
  const { env, signal } = context;
  const user = env['WHATSHYBRID_OPS_USER'] || 'ops';
  const given = env['WHATSHYBRID_OPS_PASSWORD'];
  const password =
    given || (canAsk(context) ? await ask(`Password of ${plain(user)}: `, signal, { isSecret: true }) : '');
  if (password !== '') return Buffer.from(`${user}:${password}`).toString('base64');
  throw new CliError(EXIT.unauthorised, 'signed_out', 'There is no password: set WHATSHYBRID_OPS_PASSWORD.');
}

const isProblem = (value: unknown): value is Problem =>
  typeof value === 'object' && value !== null && 'code' in value && 'detail' in value && 'status' in value;

/** Asks once: what makes keys must not make them twice. @param body absent: it is only read @throws ApiError, NetworkError, CliError 3 */
async function call(context: Context, path: string, body?: object): Promise<object> {
  const url = await findUrl(context);
  if (isInClear(url))
    context.out.note(`Careful: over ${url} the password crosses the network in clear text. Use https.`);
  const headers = {
    authorization: `Basic ${await findCredentials(context)}`,
    ...(body && { 'content-type': 'application/json' }),
  };
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const answer = await fetch(`${url}${path}`, {
    method: body ? 'POST' : 'GET',
    headers,
    ...(body && { body: JSON.stringify(body) }),
    redirect: 'error',
    signal,
  }).catch((error: unknown) => {
    context.signal.throwIfAborted();
    throw new NetworkError(`There is no answer from ${url}.`, error);
  });
  const said: unknown = await answer.json().catch((error: unknown) => {
    throw new NetworkError(`The answer from ${url} is not that of the backend.`, error);
  });
  if (answer.status === 401)
    throw new CliError(EXIT.unauthorised, 'unauthenticated', 'The ops user or password is wrong.');
  if (answer.ok && typeof said === 'object' && said !== null) return said;
  if (isProblem(said)) throw new ApiError(said);
  throw new NetworkError(`The answer from ${url} is not that of the backend.`);
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It must be a whole number above 0.');
  return value;
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

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

/** What an answer has under a name, if it has it. */
const valueOf = (said: unknown, name: string): unknown =>
  typeof said === 'object' && said !== null ? Object.entries(said).find(([key]) => key === name)?.[1] : undefined;

/** A list of an answer, whatever else is in it. */
function listOf(said: object, name: string): unknown[] {
  const value = valueOf(said, name);
  if (!Array.isArray(value)) throw new NetworkError('The answer is not that of the backend.');
  return value;
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

const cell = (value: unknown): string => {
  if (value === null || value === undefined) return '-';
  return plain(typeof value === 'string' ? value : JSON.stringify(value));
};

interface PageOptions {
  limit?: number;
  cursor?: string;
}

type Query = Record<string, string | number | undefined>;

/** Shows one page of a list as a table. @param columns what of each row, under the same name */
async function page(context: Context, path: string, columns: string[], query: Query): Promise<number> {
  const asked = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) asked.set(key, String(value));
  const said = await call(context, `${path}?${asked.toString()}`);
  context.out.json(said);
  const rows = listOf(said, 'data').map((row) => columns.map((name) => cell(valueOf(row, name))));
  context.out.table(columns, rows);
  const next = valueOf(valueOf(said, 'page'), 'nextCursor');
  if (typeof next === 'string') context.out.note(`There are more: --cursor ${plain(next)}`);
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
  const said = await call(context, `/ops/licenses/${encodeURIComponent(id)}`);
  context.out.json(said);
  context.out.table(
    ['', ''],
    Object.entries(said).map(([name, value]) => [name, cell(value)]),
  );
  return EXIT.done;
}

const listBatches = (context: Context, { limit: most, cursor }: PageOptions): Promise<number> =>
  page(context, '/ops/topup-codes', BATCH_COLUMNS, { limit: most, cursor });

async function revokeBatch(context: Context, _options: object, [batchId = '']: string[]): Promise<number> {
  const said = await call(context, '/ops/topup-codes/revoke', { batchId });
  context.out.json(said);
  context.out.note(`Revoked ${cell(valueOf(said, 'revoked'))} codes that nobody had redeemed.`);
  return EXIT.done;
}

/** A list that is shown page by page. */
const paged = (command: Command): Command =>
  command.option('--limit <n>', 'how many rows, at most 100', whole).option('--cursor <cursor>', 'where to go on');

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
}
