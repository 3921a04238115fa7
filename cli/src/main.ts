import { Command, CommanderError, type OutputConfiguration } from 'commander';
import { BackendClient, memoryStorage } from '../../client/src/index.ts';
import { type Account, findAccount } from './account.ts';
import { mustFit } from './answers.ts';
import { addCampaigns } from './commands/campaigns.ts';
import { addChannels } from './commands/channels.ts';
import { addContacts } from './commands/contacts.ts';
import { addImports } from './commands/imports.ts';
import { addJobs } from './commands/jobs.ts';
import { addLogin } from './commands/login.ts';
import { addOperations } from './commands/operations.ts';
import { addOps } from './commands/ops.ts';
import type { Act, Context, GlobalOptions, Host } from './context.ts';
import { EXIT, Interrupted, STOP_SIGNALS, verdictOf } from './exit.ts';
import { Output } from './output.ts';
import packageOfThis from '../package.json' with { type: 'json' };

function createProgram(act: Act, output: OutputConfiguration): Command {
  const program = new Command('whatshybrid')
    .version(packageOfThis.version)
    .description('Imports, campaigns and long work of a WhatsHybrid workspace, from a terminal or a script.')
    .option('--json', 'JSON on stdout: one value, or a line for each that is told')
    .option('--url <address>', 'the backend; else WHATSHYBRID_URL, else where you are signed in')
    .helpCommand('help [command]', 'show this, or what a command takes')
    .configureOutput(output)
    .exitOverride();
  addLogin(program, act);
  addContacts(program, act);
  addImports(program, act);
  addCampaigns(program, act);
  addChannels(program, act);
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
function createContext(options: GlobalOptions, host: Host): { context: Context; close: () => void } {
  const { env, stdin, stdout, stderr, signal } = host;
  const out = new Output({ stdout, stderr, isJson: options.json === true });
  let client: BackendClient | undefined;
  let isToldBusy = false;
  const onRetry = (error: unknown) => {
    if (!isToldBusy) out.note(`${verdictOf(error).lines[0]} Trying again …`);
    isToldBusy = true;
  };
  const connectAs = ({ url, apiKey }: Account): BackendClient => {
    client?.close();
    client = new BackendClient({ baseUrl: url, tokens: { token: apiKey }, storage: memoryStorage(), onRetry });
    return client;
  };
  const connect = async (): Promise<BackendClient> =>
    client ?? connectAs(await findAccount(env, options.url, (text) => out.note(text)));
  const request: Context['request'] = async (answer, method, path, { body, ...more } = {}) => {
    const known = await connect();
    return mustFit(
      await known.request(method, path, body, { signal, ...more }),
      answer,
      `${method} ${known.baseUrl}${path}`,
    );
  };
  return {
    context: { out, signal, env, stdin, stdout, options, connectAs, connect, request, farewell: undefined },
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

/** What commander has to say: help, the version, or what is wrong with the command line. @returns the exit code */
function conclude({ code, exitCode, message }: CommanderError, said: string, out: Output): number {
  if (exitCode === 0) {
    out.json(code === 'commander.version' ? { version: said.trim() } : { help: said });
    out.text(said);
    return EXIT.done;
  }
  const detail = code === 'commander.help' ? 'Name a command.' : message.replace(/^error: /, '');
  out.json({ problem: { code: 'usage', detail } });
  out.note(said.trimEnd());
  return EXIT.usage;
}

/** Runs one command line. @returns its exit code */
export async function run(args: string[], host: Host): Promise<number> {
  let exitCode: number = EXIT.done;
  const act: Act = (handler) =>
    async function run(this: Command) {
      const options = this.optsWithGlobals<Parameters<typeof handler>[1]>();
      const { context, close } = createContext(options, host);
      exitCode = await outcomeOf(context, () => handler(context, options, this.args));
      close();
    };
  let said = '';
  const hear = (text: string) => void (said += text);
  const { stdout, stderr } = host;
  try {
    const columns = () => stdout.columns || 80;
    const output = { writeOut: hear, writeErr: hear, getOutHelpWidth: columns, getErrHelpWidth: columns };
    await createProgram(act, output).parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // It was not read to its end: options are what comes before a `--`.
    const options = args.slice(0, args.includes('--') ? args.indexOf('--') : undefined);
    exitCode = conclude(error, said, new Output({ stdout, stderr, isJson: options.includes('--json') }));
  }
  return exitCode;
}

/** Runs the process's command line, and ends it with its exit code. */
export async function main(args: string[]): Promise<void> {
  const { env, stdin, stdout, stderr } = process;
  // Whoever read what is written here has gone (`| head`): nothing is left to be said.
  for (const stream of [stdout, stderr]) stream.on('error', () => process.exit(EXIT.failed));
  const exitCode = await run(args, { env, stdin, stdout, stderr, signal: listenForStop() });
  await Promise.all([flushed(stdout), flushed(stderr)]);
  process.exit(exitCode);
}
