import { Command, CommanderError } from 'commander';
import { BackendClient, memoryStorage } from '../../client/src/index.ts';
import { findAccount } from './account.ts';
import { addCampaigns } from './commands/campaigns.ts';
import { addContacts } from './commands/contacts.ts';
import { addJobs } from './commands/jobs.ts';
import { addLogin } from './commands/login.ts';
import { addOperations } from './commands/operations.ts';
import { addOps } from './commands/ops.ts';
import type { Act, Context, GlobalOptions } from './context.ts';
import { EXIT, Interrupted, STOP_SIGNALS, verdictOf } from './exit.ts';
import { Output } from './output.ts';
import packageOfThis from '../package.json' with { type: 'json' };

function createProgram(act: Act): Command {
  const program = new Command('whatshybrid')
    .version(packageOfThis.version)
    .description('Imports, campaigns and long work of a WhatsHybrid workspace, from a terminal or a script.')
    .option('--json', 'JSON on stdout: one value, or a line for each that is told')
    .option('--url <address>', 'the backend; else WHATSHYBRID_URL, else where you are signed in')
    .helpCommand(false)
    .exitOverride();
  addLogin(program, act);
  addContacts(program, act);
  addCampaigns(program, act);
  addJobs(program, act);
  addOperations(program, act);
  addOps(program, act);
  program.addHelpText(
    'after',
    '\nEnds with 0 done, 1 failed, 2 wrong usage, 3 not authorised, 4 paused or not all of it, 5 no answer. docs/cli.md tells more.',
  );
  return program;
}

/** What commands work with, and the way to let go of it. */
function createContext(options: GlobalOptions, signal: AbortSignal): { context: Context; close: () => void } {
  const out = new Output({ stdout: process.stdout, stderr: process.stderr, isJson: options.json === true });
  const { env } = process;
  let client: BackendClient | undefined;
  const connect = async (): Promise<BackendClient> => {
    if (client) return client;
    const { url, apiKey } = await findAccount(env, options.url, (text) => out.note(text));
    client = new BackendClient({ baseUrl: url, tokens: { token: apiKey }, storage: memoryStorage() });
    return client;
  };
  return {
    context: { out, signal, env, options, connect, farewell: undefined },
    close: () => client?.close(),
  };
}

/** Does what a command is to do, and tells what it throws. @returns the exit code */
async function outcomeOf(context: Context, work: () => Promise<number>): Promise<number> {
  const { out, signal } = context;
  try {
    return await work();
  } catch (thrown) {
    // What stops because it was told to says so in many ways.
    const error: unknown = signal.aborted ? signal.reason : thrown;
    const { exitCode, lines, problem } = verdictOf(error);
    out.json({ problem });
    for (const line of lines) out.note(line);
    if (error instanceof Interrupted && context.farewell !== undefined) out.note(context.farewell);
    return exitCode;
  }
}

/** Waits until what was written has left; a pipe may take its time. */
const flushed = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => stream.write('', () => resolve()));

/** Aborts when the process is told to end; told twice, it ends at once. */
function listenForStop(): AbortSignal {
  const stop = new AbortController();
  for (const name of STOP_SIGNALS) {
    process.on(name, () => {
      const interrupted = new Interrupted(name);
      if (stop.signal.aborted) process.exit(interrupted.exitCode);
      stop.abort(interrupted);
    });
  }
  return stop.signal;
}

/** Runs one command line, and ends the process with its exit code. */
export async function main(args: string[]): Promise<void> {
  // Whoever read what is written here has gone (`| head`): nothing is left to be said.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => process.exit(EXIT.failed));
  const signal = listenForStop();
  let exitCode: number = EXIT.done;
  const act: Act = (handler) =>
    async function run(this: Command) {
      const options = this.optsWithGlobals<Parameters<typeof handler>[1]>();
      const { context, close } = createContext(options, signal);
      exitCode = await outcomeOf(context, () => handler(context, options, this.args));
      close();
    };
  try {
    await createProgram(act).parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
  }
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(exitCode);
}
