import { mkdir, readFile, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { CliError, EXIT, fileError, usageError } from './exit.ts';
import { writeFresh } from './fresh-file.ts';

/** Whose workspace, and where. */
export interface Account {
  /** Without a slash at its end. */
  url: string;
  apiKey: string;
}

type Env = Record<string, string | undefined>;

/** `$XDG_CONFIG_HOME/whatshybrid/account.json`; what is no absolute path there counts as unset, as the XDG specification says. */
export function accountPath(env: Env): string {
  const given = env['XDG_CONFIG_HOME'];
  const base = given?.startsWith('/') ? given : join(homedir(), '.config');
  return join(base, 'whatshybrid', 'account.json');
}

/** Whether it can be a key. What cannot stand in a header would be refused by fetch with the key in its message. */
export const isKey = (text: string): boolean => /^[\w-]{1,200}$/.test(text);

/** @throws CliError for what is no http(s) address */
export function readUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    const shown = text.replace(/\/\/[^/]*@/, '//…@');
    throw usageError(`The address must look like https://host:port, not "${shown}".`);
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

/** Whether a key would cross a network in clear text. */
export function isInClear(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !/^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}

/** What is stored. `warn` is told when others could read it too. @throws CliError where it cannot be read, or is no account */
export async function readStored(env: Env, warn: (text: string) => void): Promise<Account | undefined> {
  const path = accountPath(env);
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (!isAccount(value)) throw damaged(path);
    if (process.platform !== 'win32' && ((await stat(path)).mode & 0o077) !== 0)
      warn(`${path} can be read by others, and has a key in it: chmod 600 it.`);
    return value;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error instanceof SyntaxError ? damaged(path) : fileError(path, 'read', error);
  }
}

const damaged = (path: string) =>
  new CliError(
    EXIT.unauthorised,
    'damaged_account',
    `${path} is damaged. Sign in again: whatshybrid login --url https://…`,
  );

const isMissing = (error: unknown) => error instanceof Error && 'code' in error && error.code === 'ENOENT';

function isAccount(value: unknown): value is Account {
  if (typeof value !== 'object' || value === null || !('url' in value) || !('apiKey' in value)) return false;
  const { url, apiKey } = value;
  return typeof url === 'string' && URL.canParse(url) && typeof apiKey === 'string' && isKey(apiKey);
}

/**
 * The account a command uses: `WHATSHYBRID_API_KEY` and `WHATSHYBRID_URL` (or `--url`) before what is stored. A stored key is sent only where
 * it was stored for.
 * @throws CliError 3 when there is no key, 2 when there is no address or what is in the environment is no key
 */
export async function findAccount(
  env: Env,
  givenUrl: string | undefined,
  warn: (text: string) => void,
): Promise<Account> {
  const named = givenUrl ?? (env['WHATSHYBRID_URL'] || undefined);
  const url = named === undefined ? undefined : readUrl(named);
  const apiKey = env['WHATSHYBRID_API_KEY'] || undefined;
  if (apiKey !== undefined && !isKey(apiKey))
    throw usageError(
      'What is in WHATSHYBRID_API_KEY is no API key: there are letters, digits, - and _ in one, and no more.',
    );
  if (apiKey !== undefined && url !== undefined) return { url, apiKey };
  const stored = await readStored(env, warn);
  if (apiKey !== undefined) {
    if (!stored) throw usageError('WHATSHYBRID_API_KEY is set, and no address: set WHATSHYBRID_URL too, or say --url.');
    return { url: stored.url, apiKey };
  }
  if (!stored) {
    const how = 'Run "whatshybrid login", or set WHATSHYBRID_API_KEY and WHATSHYBRID_URL.';
    throw new CliError(EXIT.unauthorised, 'signed_out', `There is no API key. ${how}`);
  }
  if (url !== undefined && url !== stored.url) {
    const why = `The stored key is for ${stored.url}. For ${url} run "whatshybrid login --url ${url}", or set WHATSHYBRID_API_KEY.`;
    throw new CliError(EXIT.unauthorised, 'other_address', why);
  }
  return stored;
}

/** Stores an account for its owner's eyes only, whole or not at all. @returns where. @throws CliError that names it */
export async function storeAccount(env: Env, account: Account): Promise<string> {
  const path = accountPath(env);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw fileError(path, 'written', error);
  });
  await writeFresh(path, (file) => file.writeFile(`${JSON.stringify(account, undefined, 2)}\n`));
  return path;
}

/** Whatever is in it. @returns whether there was one. @throws CliError that names it */
export async function forgetAccount(env: Env): Promise<boolean> {
  const path = accountPath(env);
  try {
    await rm(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw fileError(path, 'deleted', error);
  }
}
