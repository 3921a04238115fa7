import type { Command } from 'commander';
import { accountPath, forgetAccount, isInClear, isKey, readStored, readUrl, storeAccount } from '../account.ts';
import { TICKET } from '../answers.ts';
import type { Act, Context } from '../context.ts';
import { CliError, EXIT, usageError } from '../exit.ts';
import { ask, canAsk, readPiped } from '../prompt.ts';

const LOCAL = 'http://127.0.0.1:3000';

async function chooseUrl(context: Context): Promise<string> {
  const { env, out, options, signal } = context;
  const given = options.url ?? (env['WHATSHYBRID_URL'] || undefined);
  if (given !== undefined) return readUrl(given);
  const stored = await readStored(env, (text) => out.note(text)).catch((error: unknown) => {
    // What is damaged is written anew.
    if (!(error instanceof CliError)) throw error;
    return undefined;
  });
  const known = stored?.url;
  if (canAsk(context)) return readUrl((await ask(`Backend [${known ?? LOCAL}]: `, signal)) || (known ?? LOCAL));
  if (known === undefined) throw usageError('Say where: whatshybrid login --url https://…');
  return known;
}

async function readKey(context: Context): Promise<string> {
  const { signal, stdin } = context;
  const key = canAsk(context) ? await ask('API key (wh_live_…): ', signal, { isSecret: true }) : await readPiped(stdin);
  if (!isKey(key)) throw usageError('That is no API key. Make one under Settings, or by POST /api/api-keys.');
  return key;
}

/** Asks the backend before anything is stored. The ticket that is had is not used; any key may have one. */
async function login(context: Context): Promise<number> {
  const { out, env } = context;
  const url = await chooseUrl(context);
  if (isInClear(url)) out.note(`Careful: over ${url} the key crosses the network in clear text. Use https.`);
  const apiKey = await readKey(context);
  context.connectAs({ url, apiKey });
  await context.request(TICKET, 'POST', '/api/ws/ticket', { tries: 2 });
  const path = await storeAccount(env, { url, apiKey });
  out.json({ url, path });
  out.note(`Signed in to ${url}. The key is in ${path}.`);
  if (env['WHATSHYBRID_API_KEY']) out.note('WHATSHYBRID_API_KEY is set, and goes before it.');
  return EXIT.done;
}

async function logout({ out, env }: Context): Promise<number> {
  if (!(await forgetAccount(env))) throw new CliError(EXIT.failed, 'signed_out', 'Nobody is signed in.');
  out.json({ path: accountPath(env), deleted: true });
  out.note('The key is forgotten here. To end it everywhere, revoke it: DELETE /api/api-keys/:id.');
  return EXIT.done;
}

export function addLogin(program: Command, act: Act): void {
  program
    .command('login')
    .description('keep an API key for this user of this machine; it is asked for, or read from stdin')
    .action(act(login));
  program.command('logout').description('forget the key').action(act(logout));
}
