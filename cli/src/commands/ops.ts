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
async function findCredentials({ env, signal }: Context): Promise<string> {
  const user = env['WHATSHYBRID_OPS_USER'] || 'ops';
  const given = env['WHATSHYBRID_OPS_PASSWORD'];
  const password = given || (canAsk() ? await ask(`Password of ${plain(user)}: `, signal, { isSecret: true }) : '');
  if (password !== '') return Buffer.from(`${user}:${password}`).toString('base64');
  throw new CliError(EXIT.unauthorised, 'signed_out', 'There is no password: set WHATSHYBRID_OPS_PASSWORD.');
}

const isProblem = (value: unknown): value is Problem =>
  typeof value === 'object' && value !== null && 'code' in value && 'detail' in value && 'status' in value;

/** Asks once: what makes keys must not make them twice. @throws ApiError, NetworkError, CliError 3 */
async function post(context: Context, path: string, body: object): Promise<unknown> {
  const url = await findUrl(context);
  if (isInClear(url))
    context.out.note(`Careful: over ${url} the password crosses the network in clear text. Use https.`);
  const headers = { authorization: `Basic ${await findCredentials(context)}`, 'content-type': 'application/json' };
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const answer = await fetch(`${url}${path}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
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
  if (answer.ok) return said;
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

/** A list of an answer, whatever else is in it. */
function listOf(said: unknown, name: string): unknown[] {
  const value: unknown =
    typeof said === 'object' && said !== null ? Object.entries(said).find(([key]) => key === name)?.[1] : undefined;
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
  const said = await post(context, '/ops/topup-codes', { count, credits, expiresAt });
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
  const said = await post(context, '/ops/licenses', { plan, count, days, activateBy, limits, features });
  context.out.json(said);
  const rows = listOf(said, 'licenses').map((one) =>
    typeof one === 'object' && one !== null && 'id' in one && 'key' in one ? [String(one.key), String(one.id)] : [],
  );
  context.out.table(['key', 'id'], rows);
  context.out.note(ONCE);
  return EXIT.done;
}

async function revoke(context: Context, _options: object, [licenseId = '']: string[]): Promise<number> {
  context.out.json(await post(context, '/ops/licenses/revoke', { licenseId }));
  context.out.note('The licence is revoked.');
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
  const group = ops.command('licenses').description('make and revoke licences');
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
  group.command('revoke').argument('<id>').description('end a licence for good').action(act(revoke));
}
