import { InvalidArgumentError, type Command } from 'commander';
import { ApiError, NetworkError, type Problem } from '../../../client/src/index.ts';
import { isInClear, readStored, readUrl } from '../account.ts';
import type { Context } from '../context.ts';
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
export async function call(context: Context, path: string, body?: object): Promise<object> {
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

export function whole(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It must be a whole number above 0.');
  return value;
}

export function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) throw new InvalidArgumentError('It must be a number above 0.');
  return value;
}

/** What an answer has under a name, if it has it. */
export const valueOf = (said: unknown, name: string): unknown =>
  typeof said === 'object' && said !== null ? Object.entries(said).find(([key]) => key === name)?.[1] : undefined;

/** A list of an answer, whatever else is in it. */
export function listOf(said: object, name: string): unknown[] {
  const value = valueOf(said, name);
  if (!Array.isArray(value)) throw new NetworkError('The answer is not that of the backend.');
  return value;
}

export const cell = (value: unknown): string => {
  if (value === null || value === undefined) return '-';
  return plain(typeof value === 'string' ? value : JSON.stringify(value));
};

export interface PageOptions {
  limit?: number;
  cursor?: string;
}

type Query = Record<string, string | number | undefined>;

/** Shows one page of a list as a table. @param columns what of each row, under the same name */
export async function page(context: Context, path: string, columns: string[], query: Query): Promise<number> {
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

/** Shows all that an answer says, each under its name. */
export function showAll({ out }: Context, said: object): number {
  out.json(said);
  out.table(
    ['', ''],
    Object.entries(said).map(([name, value]) => [name, cell(value)]),
  );
  return EXIT.done;
}

/** A list that is shown page by page. */
export const paged = (command: Command): Command =>
  command.option('--limit <n>', 'how many rows, at most 100', whole).option('--cursor <cursor>', 'where to go on');
